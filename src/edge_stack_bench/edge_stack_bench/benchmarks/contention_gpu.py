# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a process of the contention benchmark does on a GPU: a model captured on a stream of its own, and how long it takes.

Its unit of work is one inference. Imported in child processes only: the benchmark's own process never touches the GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_stack_core.admission import BackgroundJob
from edge_stack_inference.cuda import CudaUnavailable, Partition, open_device, open_onnx


class ModelOnGpu:
    """A model file, captured; fed the same random input each time."""

    def __init__(self, spec: dict[str, Any], max_ms: float = 0.0) -> None:
        """spec: of the process. max_ms: cut into slices that take no longer; 0: whole."""
        partition = Partition(spec["role"]) if spec["partition"] else None
        device = open_device(spec["device"], partition)
        self.description = device.description
        self.inference = open_onnx(spec["model"], device, spec["stream"], max_ms)
        random = np.random.default_rng(0)
        self._feeds = {
            port.name: random.random(port.array.shape).astype(port.array.dtype)
            for port in self.inference.inputs
        }

    def run(self, job: BackgroundJob | None = None) -> None:
        """Run one inference and wait for its results. Raises Refused."""
        self.inference.run(self._feeds, job)

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long the slices take."""
        self.inference.prime(job)


def time_model(spec: dict[str, Any]) -> dict[str, Any]:
    """Return how long a model takes, ms, what it runs on, and why it is not captured if it is not; or why nothing runs."""
    try:
        model = ModelOnGpu(spec)
    except CudaUnavailable as error:
        return {"error": str(error)}
    return {
        "ms": sum(model.inference.measure_ms()),
        "gpu": model.description,
        "note": model.inference.note,
    }
