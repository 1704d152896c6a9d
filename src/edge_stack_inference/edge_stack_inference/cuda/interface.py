# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the stack asks of a CUDA device: a handful of methods, so that everything above them is tested without a GPU.

Its unit of work is one operation enqueued on a stream. Nothing returns results before an event after it was waited for.
Device memory is an address, as every library takes it. Whoever creates something closes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge_stack_core.errors import ConfigurationError

Priority = Literal["high", "low"]


class CudaUnavailable(ConfigurationError):
    """There is no such CUDA device to be used here; the text says what is missing: package, driver, device, or feature."""


@dataclass(frozen=True)
class Partition:
    """
    A share of a GPU's multiprocessors (SMs), as a green context.

    role: "critical" gets the first part, "background" the rest. critical_sms: of the first part, rounded down to what
    the GPU can split; 0: half of all.
    """

    role: Literal["critical", "background"]
    critical_sms: int = 0


class CudaEvent(Protocol):
    """A mark in a stream."""

    def wait(self) -> None:
        """Sleep, rather than spin, until everything before the mark is done. Raises what failed."""

    def close(self) -> None:
        """Free it."""


class Stream(Protocol):
    """
    A queue of work that runs in order.

    handle: the cudaStream_t as a number. priority: lower is more urgent; graphs keep that of the stream of their capture.
    """

    handle: int
    priority: int

    def copy_in(self, target: int, source: NDArray[Any]) -> None:
        """Enqueue a copy of a pinned array to device memory."""

    def copy_out(self, target: NDArray[Any], source: int) -> None:
        """Enqueue a copy of device memory to a pinned array."""

    def record(self, event: CudaEvent) -> None:
        """Enqueue a mark."""

    def close(self) -> None:
        """Free it."""


class CudaDevice(Protocol):
    """
    One device, or a part of it.

    name: as admission pages call it, "cuda:0". kind, index: as ONNX Runtime calls it, "cuda" and 0. description: of
    the hardware.
    """

    name: str
    kind: str
    index: int
    description: str

    def make_current(self) -> None:
        """Make it the calling thread's device. Each thread needs it before anything else."""

    def stream(self, priority: Priority) -> Stream:
        """Make a stream of the most or the least urgent priority that the device has."""

    def event(self) -> CudaEvent:
        """Make an event whose wait blocks."""

    def allocate(self, nbytes: int) -> int:
        """Return the address of new device memory."""

    def free(self, address: int) -> None:
        """Free device memory."""

    def pin(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return a new array, zero, in page-locked memory."""

    def unpin(self, array: NDArray[Any]) -> None:
        """Unlock an array; it stays valid as ordinary memory."""

    def close(self) -> None:
        """Free what the device itself holds."""


class CapturedGraph(Protocol):
    """One captured graph: an inference, or a part of one."""

    def launch(self) -> None:
        """Enqueue it on the stream that it was captured on."""


def nbytes_of(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Return the size of an array, bytes; at least 1, for empty ones need an address, too."""
    return max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
