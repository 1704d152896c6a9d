# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Who belongs to a process that was started in a session of its own, or with a mark in its environment.

That is the process and all that it started, also after its death. Its unit is one look at /proc. It uses the standard
library only, because the guard runs without site-packages.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection


def members(sessions: Collection[int]) -> list[int]:
    """Return the ids of the living processes (zombies left out) of the given sessions."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # pid (name) state ppid pgrp session ...; the name may hold anything, so read from the last parenthesis.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) in sessions and fields[0] not in (b"Z", b"X"):
            found.append(int(entry))
    return found


def send(pids: Collection[int], number: int) -> None:
    """Send a signal to every process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def send_to_group(leader: int, number: int) -> None:
    """Send a signal to a process group, if it still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def marked(marks: Collection[str]) -> list[int]:
    """Return the ids of the living processes whose environment has one of the given NAME=value entries."""
    if not marks:
        return []
    wanted = {mark.encode() for mark in marks}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if not wanted.isdisjoint(file.read().split(b"\0")):  # empty for a zombie
                    found.append(int(entry))
        except OSError:  # gone, or another user's
            continue
    return found


def kill_all(sessions: Collection[int]) -> None:
    """Kill every process of the sessions, also those that are started meanwhile."""
    kill_found(lambda: members(sessions))


def kill_found(find: Callable[[], Collection[int]]) -> None:
    """Kill every process that is found, also those that are started meanwhile."""
    for _ in range(20):
        found = find()
        if not found:
            return
        send(found, signal.SIGKILL)
