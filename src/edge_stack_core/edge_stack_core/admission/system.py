# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The Linux calls admission stands on: a mutex that survives its owner, and locks that end with a process.

Each function is one call. The mutex is the C library's: process-shared, robust (the kernel hands it on when its owner is
killed), with priority inheritance. Nothing here knows what admission is. Waiting on a shared word: see runtime/futex.py.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time

from edge_stack_core.runtime.linux import Timespec

_PROCESS_SHARED, _ROBUST, _ERRORCHECK, _PRIO_INHERIT = 1, 1, 2, 1
# struct flock on 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"

# PyDLL keeps the GIL: for calls that return at once. CDLL gives it up: for calls that wait.
_quick = ctypes.PyDLL(None)
_patient = ctypes.CDLL(None, use_errno=True)


_trylock = _quick.pthread_mutex_trylock
_trylock.argtypes = (ctypes.c_void_p,)
_unlock = _quick.pthread_mutex_unlock
_unlock.argtypes = (ctypes.c_void_p,)
_consistent = _quick.pthread_mutex_consistent
_consistent.argtypes = (ctypes.c_void_p,)
_timedlock = _patient.pthread_mutex_timedlock
_timedlock.argtypes = (ctypes.c_void_p, ctypes.c_void_p)


class MutexBusy(Exception):
    """The mutex was not given up within the limit: its owner is stopped, or does not get any processor time."""


class SharedMutex:
    """A pthread mutex at an address in shared memory."""

    SIZE = 64

    def __init__(self, address: int) -> None:
        """address: of SIZE bytes, aligned to 8, that stay mapped."""
        self._address = address

    def create(self) -> None:
        """Initialise the memory. Once, before anyone else uses it."""
        attributes = ctypes.create_string_buffer(64)
        _check(_quick.pthread_mutexattr_init(attributes))
        _check(_quick.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED))
        _check(_quick.pthread_mutexattr_setrobust(attributes, _ROBUST))
        _check(_quick.pthread_mutexattr_settype(attributes, _ERRORCHECK))
        # A real-time thread that waits lends its priority. Where the kernel has no such mutex the plain one does.
        _quick.pthread_mutexattr_setprotocol(attributes, _PRIO_INHERIT)
        if _quick.pthread_mutex_init(ctypes.c_void_p(self._address), attributes):
            _check(_quick.pthread_mutexattr_setprotocol(attributes, 0))
            _check(_quick.pthread_mutex_init(ctypes.c_void_p(self._address), attributes))

    def lock(self, limit_s: float = 1.0) -> None:
        """
        Take the mutex.

        Raises:
            MutexBusy: it was not given up within the limit.
        """
        result = _trylock(self._address)
        if result == 0:
            return
        if result == errno.EBUSY:
            # The C library measures this limit on the wall clock; it is a safety net only.
            until = Timespec(*divmod(max(0, time.time_ns() + int(limit_s * 1e9)), 1_000_000_000))
            result = _timedlock(self._address, ctypes.byref(until))
        if result == errno.EOWNERDEAD:
            # Its owner died inside. Every store of the protocol leaves the page valid: nothing is to be repaired.
            _check(_consistent(self._address))
        elif result == errno.ETIMEDOUT:
            raise MutexBusy(f"not given up within {limit_s:g} s")
        elif result not in (0, errno.EDEADLK):  # EDEADLK: an exception tore this thread out while it held it
            raise OSError(result, os.strerror(result))

    def unlock(self) -> None:
        """Give the mutex up."""
        _unlock(self._address)


def lock_byte(file: int, offset: int) -> bool:
    """Lock one byte of a file for this process until it ends; False if another process holds it."""
    try:
        fcntl.fcntl(file, fcntl.F_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def wait_for_byte(file: int, offset: int) -> None:
    """Lock one byte of a file, waiting for its holder to end or give it up."""
    fcntl.fcntl(file, fcntl.F_SETLKW, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0))


def unlock_byte(file: int, offset: int) -> None:
    """Give up the lock of one byte."""
    fcntl.fcntl(file, fcntl.F_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, offset, 1, 0))


def byte_is_locked(file: int, offset: int) -> bool:
    """Return whether another living process holds the lock of one byte."""
    answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, offset, 1, 0))
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _check(result: int) -> None:
    if result:
        raise OSError(result, os.strerror(result))
