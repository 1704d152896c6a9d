# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A node's process on this machine: whether it has ended, whether a thread of it runs, and its end by force.

A unit is one look at procfs or at the process's file descriptor (pidfd), which can never come to mean another process.
A process is only taken for the node's if it has the start time that the node tells and belongs to the same user.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
from dataclasses import dataclass

from edge_stack_core.runtime import linux

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ThreadLook:
    """
    One look at a thread.

    state: as in proc(5): R runs or waits for a core, S sleeps, D waits for a disk, T is stopped, t is traced. cpu_s: the
    processor time it has had. others_run: whether another thread of the process, the main one left out, is in state R.
    """

    state: str
    cpu_s: float
    others_run: bool = False


class LocalProcess:
    """One process of this machine, by its pidfd."""

    def __init__(self, pid: int, started_ticks: int) -> None:
        """Raise ProcessLookupError if there is no such process with this start time and of this user."""
        self.pid = pid
        if pid <= 1 or pid in (os.getpid(), os.getppid()):
            raise ProcessLookupError(f"process {pid} is no node's")
        try:
            self._pidfd = os.pidfd_open(pid)
        except OverflowError as error:  # a status may tell any number
            raise ProcessLookupError(f"process {pid} cannot be") from error
        try:
            # After the descriptor is open: from now on the id cannot go to another process unnoticed.
            if start_ticks(pid) != started_ticks or os.stat(f"/proc/{pid}").st_uid != os.geteuid():
                raise ProcessLookupError(f"process {pid} is another one")
        except OSError as error:
            os.close(self._pidfd)
            raise ProcessLookupError(str(error)) from error
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    def ended(self) -> bool:
        """Whether the process has ended, also if nobody has reaped it yet."""
        return bool(self._poll.poll(0))

    def look(self, thread_id: int) -> ThreadLook | None:
        """Look at a thread; None if it cannot be seen."""
        tasks = f"/proc/{self.pid}/task"
        try:
            fields = _stat(f"{tasks}/{thread_id}/stat")
            cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            with contextlib.suppress(OSError), open(f"{tasks}/{thread_id}/schedstat", "rb") as file:
                cpu_s = int(file.read().split()[0]) * 1e-9  # finer, where the kernel counts it
            others_run = False
            for name in os.listdir(tasks):
                if int(name) not in (thread_id, self.pid):
                    with contextlib.suppress(OSError):  # it ended meanwhile
                        others_run = others_run or _stat(f"{tasks}/{name}/stat")[0] == b"R"
        except (OSError, IndexError, ValueError):
            return None
        return ThreadLook(fields[0].decode(), cpu_s, others_run)

    def kill(self) -> str:
        """End the process by SIGKILL; return why that is refused, or an empty string."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._pidfd)


def pid_namespace() -> int:
    """Return the number of the namespace in which this process has its id."""
    return os.stat("/proc/self/ns/pid").st_ino


@functools.cache
def end_with_launch(mark: str) -> bool:
    """
    Have the kernel end this process by SIGTERM when the launch does that started it; return False if that is gone already.

    mark: LAUNCH_VARIABLE of the environment. The launch's guard does so too, and for all processes: this is for the case
    that somebody killed the guard. Where another program stands between, such as a debugger, it is left to the guard.
    """
    launch = mark.partition("-")[0]
    if not launch.isdecimal() or os.getppid() != int(launch):
        return True
    with contextlib.suppress(OSError):
        linux.set_parent_death_signal(signal.SIGTERM)
    return os.getppid() == int(launch)


def machine() -> str:
    """Name the running system and pid namespace: where it is the same, process ids mean the same. Empty if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{pid_namespace()}"
    except OSError:
        return ""


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; OSError if there is none."""
    return int(_stat(f"/proc/{pid}/stat")[19])


def _stat(path: str) -> list[bytes]:
    """Return the fields of a stat file from the state on; the name before it may hold anything."""
    with open(path, "rb") as file:
        return file.read().rpartition(b")")[2].split()
