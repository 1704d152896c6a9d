# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What of a run lies on disk: that it has begun and was not ended, and which stop is in force.

Its unit is one small file, replaced as a whole. A run begins with the first fusion process of a stack and ends with the
orderly end of the whole stack, which whoever started it declares by end_run(). A process that is killed, a runner that is
killed and a power cut end nothing: the next process goes on with the run that it finds. Nothing here is for the thread that
commands: a write waits for the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

STATE_VARIABLE = "EDGE_STACK_STATE_DIR"
SYSTEM_FOLDER = Path("/var/lib/edge_stack")
USERS_FOLDER = "/var/tmp/edge_stack.{uid}"
UNKNOWN = "unknown"
"""Source of a stop of which nobody knows who asked for it, or whether anybody did."""
_SIZE_MAX = 4096  # bytes; a longer file is none of ours
_LOCK_WAIT_S = 1.0
_OFD_GETLK, _OFD_SETLK = 36, 37  # as of Linux; Python 3.10 has no names for them on every build
_FLOCK = "hhqqi4x"
_PAGES_AT = 1  # byte 0 of the lock file is for those who write; byte 1 + n for those who use page n


class StateUnusable(OSError):
    """The folder of the state cannot be used; the text names it and says why."""


class StateMissing(StateUnusable):
    """The folder of the state is not there; the text names it."""


def supervisor_file(name: str) -> Path:
    """Return the file in which a supervisor (full name) keeps what it wants; another domain or user has another one."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/dev/shm")
    domain = os.environ.get("ROS_DOMAIN_ID", "0") or "0"
    return folder / f"edge_stack_{os.getuid()}_{domain}{name.replace('/', '_')}.json"


def state_folder(*, make: bool = True) -> Path:
    """
    Return the folder in which runs are kept: EDGE_STACK_STATE_DIR, else /var/lib/edge_stack, else one in /var/tmp.

    make: where it is missing, make it; else StateMissing names it. It needs neither HOME nor a login. One that others could
    write to, or that is another user's, raises StateUnusable: whoever can write there can release a stop.
    """
    named = os.environ.get(STATE_VARIABLE, "")
    if named:
        folder = Path(named)
        if make:
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _checked(folder)
    if os.access(SYSTEM_FOLDER, os.W_OK | os.X_OK):
        return _checked(SYSTEM_FOLDER)
    folder = Path(USERS_FOLDER.format(uid=os.getuid()))
    if make:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700)
    return _checked(folder, private=True)


def _checked(folder: Path, *, private: bool = False) -> Path:
    """Return the folder if it may be used. private: it must be this user's, and nobody else's."""
    try:
        # A folder that was named may be a link to another one; one with a name that anybody can guess may not.
        status = folder.lstat() if private else folder.stat()
    except FileNotFoundError:
        raise StateMissing(errno.ENOENT, f"{folder}: it is not there") from None
    except OSError as error:
        raise StateUnusable(error.errno, f"{folder}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise StateUnusable(errno.ENOTDIR, f"{folder}: it is no folder")
    owners = (os.getuid(),) if private else (os.getuid(), 0)
    if status.st_uid not in owners or status.st_mode & (0o077 if private else 0o002):
        raise StateUnusable(errno.EPERM, f"{folder}: others may write there, or it is another user's")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StateUnusable(errno.EACCES, f"{folder}: this user may not write there")
    return folder


def stem_of(name: str) -> str:
    """
    Return how the files of a fusion node (full name) begin, in this ROS domain and of this user.

    Unlike the page's, the name holds no network namespace: a container gets another one at each start, and its run goes on.
    """
    domain = os.environ.get("ROS_DOMAIN_ID", "0") or "0"
    return f"fusion.{os.getuid()}.{domain}{name.replace('/', '.')}"


class RunReader(Protocol):
    """Files of one run, to look at."""

    def read(self, kind: str) -> bytes | None:
        """Return a file; None if there is none. OSError if it cannot be read."""


class RunStore(RunReader, Protocol):
    """Files of one run, and locks that end with the process that holds them."""

    def write(self, kind: str, data: bytes) -> None:
        """Replace a file as a whole, so that it outlives a power cut. OSError if it cannot be written."""

    def remove(self, kind: str) -> None:
        """Remove a file. OSError if that fails."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes from writing. OSError if one keeps this one from it for too long."""

    def hold(self, page: int) -> None:
        """Say that this process uses a page, and no other page."""

    def let_go(self) -> None:
        """Say that this process uses no page."""

    def held_elsewhere(self, page: int) -> bool:
        """Return whether another process uses another page."""


class _Reader:
    """The files of one run by their name."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder = folder
        self._stem = stem

    def path(self, kind: str) -> Path:
        """Return the file of a kind: run, stop or lock."""
        return self.folder / f"{self._stem}.{kind}"

    def read(self, kind: str) -> bytes | None:
        """See RunReader."""
        try:
            file = os.open(self.path(kind), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                raise OSError(errno.EPERM, "it is no regular file of this user")
            return os.read(file, _SIZE_MAX + 1)
        finally:
            os.close(file)


class RunFiles(_Reader):
    """The files of one fusion node in a folder. For one thread."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """name: full name of the fusion node. folder: in place of state_folder(). StateUnusable if it cannot be used."""
        super().__init__(folder or state_folder(), stem_of(name))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._lock = os.open(self.path("lock"), flags, 0o600)
        except OSError as error:
            raise StateUnusable(error.errno, f"{self.path('lock')}: {error.strerror}") from None

    def write(self, kind: str, data: bytes) -> None:
        """See RunStore."""
        path = self.path(kind)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)  # of a killed process with this number
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                os.write(file, data)
                os.fsync(file)
            finally:
                os.close(file)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._sync()

    def remove(self, kind: str) -> None:
        """See RunStore."""
        self.path(kind).unlink(missing_ok=True)
        self._sync()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """See RunStore."""
        end_s = time.monotonic() + _LOCK_WAIT_S
        while not self._set(fcntl.F_WRLCK, 0):
            if time.monotonic() > end_s:
                raise OSError(errno.EAGAIN, f"{self.path('lock')}: another process keeps it")
            time.sleep(0.002)
        try:
            yield
        finally:
            self._set(fcntl.F_UNLCK, 0)

    def hold(self, page: int) -> None:
        """See RunStore."""
        self.let_go()
        self._set(fcntl.F_RDLCK, _PAGES_AT + page)

    def let_go(self) -> None:
        """See RunStore."""
        self._set(fcntl.F_UNLCK, _PAGES_AT, 0)

    def held_elsewhere(self, page: int) -> bool:
        """See RunStore."""
        before = page and self._is_locked(_PAGES_AT, page)
        return bool(before or self._is_locked(_PAGES_AT + page + 1, 0))

    def close(self) -> None:
        """Let go of page and files."""
        os.close(self._lock)

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _set(self, kind: int, start: int, length: int = 1) -> bool:
        # Locks of the open file, not of the process: closing another descriptor of the same file does not give them up.
        try:
            fcntl.fcntl(self._lock, _OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def _is_locked(self, start: int, length: int) -> bool:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        return bool(struct.unpack(_FLOCK, fcntl.fcntl(self._lock, _OFD_GETLK, asked))[0] != fcntl.F_UNLCK)


@dataclass(frozen=True)
class Stored:
    """
    What lies on disk. run: id of the run that was not ended; 0 if there is none. held: sources of the stop.

    whole: both files are there and agree; if not, they are to be written anew.
    """

    run: int
    held: frozenset[str]
    whole: bool


def load(store: RunReader, *, persists: bool = False) -> Stored:
    """
    Return what lies on disk. persists: whether a stop holds although its run was ended.

    Never raises: what is there and cannot be read is an unended run whose stop set is lost, and so a stop of the source
    "unknown".
    """
    run, run_is_there = _read(store, "run")
    stop, stop_is_there = _read(store, "stop")
    sources = _sources(stop)
    if not run_is_there:
        held: frozenset[str] = frozenset()
        if persists and stop_is_there:
            held = frozenset((UNKNOWN,)) if sources is None else sources
        return Stored(0, held, whole=False)
    number = _number(run)
    if number and sources is not None and _number(stop) == number:
        return Stored(number, sources, whole=True)
    return Stored(number, (sources or frozenset()) | {UNKNOWN}, whole=False)


def begin_run(store: RunStore, run: int, held: Iterable[str]) -> None:
    """Write a run and its stop set, the set first: a run without its set counts as a stop. OSError if that fails."""
    save_stop(store, run, held)
    store.write("run", json.dumps({"run": run}).encode())


def save_stop(store: RunStore, run: int, held: Iterable[str]) -> None:
    """Write the stop set of a run. OSError if that fails."""
    store.write("stop", json.dumps({"run": run, "sources": sorted(held)}).encode())


def end_run(store: RunStore) -> None:
    """Declare the orderly end of the whole stack. The set stays, for a stack whose stops persist. OSError if it fails."""
    store.remove("run")


def unended(folder: Path) -> list[tuple[str, frozenset[str]]]:
    """Return this user's runs in a folder that were not ended, by their files' name, and the sources of their stops."""
    stems = sorted(path.stem for path in folder.glob(f"fusion.{os.getuid()}.*.run"))
    return [(stem, load(_Reader(folder, stem)).held) for stem in stems]


def _read(store: RunReader, kind: str) -> tuple[object, bool]:
    """Return what a file says (None: nothing that can be read), and whether there is one."""
    try:
        data = store.read(kind)
    except OSError:
        return None, True
    if data is None:
        return None, False
    try:
        return (json.loads(data), True) if len(data) <= _SIZE_MAX else (None, True)
    except (ValueError, RecursionError):
        return None, True


def _number(value: object) -> int:
    number = value.get("run") if isinstance(value, dict) else None
    return number if type(number) is int and 0 < number < 2**63 else 0


def _sources(value: object) -> frozenset[str] | None:
    sources = value.get("sources") if isinstance(value, dict) else None
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        return None
    return frozenset(sources)
