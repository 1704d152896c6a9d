# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How faults are brought about: signals to processes, live parameters of simulated parts, load, and a broken network.

A unit is one injection, begun and ended once. Everything is really done to the running stack; nothing pretends.
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import os
import random
import signal
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from edge_stack_bench.benchmarks.common import busy_cores


class Stack(Protocol):
    """What faults need of the running stack."""

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a node's process."""

    def set_parameters(self, executable: str, values: Mapping[str, Any]) -> None:
        """Set live parameters of the node that is run by this executable."""

    def names(self) -> list[str]:
        """Return the names of all nodes."""

    def request_stop(self, stop: bool) -> None:
        """Request a stop of the robot, or release it; return when that was answered."""

    def namespace(self) -> str:
        """Return the namespace of the nodes; empty: none."""


class Injection(abc.ABC):
    """One fault while it is being done."""

    def ready(self, stack: Stack) -> None:  # noqa: B027 (most need nothing)
        """Get ready, so that begin breaks it at once."""

    @abc.abstractmethod
    def begin(self, stack: Stack) -> None:
        """Break it."""

    @abc.abstractmethod
    def end(self, stack: Stack) -> None:
        """Take the cause away; what recovers then recovers by itself."""

    def figures(self) -> dict[str, float]:
        """Return what it measured itself, by the name of its column; complete after the end."""
        return {}


class Kill(Injection):
    """SIGKILL to a node's process."""

    def __init__(self, node: str) -> None:
        self._node = node

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        stack.signal(self._node, signal.SIGKILL)

    def end(self, stack: Stack) -> None:
        """See Injection."""


class Hang(Injection):
    """SIGSTOP to a node's process: it lives and does nothing. SIGCONT at the end, if it was not replaced meanwhile."""

    def __init__(self, node: str) -> None:
        self._node = node

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        stack.signal(self._node, signal.SIGSTOP)

    def end(self, stack: Stack) -> None:
        """See Injection."""
        stack.signal(self._node, signal.SIGCONT)


class StopAndKill(Injection):
    """A stop of the robot is requested, then every process is killed; the stop is released at the end."""

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        stack.request_stop(True)
        for name in stack.names():
            stack.signal(name, signal.SIGKILL)

    def end(self, stack: Stack) -> None:
        """See Injection."""
        stack.request_stop(False)


class Parameters(Injection):
    """Live parameters of the node with this executable, set at the begin and set back at the end."""

    def __init__(self, executable: str, during: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self._executable, self._during, self._after = executable, during, after

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        stack.set_parameters(self._executable, self._during)

    def end(self, stack: Stack) -> None:
        """See Injection."""
        if self._after:
            stack.set_parameters(self._executable, self._after)


class Ramp(Injection):
    """A live parameter that goes evenly from one value to another during the fault, and back at its end."""

    STEP_S = 0.25

    def __init__(self, executable: str, parameter: str, start: float, stop: float, duration_s: float) -> None:
        self._executable, self._parameter = executable, parameter
        self._start, self._stop, self._duration_s = start, stop, duration_s
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        self._thread = threading.Thread(target=self._climb, args=(stack,), name="ramp", daemon=True)
        self._thread.start()

    def end(self, stack: Stack) -> None:
        """See Injection."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        stack.set_parameters(self._executable, {self._parameter: self._start})

    def _climb(self, stack: Stack) -> None:
        steps = max(1, round(self._duration_s / self.STEP_S))
        for step in range(1, steps + 1):
            value = self._start + (self._stop - self._start) * step / steps
            stack.set_parameters(self._executable, {self._parameter: value})
            if self._over.wait(self.STEP_S):
                return


class Hog(Injection):
    """Other programs that keep every core busy."""

    PER_CORE = 2

    def __init__(self) -> None:
        self._busy = contextlib.ExitStack()

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        self._busy.enter_context(busy_cores(self.PER_CORE))

    def end(self, stack: Stack) -> None:
        """See Injection."""
        self._busy.close()


_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_IFREQ = struct.Struct("16sh14x")


class NetworkLoss(Injection):
    """
    Loopback that goes down and up at random: what DDS sends meanwhile is lost, in bursts.

    Only in a network namespace of the stack's own (see own_network): nobody else's loopback is touched.
    """

    SHARE, MEAN_S = 0.5, 0.1

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, stack: Stack) -> None:
        """See Injection."""
        set_loopback(up=False)  # PermissionError in a namespace that is not ours
        self._thread = threading.Thread(target=self._drop, name="network_loss", daemon=True)
        self._thread.start()

    def end(self, stack: Stack) -> None:
        """See Injection."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        set_loopback(up=True)

    def _drop(self) -> None:
        up = False
        while not self._over.wait(self._random.expovariate(1.0 / self.MEAN_S)):
            up = self._random.random() >= self.SHARE
            set_loopback(up=up)


def set_loopback(*, up: bool) -> None:
    """Take this network namespace's loopback up or down (netdevice(7)). OSError if that is not permitted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(answer)[1]
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags))


def own_network() -> None:
    """
    Move this process, and what it starts from now on, into a network namespace of its own, with loopback up.

    To be called while the process has one thread. OSError if the system does not allow it.
    """
    new_user, new_network = 0x10000000, 0x40000000
    flags = new_network if os.geteuid() == 0 else new_network | new_user
    user, group = os.getuid(), os.getgid()
    _unshare(flags)
    if flags & new_user:
        with contextlib.suppress(OSError):
            _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    set_loopback(up=True)


def _unshare(flags: int) -> None:
    import ctypes

    # os.unshare came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace of one's own: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
