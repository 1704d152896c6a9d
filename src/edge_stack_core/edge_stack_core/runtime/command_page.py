# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The shared page of one robot's commands: a small file in memory that fusion and its standby both map.

Its unit is one open page. It holds who commands, the last command, who requests a stop and the live parameters, so that all
of them outlive the process that commands; and digests of the commands that went out lately, by which each process knows
the others' commands from a stranger's. Who lives is told by a lock on one byte of the file, which the kernel gives up
once the last thread of its process is gone: a process whose lock is free cannot command any more. What the words mean
together says lease.py.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime.local_process import pid_namespace

FOLDER = Path("/dev/shm")
VERSION = 2
MAGIC = int.from_bytes(b"edgefusn", "big") // 256 * 256 + VERSION
SLOTS = 8
JOINTS_MAX = 64

# 64-bit words. Times are CLOCK_MONOTONIC nanoseconds, which all processes of a machine share.
W_MAGIC, W_WANTED, W_OWNER, W_TAKEOVERS, W_BEAT, W_RELEASE, W_COMMANDED, W_RUN = range(8)
W_ROBOT, W_VERSION, W_BYTES, W_PIDS = range(8, 12)  # pids: the namespace in which its users have theirs
W_ALIVE = 16  # of each slot: when its process ticked last
W_PUBLISHERS = W_ALIVE + SLOTS  # of each slot, PUBLISHER_WORDS: the id of its publisher of commands
PUBLISHER_WORDS = 2
W_STOPS = (
    W_PUBLISHERS + PUBLISHER_WORDS * SLOTS
)  # of each source of a stop: whether it holds the robot (stop_set.py)
SOURCES_MAX = 16
W_SENT = W_STOPS + SOURCES_MAX  # SENT_WORDS: digests of what went out lately
SENT_WORDS = 513
_WORDS = W_SENT + SENT_WORDS
_POSITIONS_AT = 8 * _WORDS
_SETTINGS_AT = _POSITIONS_AT + 8 * JOINTS_MAX
SIZE = 12288
# Bytes to lock lie behind the page.
L_PEN, L_MAKING, L_SETTINGS, L_SLOTS = 0, 1, 2, 3

Words = MutableSequence[int]


class Locks(Protocol):
    """Locks that end with the process that holds them."""

    def try_lock(self, which: int) -> bool:
        """Take a lock; False if another process holds it."""

    def unlock(self, which: int) -> None:
        """Give a lock up."""

    def is_locked(self, which: int) -> bool:
        """Return whether another process holds a lock."""


class PageHolders(Protocol):
    """Who uses which page, known also of those whose file was removed."""

    def hold(self, page: int) -> None:
        """Say that this process uses a page, and no other one."""

    def let_go(self) -> None:
        """Say that this process uses no page."""


class _Flock(ctypes.Structure):
    # struct flock of 64-bit Linux.
    _fields_ = (
        ("type", ctypes.c_short),
        ("whence", ctypes.c_short),
        ("start", ctypes.c_int64),
        ("length", ctypes.c_int64),
        ("pid", ctypes.c_int),
    )


# PyDLL keeps the interpreter: these calls return at once, and the control thread must not lose it in the middle of a tick.
_fcntl = ctypes.PyDLL(None, use_errno=True).fcntl
_fcntl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class ByteLocks:
    """Locks on single bytes of a file (F_SETLK): the process's, whichever of its threads takes them."""

    def __init__(self, file: int) -> None:
        """file: open for writing; closing it gives up all locks."""
        self._file = file

    def try_lock(self, which: int) -> bool:
        """See Locks."""
        return self._set(which, fcntl.F_WRLCK)

    def unlock(self, which: int) -> None:
        """See Locks."""
        self._set(which, fcntl.F_UNLCK)

    def is_locked(self, which: int) -> bool:
        """See Locks."""
        lock = _Flock(fcntl.F_WRLCK, os.SEEK_SET, SIZE + which, 1, 0)
        if _fcntl(self._file, fcntl.F_GETLK, ctypes.byref(lock)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return bool(lock.type != fcntl.F_UNLCK)

    def wait(self, which: int) -> None:
        """Take a lock, waiting for its holder; only for those that are held briefly."""
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, SIZE + which, 1, 0)
        fcntl.fcntl(self._file, fcntl.F_SETLKW, wanted)

    def _set(self, which: int, kind: int) -> bool:
        lock = _Flock(kind, os.SEEK_SET, SIZE + which, 1, 0)
        if _fcntl(self._file, fcntl.F_SETLK, ctypes.byref(lock)) == 0:
            return True
        number = ctypes.get_errno()
        if number in (errno.EACCES, errno.EAGAIN):
            return False
        raise OSError(number, os.strerror(number))


def path_of(name: str) -> Path:
    """
    Return the file of the page of a fusion node (full name) in this ROS domain, network and user.

    Nodes in another network namespace do not hear these ones, so that they are another robot's.
    """
    domain = os.environ.get("ROS_DOMAIN_ID", "0") or "0"
    network = os.stat("/proc/self/ns/net").st_ino
    return FOLDER / f"edge_stack_control{VERSION}.{os.getuid()}.{domain}.{network}{name.replace('/', '.')}"


class PageTakenError(ConfigurationError):
    """The page is another one's, who may command by it: whoever opens it has no business here."""


class CommandPage:
    """
    One mapped page. words and positions [JOINTS_MAX] are shared memory; slot is this process's.

    number: the file's, also once it is removed. made: this process made it anew. settled: no process uses an older page that
    was removed, so that this one may be commanded by; StopSet.settle() finds out. sent: SENT_WORDS of the words, for digests
    of what went out lately.

    Raises ConfigurationError where the file cannot be used: PageTakenError where it is another user's, or is used by another
    robot's fusion or one in another PID namespace, whose processes nobody here can end.
    """

    def __init__(self, name: str, joint_names: Sequence[str], holders: PageHolders | None = None) -> None:
        """
        Open or make it. name: full name of the fusion node, also where its standby opens the page.

        holders: where those of all pages of this name are known; None: nowhere.
        """
        if len(joint_names) > JOINTS_MAX:
            raise ConfigurationError(
                f"the robot has {len(joint_names)} joints; at most {JOINTS_MAX} are possible"
            )
        self.path = path_of(name)
        self.joints = len(joint_names)
        self._seen_version = 0
        self._holders = holders
        self.settled = holders is None
        try:
            self._file = self._open()
        except OSError as error:
            kind = PageTakenError if self._is_another_users() else ConfigurationError
            raise kind(
                f"{self.path}: the shared memory of commands cannot be made: {error.strerror}"
            ) from None
        self.number = os.fstat(self._file).st_ino
        self.locks = ByteLocks(self._file)
        self._map = mmap.mmap(self._file, SIZE)
        self.words: Words = cast("Words", memoryview(self._map)[:_POSITIONS_AT].cast("q"))
        self.sent: memoryview = memoryview(self._map)[: 8 * _WORDS].cast("q")[W_SENT : W_SENT + SENT_WORDS]
        self.positions: npt.NDArray[np.float64] = np.frombuffer(
            self._map, np.float64, JOINTS_MAX, _POSITIONS_AT
        )
        self.made = self.words[W_MAGIC] != MAGIC
        try:
            self.slot = self._claim(zlib.crc32("\n".join(joint_names).encode()))
        except ConfigurationError:
            self.locks.unlock(L_MAKING)
            self._free()
            raise
        self.locks.unlock(L_MAKING)

    def set_publisher(self, gid: bytes) -> None:
        """Tell the id of this process's publisher of commands, at most 16 bytes."""
        begin = W_PUBLISHERS + PUBLISHER_WORDS * self.slot
        self.words[begin], self.words[begin + 1] = struct.unpack("<qq", gid[:16].ljust(16, b"\0"))

    def publishers(self) -> set[bytes]:
        """Return the ids of the publishers of all processes, 16 bytes each."""
        words = self.words
        found = {
            struct.pack("<qq", words[begin], words[begin + 1])
            for begin in range(W_PUBLISHERS, W_STOPS, PUBLISHER_WORDS)
        }
        return found - {bytes(16)}

    def share(self, changed: Mapping[str, Any]) -> None:
        """Tell the other processes new values of live parameters. ValueError if they are too many to be told."""
        self.locks.wait(L_SETTINGS)
        try:
            before = self._settings()
            text = json.dumps({**before, **changed}).encode()
            if len(text) > SIZE - _SETTINGS_AT:
                raise ValueError(
                    f"{len(text)} bytes of changed parameters; {SIZE - _SETTINGS_AT} are possible"
                )
            if json.loads(text) != before:
                self._map[_SETTINGS_AT : _SETTINGS_AT + len(text)] = text
                self.words[W_BYTES] = len(text)
                self.words[W_VERSION] += 1
        finally:
            self.locks.unlock(L_SETTINGS)

    def news(self) -> dict[str, Any]:
        """Return all live parameters that were ever changed, if any process changed one since the last call."""
        if self.words[W_VERSION] == self._seen_version:
            return {}
        self.locks.wait(L_SETTINGS)
        try:
            self._seen_version = self.words[W_VERSION]
            return self._settings()
        finally:
            self.locks.unlock(L_SETTINGS)

    def is_lost(self) -> bool:
        """Return whether somebody removed the file: then those who come do not know of this page."""
        return not self._is_at_its_path(self._file)

    def close(self) -> None:
        """Let go of the page; the last one removes the file."""
        self.locks.wait(L_MAKING)
        if self.words[W_OWNER] == self.slot + 1:
            self.words[W_OWNER] = 0
        if not self._others() and self._is_at_its_path(self._file):
            self.path.unlink(missing_ok=True)
        self._free()

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _open(self) -> int:
        """Return the file, sized and with the lock of its making held."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(self.path, flags, 0o600)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
                    raise OSError(
                        errno.EPERM, "it must be a regular file of this user with mode 0600; remove it"
                    )
                ByteLocks(file).wait(L_MAKING)
                if self._holders is not None:
                    self._holders.hold(status.st_ino)
                # Looked at after it is held: whoever makes the next page sees that this one is in use.
                if self._is_at_its_path(file):
                    # Reserved now: a store into memory that is not there would end the process with SIGBUS.
                    os.posix_fallocate(file, 0, SIZE)
                    return file
            except OSError:
                self._let_go(file)
                raise
            self._let_go(file)  # whoever had it was the last and removed it meanwhile

    def _is_another_users(self) -> bool:
        try:
            return os.lstat(self.path).st_uid != os.getuid()
        except OSError:
            return False

    def _is_at_its_path(self, file: int) -> bool:
        try:
            return os.stat(self.path).st_ino == os.fstat(file).st_ino
        except FileNotFoundError:
            return False

    def _claim(self, robot: int) -> int:
        words, pids = self.words, pid_namespace()
        if words[W_MAGIC] != MAGIC:
            for index in range(len(words)):
                words[index] = 0
        elif not self._others():
            # Left behind by killed processes. Their run goes on with its stops, and what they sent may still be heard; all
            # else is theirs.
            for index in range(W_MAGIC + 1, W_STOPS):
                if index != W_RUN:
                    words[index] = 0
        elif words[W_ROBOT] != robot:
            raise PageTakenError(f"{self.path}: a fusion of a robot with other joints commands here")
        elif words[W_PIDS] != pids:
            raise PageTakenError(
                f"{self.path}: a fusion in another PID namespace, such as another container's, commands here; run both in"
                " one, or give each container a /dev/shm and a ROS_DOMAIN_ID of its own"
            )
        words[W_MAGIC], words[W_ROBOT], words[W_PIDS] = MAGIC, robot, pids
        for slot in range(SLOTS):
            if self.locks.try_lock(L_SLOTS + slot):
                if words[W_OWNER] == slot + 1:
                    words[W_OWNER] = 0  # it was a dead process's
                words[W_ALIVE + slot] = 0
                for index in range(PUBLISHER_WORDS):
                    words[W_PUBLISHERS + PUBLISHER_WORDS * slot + index] = 0
                return slot
        raise ConfigurationError(f"{self.path}: {SLOTS} processes use it already")

    def _others(self) -> bool:
        return any(self.locks.is_locked(L_SLOTS + slot) for slot in range(SLOTS))

    def _settings(self) -> dict[str, Any]:
        size = self.words[W_BYTES]
        if not 0 < size <= SIZE - _SETTINGS_AT:
            return {}
        values: dict[str, Any] = json.loads(self._map[_SETTINGS_AT : _SETTINGS_AT + size])
        return values

    def _free(self) -> None:
        # The map itself goes with the last view of it.
        del self.words, self.sent, self.positions, self._map
        self._let_go(self._file)

    def _let_go(self, file: int) -> None:
        if self._holders is not None:
            self._holders.let_go()
        os.close(file)
