# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Takes serialized messages of a subscription and leaves alone those that are too large.

Its unit is one message. rclpy makes a bytes object of whatever comes, and keeps the interpreter meanwhile: 40 MB cost
every other thread of the process 50 to 130 ms (measured on two cores), a control thread among them. Here the middleware
copies into a buffer without the interpreter, and Python sees no more of a message that is too large than its size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.subscription import Subscription
from rclpy.waitable import NumberOfEntities, Waitable

_OK, _NOTHING_TAKEN = 0, 401  # RCL_RET_OK, RCL_RET_SUBSCRIPTION_TAKE_FAILED (rcl/types.h)


class _Allocator(ctypes.Structure):
    # rcutils_allocator_t (rcutils/allocator.h): four functions and their state.
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("allocate", "free", "reallocate", "zero", "state"))


class _Message(ctypes.Structure):
    # rcutils_uint8_array_t (rcutils/types/uint8_array.h), which rcl_serialized_message_t is.
    _fields_ = (
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("allocator", _Allocator),
    )


# rclpy has loaded both. CDLL gives the interpreter up during a call.
_take = ctypes.CDLL("librcl.so").rcl_take_serialized_message
_take.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_take.restype = ctypes.c_int
_rcutils = ctypes.CDLL("librcutils.so")
_rcutils.rcutils_get_default_allocator.restype = _Allocator
_rcutils.rcutils_uint8_array_init.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_rcutils.rcutils_uint8_array_fini.argtypes = (ctypes.c_void_p,)


class SizedTake:
    """Takes the messages of one subscription. For one thread."""

    def __init__(self, handle: Any, max_bytes: int) -> None:
        """handle: rclpy's, of the subscription. max_bytes: larger messages are not looked at."""
        self._handle = handle
        self._max_bytes = max_bytes
        self._message = _Message()
        self._make_room()

    def take(self) -> bytes | int | None:
        """
        Return the next message; of one that is too large its size, bytes; None if there is none.

        RuntimeError if the middleware fails.
        """
        message = self._message
        with self._handle:
            code = _take(self._handle.pointer, ctypes.byref(message), None, None)
        if code == _NOTHING_TAKEN:
            return None
        if code != _OK:
            _rcutils.rcutils_reset_error()
            raise RuntimeError(f"a message could not be taken: rcl says {code}")
        size = int(message.length)
        if size <= self._max_bytes:
            return ctypes.string_at(message.buffer, size)
        self.close()
        self._make_room()
        return size

    def close(self) -> None:
        """Free the buffer."""
        _rcutils.rcutils_uint8_array_fini(ctypes.byref(self._message))

    def _make_room(self) -> None:
        allocator = _rcutils.rcutils_get_default_allocator()
        if _rcutils.rcutils_uint8_array_init(
            ctypes.byref(self._message), min(self._max_bytes, 4096), ctypes.byref(allocator)
        ):
            raise MemoryError("no room for messages")


class SizedSubscription(Waitable):
    """Lets an executor wait for a subscription, and takes its messages by their size."""

    def __init__(
        self,
        subscription: Subscription,
        group: CallbackGroup,
        take: SizedTake,
        callback: Callable[[bytes | int], None],
    ) -> None:
        """subscription: that no executor waits for. callback: gets each message, or the size of one that is too large."""
        super().__init__(group)
        self._handle = subscription.handle
        self._take = take
        self._callback = callback
        self._index: int | None = None

    def is_ready(self, wait_set: Any) -> bool:
        """See Waitable."""
        return self._index is not None and bool(wait_set.is_ready("subscription", self._index))

    def take_data(self) -> bytes | int | None:
        """See Waitable."""
        return self._take.take()

    async def execute(self, taken_data: bytes | int | None) -> None:
        """See Waitable."""
        if taken_data is not None:
            self._callback(taken_data)

    def get_num_entities(self) -> NumberOfEntities:
        """See Waitable."""
        return NumberOfEntities(num_subs=1)

    def add_to_wait_set(self, wait_set: Any) -> None:
        """See Waitable."""
        with self._handle:
            self._index = wait_set.add_subscription(self._handle)

    def __enter__(self) -> None:
        """Keep the subscription from going while it is waited for."""
        self._handle.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go."""
        self._handle.__exit__(kind, error, trace)
