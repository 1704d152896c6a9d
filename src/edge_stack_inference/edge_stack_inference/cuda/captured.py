# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An inference that was captured once as CUDA graphs: fixed buffers, and a replay for each slice.

Its unit of work is one inference: copy in, launch each slice, copy out. Around each slice admission may be asked; inside, an
event is waited for, so that what was admitted is over when its block ends. Tensors between slices stay on the device.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.admission import BackgroundJob
from edge_stack_inference.cuda.interface import CapturedGraph, CudaDevice, Priority, Stream, nbytes_of
from edge_stack_inference.splitting import Admissions, SlicePlan

_RUNS = 7


class Port(NamedTuple):
    """An input or output: its name, its address on the device, and the page-locked array that is copied from or to it."""

    name: str
    address: int
    array: NDArray[Any]


class CapturedInference:
    """
    A model captured on one stream, run as `SlicedModel` is. For one thread at a time.

    stream: it was captured on; its priority is that of the graphs for good. inputs, outputs: of the whole model, in its
    order. metadata: of the model file. plan: what it was cut into, if it was. note: why it runs without a graph; empty if it
    was captured.
    """

    def __init__(
        self,
        device: CudaDevice,
        stream: Stream,
        slices: Sequence[CapturedGraph],
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        owned: contextlib.ExitStack,
        metadata: Mapping[str, str] | None = None,
        note: str = "",
        plan: SlicePlan | None = None,
    ) -> None:
        """
        Take over what a producer made.

        Args:
            device, stream: where the slices were captured.
            slices: in the order in which they run.
            inputs, outputs: of the whole model.
            owned: frees all of it; closed with the inference.
            metadata, note, plan: see the class.
        """
        self.stream, self.inputs, self.outputs = stream, tuple(inputs), tuple(outputs)
        self.metadata, self.note, self.plan = dict(metadata or {}), note, plan
        self._device, self._owned = device, owned
        self._slices: tuple[CapturedGraph, ...] = tuple(slices)
        self._event = device.event()
        owned.callback(self._event.close)
        self._closed = False

    def __len__(self) -> int:
        """Count the slices."""
        return len(self._slices)

    def run(
        self,
        feeds: Mapping[str, NDArray[Any]],
        job: BackgroundJob | None = None,
        deadline_s: float | None = None,
        wait_s: float = 2.0,
    ) -> Sequence[NDArray[Any]]:
        """
        Run the model once and return when it is done.

        Args:
            feeds: the model's inputs by name, of the shapes it was captured with.
            job: asked before each slice; None: they follow one another, as those of a critical job do.
            deadline_s: of the whole inference, from now; None: the job's.
            wait_s: refused when it has waited so long before one slice.

        Returns:
            The outputs in the model's order; the next run overwrites them.

        Raises:
            Refused: admission did not admit a slice.
            ValueError: an input is missing or has another shape.
        """
        admissions = Admissions(job, wait_s)
        admissions.begin(deadline_s)
        return self.run_admitted(feeds, admissions)

    def run_admitted(
        self, feeds: Mapping[str, NDArray[Any]], admissions: Admissions
    ) -> Sequence[NDArray[Any]]:
        """Run the model once as a part of what these admissions are for; see :meth:`run`."""
        self._begin(feeds)
        for index in range(len(self._slices)):
            with admissions.of(index):
                self._run_piece(index)
        return [port.array for port in self.outputs]

    def measure_ms(self) -> list[float]:
        """Return how long each slice takes, with its copies, ms: the middle of a few runs. Asks nobody."""
        self._begin({port.name: port.array for port in self.inputs})
        times = np.empty((_RUNS, len(self._slices)))
        for run in range(-1, _RUNS):
            for index in range(len(self._slices)):
                start = time.perf_counter()
                self._run_piece(index)
                times[run, index] = (time.perf_counter() - start) * 1e3
        return [float(middle) for middle in np.median(times, axis=0)]

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long each slice takes."""
        for index, ms in enumerate(self.measure_ms()):
            job.prime(ms * 1e-3, key=index)

    def close(self) -> None:
        """Free graphs, buffers and the stream. Outputs that were returned stay valid."""
        if not self._closed:
            self._closed = True
            self._device.make_current()
            # Graphs go before the stream and the buffers that they name.
            self._slices = ()
            self._owned.close()

    def _begin(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        if self._closed:
            raise RuntimeError(f"{self._device.name}: this inference is closed")
        self._device.make_current()
        for port in self.inputs:
            given = feeds.get(port.name)
            if given is None or given.shape != port.array.shape:
                found = "missing" if given is None else f"of shape {list(given.shape)}"
                raise ValueError(f"input {port.name}: {found}; it was captured as {list(port.array.shape)}")
            if given is not port.array:
                np.copyto(port.array, given, casting="same_kind")

    def _run_piece(self, index: int) -> None:
        """Enqueue a slice and sleep until it is over, also if something went wrong halfway."""
        try:
            if index == 0:
                for port in self.inputs:
                    self.stream.copy_in(port.address, port.array)
            self._slices[index].launch()
            if index == len(self._slices) - 1:
                for port in self.outputs:
                    self.stream.copy_out(port.array, port.address)
        finally:
            self.stream.record(self._event)
            self._event.wait()


class Workspace:
    """What a producer needs while it captures: a stream and buffers, all freed together. Used in a `with` block."""

    def __init__(self, device: CudaDevice, priority: Priority) -> None:
        """Make the stream; what follows is freed before it."""
        device.make_current()
        self.device = device
        self.owned = contextlib.ExitStack()
        self.stream = device.stream(priority)
        self.owned.callback(self.stream.close)

    def __enter__(self) -> Workspace:
        """Begin to make things."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free what was made, unless :meth:`finish` handed it on."""
        self.owned.close()

    def memory(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        """Return the address of device memory for an array."""
        address = self.device.allocate(nbytes_of(shape, dtype))
        self.owned.callback(self.device.free, address)
        return address

    def port(self, name: str, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Port:
        """Return a port with a page-locked array for device memory."""
        array = self.device.pin(shape, dtype)
        self.owned.callback(self.device.unpin, array)
        return Port(name, address, array)

    def finish(
        self,
        slices: Sequence[CapturedGraph],
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        metadata: Mapping[str, str] | None = None,
        note: str = "",
        plan: SlicePlan | None = None,
    ) -> CapturedInference:
        """Hand everything on to an inference."""
        return CapturedInference(
            self.device, self.stream, slices, inputs, outputs, self.owned.pop_all(), metadata, note, plan
        )
