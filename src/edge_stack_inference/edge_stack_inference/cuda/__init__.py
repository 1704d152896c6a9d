# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Inference on an NVIDIA GPU beside other work: captured once as CUDA graphs, replayed in slices that admission admits.

Everything here is optional: it needs the requirements of `./edge setup --with cuda` and a GPU, and nothing else of the stack
imports it without being asked for a CUDA device. docs/cuda.md says how the parts fit.
"""

from edge_stack_inference.cuda.captured import CapturedInference, Port
from edge_stack_inference.cuda.device import open_device
from edge_stack_inference.cuda.interface import (
    CapturedGraph,
    CudaDevice,
    CudaEvent,
    CudaUnavailable,
    Partition,
    Priority,
    Stream,
)
from edge_stack_inference.cuda.onnx import open_onnx
from edge_stack_inference.cuda.torch import capture_torch

__all__ = [
    "CapturedInference",
    "CudaUnavailable",
    "CudaDevice",
    "CudaEvent",
    "Partition",
    "CapturedGraph",
    "Port",
    "Priority",
    "Stream",
    "capture_torch",
    "open_device",
    "open_onnx",
]
