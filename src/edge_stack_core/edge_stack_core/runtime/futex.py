# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Waiting on a word of shared memory, across processes, and ordering stores between them.

Each function is one system call on a 32-bit word that any number of processes map; to wait or wake, a process needs to
read it only. Nothing here knows what the word means.
"""

from __future__ import annotations

import ctypes
import platform

from edge_stack_core.runtime.linux import Timespec

_SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}.get(platform.machine(), 98)
_FUTEX_WAIT_BITSET = 9
_FUTEX_WAKE_BITSET = 10
_EVERYBODY = 0xFFFFFFFF
_ALL_WAITERS = 0x7FFFFFFF


_ARGUMENTS = (
    ctypes.c_long,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint,
)
# PyDLL keeps the GIL: for a call that returns at once. CDLL gives it up: for one that waits.
_returning = ctypes.PyDLL(None).syscall
_returning.argtypes, _returning.restype = _ARGUMENTS, ctypes.c_long
_waiting = ctypes.CDLL(None).syscall
_waiting.argtypes, _waiting.restype = _ARGUMENTS, ctypes.c_long


def wake(address: int, mask: int = _EVERYBODY) -> None:
    """Wake those who wait on a word under one of the bits of the mask."""
    _returning(_SYS_FUTEX, address, _FUTEX_WAKE_BITSET, _ALL_WAITERS, None, None, mask)


def wait(address: int, value: int, until_ns: int, mask: int = _EVERYBODY) -> None:
    """Wait until woken under the mask or a monotonic time, or less; return at once if the 32-bit word is not value."""
    until = Timespec(*divmod(max(0, until_ns), 1_000_000_000))
    _waiting(_SYS_FUTEX, address, _FUTEX_WAIT_BITSET, value, ctypes.byref(until), None, mask)


def fence() -> None:
    """
    Order all memory accesses before against those after, where the processor does not by itself (all but x86-64).

    The kernel has a full barrier in each wake-up, between the caller's stores and its look at who waits.
    """
    if _weakly_ordered:
        wake(_private)


_weakly_ordered = platform.machine() not in ("x86_64", "AMD64")
_private_word = ctypes.c_uint32()
_private = ctypes.addressof(_private_word)
