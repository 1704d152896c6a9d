# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The CUDA device, on cuda-core and cuda-bindings, in the primary context that ONNX Runtime and PyTorch use as well.

Its unit is one device of this process, or a part of its multiprocessors. Waiting never spins: events block, and the context
is told to block, too, for waits inside other libraries. It runs no model.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge_stack_core.device import cuda_index, is_cuda, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.cuda.interface import (
    CudaEvent,
    CudaUnavailable,
    Partition,
    Priority,
    Stream,
    nbytes_of,
)


def open_device(name: str, partition: Partition | None = None) -> CudaDevice:
    """
    Open a device by its name, "cuda:0".

    Raises:
        CudaUnavailable: the name is no device's, or a package, the driver, the device or green contexts are missing.
    """
    try:
        name = parse_device(name)
    except ConfigurationError as error:
        raise CudaUnavailable(str(error)) from None
    if not is_cuda(name):
        raise CudaUnavailable(f"{name!r} is no CUDA device; their names are cuda:0, cuda:1, ...")
    try:
        from cuda import core
        from cuda.bindings import driver
    except ImportError as error:
        raise CudaUnavailable(
            f"{name}: cuda-core and cuda-bindings are not installed: ./edge setup --with cuda ({error})"
        ) from None
    try:
        count = len(core.Device.get_all_devices())
    except Exception as error:  # noqa: BLE001 (the driver library may be missing, too old, or without a GPU)
        raise CudaUnavailable(
            f"{name}: no NVIDIA GPU with a driver here ({_first_line(error)}); choose device cpu"
        ) from None
    index = cuda_index(name)
    if index >= count:
        there = ", ".join(f"cuda:{number}" for number in range(count)) or "none"
        raise CudaUnavailable(f"{name}: no such GPU; there is {there}")
    return CudaDevice(core, driver, index, partition)


class CudaDevice:
    """A CUDA device; see :class:`Device <edge_stack_inference.cuda.interface.Device>`. Made by :func:`open_device`."""

    kind = "cuda"

    def __init__(self, core: Any, driver: Any, index: int, partition: Partition | None = None) -> None:
        """core: the module cuda.core. driver: cuda.bindings.driver. index: of a device that exists."""
        self.name, self.index = f"cuda:{index}", index
        self._core, self._driver = core, driver
        # ONNX Runtime waits for its stream by itself in some versions: this makes it sleep. It is no loss if it is refused,
        # as it may be once another library has begun.
        driver.cuDevicePrimaryCtxSetFlags(index, driver.CUctx_flags.CU_CTX_SCHED_BLOCKING_SYNC)
        self.make_current()
        device = core.Device(index)
        least, greatest = self._checked(driver.cuCtxGetStreamPriorityRange())
        self.priorities: dict[Priority, int] = {"high": int(greatest), "low": int(least)}
        self.sm_count = int(device.properties.multiprocessor_count)
        self._green: Any = None
        if partition is not None:
            self._green, self.sm_count = self._split(device, partition)
        self.description = f"{device.name}, {self.sm_count} SMs"

    def make_current(self) -> None:
        """Make it the calling thread's device."""
        # A Device belongs to the thread that asks for it.
        self._core.Device(self.index).set_current()

    def stream(self, priority: Priority) -> Stream:
        """Make a stream; in a partition, it runs on its multiprocessors only."""
        number = self.priorities[priority]
        options = self._core.StreamOptions(nonblocking=True, priority=number)
        if self._green is not None:
            return _CudaStream(self, self._green.create_stream(options), number)
        return _CudaStream(self, self._core.Device(self.index).create_stream(options=options), number)

    def event(self) -> CudaEvent:
        """Make an event whose wait blocks."""
        options = self._core.EventOptions(blocking_sync=True)
        return _CudaEvent(self._core.Device(self.index).create_event(options))

    def allocate(self, nbytes: int) -> int:
        """Return the address of new device memory."""
        return int(self._checked(self._driver.cuMemAlloc(nbytes))[0])

    def free(self, address: int) -> None:
        """Free device memory."""
        self._checked(self._driver.cuMemFree(address))

    def pin(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return a new array in page-locked memory."""
        # Pages of its own: what is locked by page must not be shared with others.
        size = -(-nbytes_of(shape, dtype) // mmap.PAGESIZE) * mmap.PAGESIZE
        array: NDArray[Any] = np.ndarray(shape, dtype, buffer=mmap.mmap(-1, size))
        self._checked(self._driver.cuMemHostRegister(array.ctypes.data, size, 0))
        return array

    def unpin(self, array: NDArray[Any]) -> None:
        """Unlock an array; it stays valid."""
        self._checked(self._driver.cuMemHostUnregister(array.ctypes.data))

    def close(self) -> None:
        """Free the partition. The primary context stays: other libraries use it."""
        green, self._green = self._green, None
        if green is not None:
            green.close()

    def copy(self, target: int, source: int, nbytes: int, stream: int, *, to_device: bool) -> None:
        """Enqueue a copy between page-locked and device memory."""
        enqueue = self._driver.cuMemcpyHtoDAsync if to_device else self._driver.cuMemcpyDtoHAsync
        self._checked(enqueue(target, source, nbytes, stream))

    def _checked(self, answer: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what a driver call returned, without its error code."""
        error, *values = answer
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"{self.name}: CUDA driver: {getattr(error, 'name', error)}")
        return tuple(values)

    def _split(self, device: Any, partition: Partition) -> tuple[Any, int]:
        """Return a green context of a part of the multiprocessors, and how many it has."""
        try:
            everything = device.resources.sm
            step = max(everything.min_partition_size, everything.coscheduled_alignment)
            wanted = partition.critical_sms or everything.sm_count // 2
            count = max(step, wanted // step * step)
            if count + step > everything.sm_count:
                raise CudaUnavailable(
                    f"{self.name}: has {everything.sm_count} SMs, split by {step}: {count} cannot be set apart"
                )
            groups, rest = everything.split(self._core.SMResourceOptions(count=count))
            part = groups[0] if partition.role == "critical" else rest
            context = device.create_context(self._core.ContextOptions(resources=[part]))
        except CudaUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 (old drivers and GPUs refuse in many ways)
            raise CudaUnavailable(f"{self.name}: has no green contexts ({_first_line(error)})") from None
        return context, int(part.sm_count)


class _CudaStream:
    """A stream of a device."""

    def __init__(self, device: CudaDevice, stream: Any, priority: int) -> None:
        self._device, self._stream = device, stream
        self.handle, self.priority = int(stream.handle), priority

    def copy_in(self, target: int, source: NDArray[Any]) -> None:
        self._device.copy(target, source.ctypes.data, source.nbytes, self.handle, to_device=True)

    def copy_out(self, target: NDArray[Any], source: int) -> None:
        self._device.copy(target.ctypes.data, source, target.nbytes, self.handle, to_device=False)

    def record(self, event: CudaEvent) -> None:
        assert isinstance(event, _CudaEvent)
        self._stream.record(event.event)

    def close(self) -> None:
        self._stream.close()


class _CudaEvent:
    """A blocking event."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def wait(self) -> None:
        self.event.sync()

    def close(self) -> None:
        self.event.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
