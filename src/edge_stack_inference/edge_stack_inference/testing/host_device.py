# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A CUDA device that is not there: the same interface over ordinary memory, as strict as the real one.

What is enqueued runs when an event behind it is waited for, in order, and not before. `in_order=False` is for slices that
run at their launch, as ONNX Runtime does on the processor: copies then happen at once, too. Freeing twice, copying to memory
that is not allocated or from arrays that are not pinned, and work in a thread that has no context are errors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge_stack_inference.cuda.interface import Priority, nbytes_of


class HostEvent:
    def __init__(self, device: HostDevice) -> None:
        self.device, self.at = device, 0
        self.stream: HostStream | None = None

    def wait(self) -> None:
        self.device.check()
        self.device.log.append("wait")
        if self.stream is not None:
            self.stream.run_until(self.at)

    def close(self) -> None:
        self.device.alive.remove(self)


class HostStream:
    def __init__(self, device: HostDevice, priority: Priority) -> None:
        self.device = device
        self.handle = id(self)
        self.priority = {"high": -5, "low": 0}[priority]
        self._queue: list[Callable[[], None]] = []
        self._done = 0

    def enqueue(self, what: str, work: Callable[[], None]) -> None:
        """What a captured graph's launch does."""
        self.device.check()
        assert self in self.device.alive, "the stream is closed"
        self.device.log.append(what)
        self._queue.append(work)
        if not self.device.in_order:
            self.run_until(len(self._queue))

    def copy_in(self, target: int, source: NDArray[Any]) -> None:
        memory = self.device.memory_of(target, source)
        self.enqueue("copy in", lambda: np.copyto(memory, source))

    def copy_out(self, target: NDArray[Any], source: int) -> None:
        memory = self.device.memory_of(source, target)
        self.enqueue("copy out", lambda: np.copyto(target, memory))

    def record(self, event: HostEvent) -> None:
        self.device.check()
        self.device.log.append("record")
        event.stream, event.at = self, len(self._queue)

    def run_until(self, end: int) -> None:
        while self._done < end:
            self._done += 1
            self._queue[self._done - 1]()

    def close(self) -> None:
        assert not self.device.memory, "memory outlives the stream"
        self.device.alive.remove(self)


class HostDevice:
    name, kind, index, description = "cuda:0", "cpu", 0, "the host"

    def __init__(self, in_order: bool = True) -> None:
        self.in_order = in_order
        self.log: list[str] = []
        self.alive: list[Any] = []  # streams and events
        self.streams: list[HostStream] = []  # ever made
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned: list[NDArray[Any]] = []
        self._current = threading.local()

    def check(self) -> None:
        assert getattr(self._current, "is_set", False), "this thread has no context"

    def make_current(self) -> None:
        self._current.is_set = True

    def stream(self, priority: Priority) -> HostStream:
        self.check()
        stream = HostStream(self, priority)
        self.streams.append(stream)
        self.alive.append(stream)
        return stream

    def event(self) -> HostEvent:
        self.check()
        event = HostEvent(self)
        self.alive.append(event)
        return event

    def allocate(self, nbytes: int) -> int:
        self.check()
        block = np.zeros(nbytes, np.uint8)
        self.memory[block.ctypes.data] = block
        return block.ctypes.data

    def free(self, address: int) -> None:
        del self.memory[address]

    def memory_of(self, address: int, array: NDArray[Any]) -> NDArray[Any]:
        assert any(array is one for one in self.pinned), "the array is not pinned"
        block = self.memory[address]
        assert block.nbytes == nbytes_of(array.shape, array.dtype)
        return block[: array.nbytes].view(array.dtype).reshape(array.shape)

    def pin(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        self.check()
        self.pinned.append(np.zeros(shape, dtype))
        return self.pinned[-1]

    def unpin(self, array: NDArray[Any]) -> None:
        self.pinned = [one for one in self.pinned if one is not array]

    def close(self) -> None:
        pass

    @property
    def is_empty(self) -> bool:
        return not (self.alive or self.memory or self.pinned)
