# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An engine of vision models that runs an ONNX model in slices on the CPU, each admitted by admission on its own.

Its unit of work is one input tensor in, the model's raw outputs out, as with every engine. Opening it splits the model the
first time, which takes seconds and needs the onnx package; from then on the slices are read from their folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.admission import BackgroundJob
from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.engines.base import Engine, ModelError
from edge_stack_inference.engines.onnxruntime import OnnxEngine
from edge_stack_inference.splitting.admissions import Admissions
from edge_stack_inference.splitting.plan import SlicePlan
from edge_stack_inference.splitting.runner import SlicedModel


class PieceEngine(Engine, Protocol):
    """An engine that runs a model in slices, or whole as one slice, each admitted on its own."""

    @property
    def plan(self) -> SlicePlan:
        """What the open model was cut into; not for one that runs whole."""

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long each slice takes."""


class SegmentedEngine:
    """Runs an ONNX file in slices."""

    name: ClassVar[str] = "onnxruntime in slices"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def __init__(self, max_ms: float, admissions: Admissions) -> None:
        """max_ms: no slice shall take longer on this machine. admissions: asked before each model_slice."""
        self._max_ms = max_ms
        self._admissions = admissions
        self._model: SlicedModel | None = None

    @property
    def plan(self) -> SlicePlan:
        """What the open model was cut into."""
        return self._opened().plan

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long each slice took when it was made."""
        self._opened().prime(job)

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """Cut and load the file; see :meth:`Engine.open <edge_stack_inference.engines.base.Engine.open>`."""
        whole = OnnxEngine()
        metadata = whole.open(path, threads)  # also says what is wrong with a file that is no such model
        whole.close()
        try:
            self._model = SlicedModel.open(path, max_ms=self._max_ms, threads=threads)
        except ConfigurationError as error:
            raise ModelError(str(error)) from None
        return metadata

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """
        Run the model once; see :meth:`Engine.run <edge_stack_inference.engines.base.Engine.run>`.

        Raises:
            Refused: admission did not admit a model_slice.
        """
        model = self._opened()
        ((name, dtype),) = model.input_types().items()
        return model.run_admitted({name: tensor.astype(dtype, copy=False)}, self._admissions)

    def close(self) -> None:
        """Free the slices."""
        self._model = None

    def _opened(self) -> SlicedModel:
        if self._model is None:
            raise RuntimeError("the model is not open")
        return self._model
