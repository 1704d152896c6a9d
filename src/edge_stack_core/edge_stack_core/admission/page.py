# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The shared page of one device: its file, its mapping, and who lives in it.

Its unit of work is one open page, of which a process has at most one for each device. Whether a slot's owner lives is
told by a lock on one byte of the file, which the kernel gives up with the owner's process. The page is never removed: it
is 67 KB, and what jobs learned stays in it until the next boot.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import secrets
import stat
import threading
from pathlib import Path
from typing import ClassVar, cast

from edge_stack_core.admission import layout, protocol, system
from edge_stack_core.admission.layout import Words
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime import futex

DIRECTORY_VARIABLE = "EDGE_STACK_ADMISSION_DIR"
_SIZE = layout.WORDS * 8
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")
# Bytes to lock lie behind the page: one for making it, one for each slot.
_MAKING = _SIZE
_SLOT_LOCKS = _SIZE + 1


def path_of(device: str) -> Path:
    """
    Return the file of a device's page, of this user.

    Raises:
        ConfigurationError: the name cannot be a file's.
    """
    if not _NAME.fullmatch(device):
        raise ConfigurationError(
            f"device {device!r}: a name is 1 to 64 letters, digits or _ - . : (cpu, cuda:0)"
        )
    folder = os.environ.get(DIRECTORY_VARIABLE, "/dev/shm")
    return Path(folder) / f"edge_stack_core.admission{layout.VERSION}.{os.getuid()}.{device}"


class AdmissionPage:
    """One mapped page. Made by Page.open()."""

    _open: ClassVar[dict[Path, AdmissionPage]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, file: int, limit: int, guard_ns: int, co_run: int) -> None:
        """Map a file that is open for writing, and make the page if it has none."""
        self.path = path
        self.stale = False
        """True in a child that was forked: the page and its slots are the parent's."""
        self._file = file
        self._inode = os.fstat(file).st_ino
        self._mine: set[int] = set()
        system.wait_for_byte(file, _MAKING)
        try:
            # Reserved now: a store into memory that is not there would end the process with SIGBUS.
            os.posix_fallocate(file, 0, _SIZE)
            self._map = mmap.mmap(file, _SIZE)
            self.words: Words = cast("Words", memoryview(self._map).cast("q"))
            half_words = memoryview(self._map).cast("I")
            self._wake_word: Words = cast("Words", half_words[2 * layout.H_WAKE : 2 * layout.H_WAKE + 1])
            address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
            self._wake_address = address + 8 * layout.H_WAKE
            self.mutex = system.SharedMutex(address + 8 * layout.H_MUTEX)
            if self.words[layout.H_MAGIC] != layout.MAGIC:
                self.mutex.create()
                protocol.format_page(self.words, limit, guard_ns, co_run)
        finally:
            system.unlock_byte(file, _MAKING)

    @classmethod
    def open(cls, device: str, limit: int, guard_ns: int, co_run: int) -> AdmissionPage:
        """
        Return this process's page of a device, made with these limits if there is none yet.

        Raises:
            ConfigurationError: the file cannot be used; the text says why.
        """
        path = path_of(device)
        with cls._opening:
            page = cls._open.get(path)
            if page is None or page.was_replaced():
                file = _open_file(path)
                try:
                    page = cls._open[path] = cls(path, file, limit, guard_ns, co_run)
                except OSError as error:
                    os.close(file)
                    raise ConfigurationError(
                        f"{path}: admission's shared memory cannot be made: {error.strerror}; it needs"
                        f" {_SIZE // 1024 + 1} KiB"
                    ) from None
            return page

    @classmethod
    def opened(cls, device: str) -> AdmissionPage | None:
        """Return this process's page of a device if it has one."""
        return cls._open.get(path_of(device))

    @classmethod
    def forget_all(cls) -> None:
        """After a fork, in the child: nothing here is its own."""
        cls._opening = threading.Lock()
        for page in cls._open.values():
            page.stale = True
        cls._open = {}

    def claim(self, state: int, name: str) -> tuple[int, int]:
        """
        Take a slot for a job; returns it and its token.

        Raises:
            ConfigurationError: all slots are taken.
        """
        token = secrets.randbits(62) | 1
        self.mutex.lock()
        try:
            slot = protocol.claim(self.words, state, name, token, self._acquire)
            if slot < 0:
                raise ConfigurationError(
                    f"{self.path}: all {layout.SLOTS} slots of admission are taken by running jobs"
                )
            self.words[layout.base_of(slot) + layout.S_PID] = os.getpid()
            return slot, token
        finally:
            self.mutex.unlock()

    def release(self, slot: int, token: int) -> None:
        """Give a slot back, if it is still the job's."""
        self.mutex.lock()
        try:
            if self.words[layout.base_of(slot) + layout.S_TOKEN] == token:
                protocol.free(self.words, slot)
            if slot in self._mine:
                self._mine.discard(slot)
                system.unlock_byte(self._file, _SLOT_LOCKS + slot)
        finally:
            self.mutex.unlock()

    def alive(self, slot: int) -> bool:
        """Return whether the owner of a slot lives."""
        return slot in self._mine or system.byte_is_locked(self._file, _SLOT_LOCKS + slot)

    def wake(self, mask: int, seen: int = -1) -> int:
        """
        Let those under the mask look again; no wake-up is lost to one that is about to sleep.

        Returns seen, moved on if nobody else woke anyone since: one's own wake-up is no reason not to sleep.
        """
        word = self._wake_word
        futex.fence()
        before = word[0]
        word[0] = after = (before + 1) & 0xFFFFFFFF
        futex.wake(self._wake_address, mask)
        return after if before == seen else seen

    def wake_value(self) -> int:
        """Return the value to wait on, read before one looks at what one waits for."""
        return self._wake_word[0]

    def wait(self, value: int, until_ns: int, mask: int) -> None:
        """Sleep until woken under the mask or until a monotonic time; not at all if there was a wake-up since value."""
        futex.wait(self._wake_address, value, until_ns, mask)

    def was_replaced(self) -> bool:
        """Return whether the file was removed, as some systems do with a user's shared memory when he logs out."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    def _acquire(self, slot: int) -> bool:
        if slot in self._mine or not system.lock_byte(self._file, _SLOT_LOCKS + slot):
            return False
        self._mine.add(slot)
        return True


def _open_file(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: admission's shared memory cannot be opened: {error.strerror}"
        ) from None
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        os.close(file)
        raise ConfigurationError(
            f"{path}: must be a regular file of this user with mode 0600; remove it and start again"
        )
    return file


os.register_at_fork(after_in_child=AdmissionPage.forget_all)
