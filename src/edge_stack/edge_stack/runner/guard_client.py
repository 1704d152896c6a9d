# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The owner's side of the guard: starts it, tells it what to end, and releases it.

Its unit is one guard process. It ends by itself when its owner does, for the pipe between them then closes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from edge_stack.runner import guard


class GuardClient:
    """A guard of this process, in a session of its own, so that no signal of a terminal reaches it."""

    def __init__(self) -> None:
        """Start it. OSError if that cannot be."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={},
        )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def session(self, pid: int, *, lives: bool) -> None:
        """Say that a session that this process made lives, or is over."""
        self._tell(f"{'+' if lives else '-'}{pid}")

    def environment(self, name: str, value: str) -> None:
        """Say that all processes with this in their environment are to end with this one."""
        self._tell(f"={name}={value}")

    def release(self) -> None:
        """End the guard, which ends what is still registered."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), f"{line}\n".encode())
