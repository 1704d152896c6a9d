# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An engine of vision models on an NVIDIA GPU: ONNX Runtime's CUDA provider, captured as CUDA graphs at low priority.

Its unit of work is one input tensor in, the model's raw outputs out, as with every engine; it returns when the GPU is done.
Where it runs in slices, each is admitted by admission on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.admission import BackgroundJob
from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.cuda.captured import CapturedInference
from edge_stack_inference.cuda.device import open_device
from edge_stack_inference.cuda.onnx import open_onnx
from edge_stack_inference.engines.base import ModelError
from edge_stack_inference.splitting import Admissions, SlicePlan


class CudaEngine:
    """Runs an ONNX file on a GPU, whole or in slices."""

    name: ClassVar[str] = "onnxruntime on CUDA"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def __init__(self, device: str, max_ms: float = 0.0, admissions: Admissions | None = None) -> None:
        """device: "cuda:0". max_ms: no slice shall take longer; 0: whole. admissions: asked before each model_slice."""
        self._device_name, self._max_ms = device, max_ms
        self._admissions = admissions or Admissions()
        self._inference: CapturedInference | None = None

    @property
    def plan(self) -> SlicePlan:
        """What the open model was cut into."""
        plan = self._opened().plan
        assert plan is not None, "it runs whole"
        return plan

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long each slice takes."""
        self._opened().prime(job)

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """Load and capture the file; see :meth:`Engine.open <edge_stack_inference.engines.base.Engine.open>`."""
        try:
            inference = open_onnx(path, open_device(self._device_name), "low", self._max_ms)
        except ConfigurationError as error:
            raise ModelError(str(error)) from None
        found = [port.array for port in inference.inputs]
        if len(found) != 1 or found[0].ndim != 4 or found[0].dtype.kind != "f":
            inference.close()
            kinds = ", ".join(f"{array.dtype} {list(array.shape)}" for array in found)
            raise ModelError(
                f"{path}: has the inputs {kinds}; one float image [1, 3, height, width] is needed"
            )
        self._inference = inference
        return {**inference.metadata, "input_shape": found[0].shape}

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """
        Run the model once; see :meth:`Engine.run <edge_stack_inference.engines.base.Engine.run>`.

        Raises:
            Refused: admission did not admit a model_slice.
        """
        inference = self._opened()
        return inference.run_admitted({inference.inputs[0].name: tensor}, self._admissions)

    def close(self) -> None:
        """Free the model. Harmless if nothing is open."""
        inference, self._inference = self._inference, None
        if inference is not None:
            inference.close()

    def _opened(self) -> CapturedInference:
        if self._inference is None:
            raise RuntimeError("the model is not open")
        return self._inference
