# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads the small text files of sysfs and procfs below a root, and remembers which of them were ever there.

The unit is one file. One that never told anything is absent: None, silently. One that did, and is gone or tells nonsense
now, is lost: None, listed and counted. One that says that it has nothing to tell now (EAGAIN: the sensor's part of the
chip is powered down; ENODATA: the device is, as a wireless one) is None and not lost. Nothing here raises.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SIMULATED = "simulated"
"""In place of a folder: that of the board simulated in the same ROS domain by the same user."""
MARK = "etc/edge_stack_simulated_board"
"""File that says that a folder is the tree of a simulated board; written first when it is made."""
_ASLEEP = (errno.EAGAIN, errno.ENODATA)
_MOST_LINKS = 40  # as Linux
_MOST_BYTES = 1 << 16  # of one file; /proc/stat of a large machine has some 20 kB


def board_folder(root: str) -> str:
    """Return the folder that is meant: root itself, or that of the simulated board."""
    if root != SIMULATED:
        return root
    return f"/dev/shm/edge_stack_board_{os.getuid()}_{os.environ.get('ROS_DOMAIN_ID', '0')}"


class BoardFiles:
    """
    Files below a root folder, named by their paths on a board ("/sys/class/thermal/thermal_zone0/temp").

    Files are opened anew for each reading: 5 us more than keeping them open, but a driver that is loaded again, and a file
    that is replaced (as the simulated board does), are seen at once. Links are followed below the root, absolute ones too,
    as the kernel does after chroot: a host's folders that are mounted in a container name the host's files, not its own.
    """

    def __init__(self, root: str | Path = "/") -> None:
        """Look below this root; a trailing slash does not matter."""
        self._root = str(root).rstrip("/")
        self._roots = {self._root, os.path.realpath(self._root)} if self._root else set()
        self._seen: set[str] = set()
        self._lost: dict[str, None] = {}  # in order of their loss
        self.losses = 0

    @property
    def lost(self) -> tuple[str, ...]:
        """Sources that were there and are gone, or tell nonsense."""
        return tuple(self._lost)

    def parse(self, path: str, parser: Callable[[str], T]) -> T | None:
        """Return what the parser makes of a file; None if it cannot be read or the parser raises ValueError."""
        return self.take(path, lambda: parser(self.read(path)))

    def number(self, path: str, low: float, high: float, scale: float = 1.0) -> float | None:
        """Return the number in a file, times scale; None unless it is then between low and high."""
        return self.take(path, lambda: _number(self.read(path), low, high, scale))

    def take(self, name: str, read: Callable[[], T]) -> T | None:
        """Return what a function reads, under a name; None if it raises OSError, ValueError, LookupError or TypeError."""
        try:
            value = read()
        except (OSError, ValueError, LookupError, TypeError) as error:
            if isinstance(error, OSError) and error.errno in _ASLEEP:
                self._lost.pop(name, None)
                return None
            if name in self._seen and name not in self._lost:
                self._lost[name] = None
                self.losses += 1
            return None
        self._seen.add(name)
        self._lost.pop(name, None)
        return value

    def text(self, path: str) -> str | None:
        """Return the text of a file that is looked at once, stripped; None if it cannot be read. Never counted as lost."""
        try:
            return self.read(path).strip("\0 \n")
        except (OSError, ValueError):
            return None

    def names(self, folder: str, prefix: str = "") -> list[str]:
        """Return the names in a folder that begin with a prefix, shorter ones first (zone2 before zone10)."""
        try:
            found = os.listdir(self._real(folder))
        except OSError:
            return []
        return sorted((n for n in found if n.startswith(prefix)), key=lambda n: (len(n), n))

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        try:
            return os.path.exists(self._real(path))
        except OSError:
            return False

    def expect(self, name: str) -> None:
        """Take a source for one that was there: if it does not tell, it is lost."""
        self._seen.add(name)

    def read(self, path: str) -> str:
        """Return the text of a file as it is. Raises OSError, or ValueError for what is no text."""
        descriptor = os.open(self._real(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _MOST_BYTES).decode("utf-8")
        finally:
            os.close(descriptor)

    def _real(self, path: str) -> str:
        """Return where a path of the board really is. OSError (ELOOP) for links that lead in a circle."""
        if not self._root:
            return path
        left = path.strip("/").split("/")[::-1]
        done: list[str] = []
        links = 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del done[-1:]
                continue
            try:
                target = os.readlink("/".join((self._root, *done, name)))
            except OSError:  # no link, or not there
                done.append(name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done.clear()
                # One that names the root itself is where it says: trees for tests have such links.
                target = next((target[len(r) :] for r in self._roots if target.startswith(f"{r}/")), target)
            left.extend(target.split("/")[::-1])
        return "/".join((self._root, *done))


def _number(text: str, low: float, high: float, scale: float) -> float:
    value = float(text.split(maxsplit=1)[0]) * scale
    if not low <= value <= high:  # NaN too
        raise ValueError(f"{value} is not within {low} to {high}")
    return value
