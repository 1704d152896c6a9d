# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The few Linux calls that Python's standard library lacks: absolute sleep, memory locking, timer slack, scheduling slice.

Each function is one call. It releases the GIL while it waits, raises OSError with the kernel's reason, and never decides
anything. On other systems than Linux the calls raise OSError(ENOSYS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import time

_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}.get(platform.machine())
_CLOCK_MONOTONIC = 1
_TIMER_ABSTIME = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_SCHED_OTHER = 0
_NS = 1_000_000_000

# CDLL (not PyDLL): the GIL is released during each call.
_libc = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    """The C library's struct timespec."""

    # time_t and long are both of the machine's word size on 64-bit Linux.
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class AbsoluteSleeper:
    """Sleeps until absolute CLOCK_MONOTONIC times (time.monotonic_ns()) without allocating. For one thread."""

    def __init__(self) -> None:
        """Prepare the arguments of the call."""
        self._until = Timespec()
        self._pointer = ctypes.byref(self._until)
        self._sleep = getattr(_libc, "clock_nanosleep", None)

    def sleep_until(self, until_ns: int) -> None:
        """Return at or after a monotonic time, ns; at once if it has passed."""
        if self._sleep is None:
            time.sleep(max(0.0, (until_ns - time.monotonic_ns()) * 1e-9))
            return
        self._until.tv_sec, self._until.tv_nsec = divmod(until_ns, _NS)
        while self._sleep(_CLOCK_MONOTONIC, _TIMER_ABSTIME, self._pointer, None) == errno.EINTR:
            pass


def lock_memory() -> None:
    """
    Keep every page of the process in memory, those of the future as they are first used.

    Locking as pages are used (MCL_ONFAULT) leaves the resident size alone; locking all at once would make every thread's
    whole stack resident.
    """
    _call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def set_timer_slack_ns(slack_ns: int) -> None:
    """Set how late the kernel may wake the calling thread to batch wake-ups; 50 us by default, none if real-time."""
    _call("prctl", _PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0)


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal once the thread that started it has ended; nothing if it has already."""
    _call("prctl", _PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0)


def set_slice_ns(slice_ns: int, tid: int = 0) -> None:
    """
    Ask for a shorter time slice of a thread under SCHED_OTHER (0: the calling one): it then runs sooner after it wakes.

    Needs no rights. Kernels before 6.12 accept it without effect.
    """
    if _SYS_SCHED_SETATTR is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    nice = os.getpriority(os.PRIO_PROCESS, tid)
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
    attributes = struct.pack("=IIQiIQQQ", 48, _SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0)
    _call("syscall", ctypes.c_long(_SYS_SCHED_SETATTR), tid, attributes, 0)


def _call(name: str, *arguments: object) -> None:
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    ctypes.set_errno(0)
    if function(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
