# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs a model in slices, each of which is admitted by admission on its own.

Its unit of work is one inference. Between two slices a critical job may run, and other background jobs by their deadlines.
A refusal in the middle ends the inference: nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.admission import BackgroundJob
from edge_stack_inference.splitting.admissions import Admissions
from edge_stack_inference.splitting.build import ELEMENT_TYPES, open_session, split_model
from edge_stack_inference.splitting.plan import SlicePlan


class SlicedModel:
    """An ONNX model that runs in slices on the CPU. For one thread."""

    def __init__(self, plan: SlicePlan, folder: Path, threads: int = 1) -> None:
        """Load the slices of a plan. threads: of each, as when it was made."""
        import onnxruntime as ort

        self.plan = plan
        self._to_value = ort.OrtValue.ortvalue_from_numpy
        self._sessions = [open_session(folder / model_slice.file, threads) for model_slice in plan.slices]
        values = {value.name: value for session in self._sessions for value in session.get_inputs()}
        self._input_types = {name: ELEMENT_TYPES[values[name].type] for name in plan.inputs}
        last_use = {
            name: index for index, model_slice in enumerate(plan.slices) for name in model_slice.inputs
        }
        # Tensors to let go of after each model_slice.
        self._spent = [
            [name for name in last_use if last_use[name] == index and name not in plan.outputs]
            for index in range(len(plan.slices))
        ]

    @classmethod
    def open(cls, path: str | Path, max_ms: float = 0.0, slices: int = 0, threads: int = 1) -> SlicedModel:
        """
        Cut a model, if it is not yet, and load it.

        max_ms: no slice shall take longer; or slices: how many slices. The first time this takes a while.

        Raises:
            ConfigurationError: the model cannot be cut.
        """
        plan, folder = split_model(Path(path), max_ms, slices, threads)
        return cls(plan, folder, threads)

    def __len__(self) -> int:
        """Count the slices."""
        return len(self._sessions)

    def input_types(self) -> dict[str, type[np.generic]]:
        """Return the element type of each of the model's inputs, by name."""
        return dict(self._input_types)

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long each slice took when it was made."""
        for index, model_slice in enumerate(self.plan.slices):
            job.prime(model_slice.ms * 1e-3, key=index)

    def run(
        self,
        feeds: Mapping[str, NDArray[Any]],
        job: BackgroundJob | None = None,
        deadline_s: float | None = None,
        wait_s: float = 2.0,
    ) -> Sequence[NDArray[Any]]:
        """
        Run the model once.

        Args:
            feeds: the model's inputs by name.
            job: asked before each slice; None: they follow one another.
            deadline_s: of the whole inference, from now; None: the job's.
            wait_s: refused when it has waited so long before one model_slice.

        Returns:
            The model's outputs in its order.

        Raises:
            Refused: admission did not admit a model_slice.
        """
        admissions = Admissions(job, wait_s)
        admissions.begin(deadline_s)
        return self.run_admitted(feeds, admissions)

    def run_admitted(
        self, feeds: Mapping[str, NDArray[Any]], admissions: Admissions
    ) -> Sequence[NDArray[Any]]:
        """Run the model once as a part of what these admissions are for; see :meth:`run`."""
        tensors = {name: self._to_value(np.ascontiguousarray(array)) for name, array in feeds.items()}
        for index, session in enumerate(self._sessions):
            with admissions.of(index):
                self._run_one(index, session, tensors)
        return [tensors[name].numpy() for name in self.plan.outputs]

    def _run_one(self, index: int, session: Any, tensors: dict[str, Any]) -> None:
        model_slice = self.plan.slices[index]
        inputs = {name: tensors[name] for name in model_slice.inputs}
        outputs = session.run_with_ort_values(list(model_slice.outputs), inputs)
        for name in self._spent[index]:
            del tensors[name]
        tensors.update(zip(model_slice.outputs, outputs, strict=True))
