# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
An emulated network between this computer and a server: delay, loss, bandwidth and cuts of real IP packets.

Its unit of work is one packet. The server runs in a network namespace of its own; the only way to it is a pair of TUN
devices, between which a process of ours carries every packet, later or never. So TCP's own retransmissions and back-off are
what a policy feels. (Linux's netem does the same inside the kernel, where the kernel has it.) Needs the right to make a
network namespace and a TUN device. Nothing of it is reachable from elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge_stack_bench.faults.injections import own_network

HERE, THERE = "10.77.0.1", "10.77.0.2"
"""Addresses of this side and of the server's, in namespaces that nobody else is in."""
_NETMASK = "255.255.255.252"
_DEVICE = b"edge_link"
_PACKET_BYTES = 2048  # above the device's MTU of 1500
_BUFFER_S = 0.25  # what a router's queue holds, as time at the link's bandwidth
_ANSWER_S = 10.0
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8916, 0x891C, 0x8913, 0x8914, 0x1


@dataclass(frozen=True)
class Network:
    """
    What a network does to packets.

    rtt_ms: there and back. loss: share of packets lost in each direction, 0..1. mbit_s: bandwidth of each direction, None
    if it does not matter. cut: nothing passes.
    """

    rtt_ms: float = 0.0
    loss: float = 0.0
    mbit_s: float | None = None
    cut: bool = False

    def __str__(self) -> str:
        """Return it in words: "20 ms, 2 % loss"."""
        parts = [f"{self.rtt_ms:g} ms"]
        if self.loss:
            parts.append(f"{100 * self.loss:g} % loss")
        if self.mbit_s is not None:
            parts.append(f"{self.mbit_s:g} Mbit/s")
        return ", ".join([*parts, *(["cut"] if self.cut else [])])


class Link:
    """One direction of a network: decides when a packet arrives, and counts."""

    def __init__(self, network: Network, seed: int = 0) -> None:
        """seed: of the losses."""
        self.network = network
        self.sent_bytes = self.lost_packets = 0
        self._random = random.Random(seed)
        self._free_s = -float("inf")  # when the sender's queue is empty
        self._last_s = -float("inf")

    def arrival_s(self, size_bytes: int, now_s: float) -> float | None:
        """Return when a packet of this size that is sent now arrives, never before the one before it; None: it is lost."""
        network = self.network
        self.sent_bytes += size_bytes
        leaves_s = now_s
        if network.mbit_s is not None:
            leaves_s = max(now_s, self._free_s) + size_bytes * 8e-6 / network.mbit_s
        overflow = leaves_s - now_s > _BUFFER_S
        if network.cut or overflow or self._random.random() < network.loss:
            self.lost_packets += 1
            return None
        self._free_s = leaves_s
        self._last_s = max(leaves_s + 0.5e-3 * network.rtt_ms, self._last_s)
        return self._last_s


class EmulatedNetwork:
    """A server behind a network that changes on demand. To be made in a network namespace of one's own (own_network)."""

    def __init__(self, command: Sequence[str], log: Path, seed: int = 0) -> None:
        """
        Start the carrier and, in a namespace of its own at THERE, the server. log: gets what the server writes.

        OSError if this system does not allow it.
        """
        program = [
            sys.executable,
            "-m",
            "edge_stack_bench.benchmarks.offload_network",
            str(seed),
            str(log),
            *command,
        ]
        self._carrier = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            answer = self._answer()
        except (OSError, ValueError):
            self.close()
            raise
        if "error" in answer:
            self.close()
            raise OSError(answer["error"])

    def set(self, network: Network) -> None:
        """Change the network for every packet from now on."""
        assert self._carrier.stdin is not None
        self._carrier.stdin.write(json.dumps(asdict(network)).encode() + b"\n")
        self._carrier.stdin.flush()
        self._answer()

    def counts(self) -> dict[str, int]:
        """Return bytes_sent and bytes_received (IP packets, from this side's view) and lost packets of both directions."""
        assert self._carrier.stdin is not None
        self._carrier.stdin.write(b"{}\n")
        self._carrier.stdin.flush()
        return self._answer()

    def server_alive(self) -> bool:
        """Whether the server process still runs."""
        return bool(self.counts()["server_alive"])

    def close(self) -> None:
        """End the server and the carrier."""
        assert self._carrier.stdin is not None and self._carrier.stdout is not None
        with contextlib.suppress(OSError):
            self._carrier.stdin.close()  # the carrier ends when nobody can speak to it any more
        try:
            self._carrier.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            self._carrier.kill()
            self._carrier.wait()
        self._carrier.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._carrier.stdout is not None
        ready, _, _ = select.select([self._carrier.stdout], [], [], _ANSWER_S)
        line = self._carrier.stdout.readline() if ready else b""
        if not line:
            raise OSError("the process that carries the packets ended or does not answer")
        answer: dict[str, Any] = json.loads(line)
        return answer


# ---- the process that carries the packets


def _open_tun(address: str) -> int:
    """Make a TUN device with an address in the present namespace; return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE, _IFF_TUN | _IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, _NETMASK)):
            packed = struct.pack("16sHH4s16x", _DEVICE, socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, packed)
        flags = struct.unpack("16sH22x", fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16s24x", _DEVICE)))[
            1
        ]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", _DEVICE, flags | _IFF_UP))
    return device


class _Carrier:
    """Two links between two devices, and what is under way on them."""

    def __init__(self, here: int, there: int, seed: int) -> None:
        network = Network()
        self.links = (Link(network, seed), Link(network, seed + 1))
        self._devices = (here, there)
        self._under_way: tuple[deque[tuple[float, bytes]], ...] = (deque(), deque())

    def set(self, network: Network) -> None:
        for link in self.links:
            link.network = network

    def next_s(self) -> float | None:
        """Return when the next packet arrives, None if none is under way."""
        return min((queue[0][0] for queue in self._under_way if queue), default=None)

    def take(self, direction: int, now_s: float) -> None:
        """Take every packet that a device has for the other."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = os.read(self._devices[direction], _PACKET_BYTES)
                arrival_s = self.links[direction].arrival_s(len(packet), now_s)
                if arrival_s is not None:
                    self._under_way[direction].append((arrival_s, packet))

    def deliver(self, now_s: float) -> None:
        """Hand over what has arrived by now."""
        for direction, queue in enumerate(self._under_way):
            while queue and queue[0][0] <= now_s:
                with contextlib.suppress(OSError):  # what a device does not take is lost
                    os.write(self._devices[1 - direction], queue.popleft()[1])


def main(arguments: Sequence[str]) -> int:
    """Carry packets for a server until standard input ends. Arguments: a seed, the server's log, and its command."""
    seed, log, command = int(arguments[0]), arguments[1], list(arguments[2:])
    try:
        here = _open_tun(HERE)
        own_network()
        there = _open_tun(THERE)
    except OSError as error:
        print(json.dumps({"error": f"no emulated network: {error}"}), flush=True)
        return 1
    with contextlib.suppress(OSError):
        os.nice(-10)  # it stands for the wire, which is never late
    with open(log, "wb") as output:
        # LeRobot's server writes logs into a folder of the one that it runs in.
        server = subprocess.Popen(
            command,
            cwd=Path(log).parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_end_with_parent,
        )
    print("{}", flush=True)
    try:
        _carry(_Carrier(here, there, seed), here, there, server)
    finally:
        server.terminate()
        try:
            server.wait(5.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    return 0


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    with contextlib.suppress(OSError):
        os.nice(10)


def _carry(carrier: _Carrier, here: int, there: int, server: subprocess.Popen[bytes]) -> None:
    orders = sys.stdin.fileno()
    pending = b""
    while True:
        next_s = carrier.next_s()
        wait_s = 1.0 if next_s is None else max(0.0, next_s - time.monotonic())
        ready, _, _ = select.select([here, there, orders], [], [], wait_s)
        now_s = time.monotonic()
        for direction, device in enumerate((here, there)):
            if device in ready:
                carrier.take(direction, now_s)
        carrier.deliver(time.monotonic())
        if orders in ready:
            text = os.read(orders, 65536)
            if not text:
                return
            *lines, pending = (pending + text).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if order:
                    carrier.set(replace(Network(), **order))
                sent, received = carrier.links
                answer = {
                    "bytes_sent": sent.sent_bytes,
                    "bytes_received": received.sent_bytes,
                    "lost_packets": sent.lost_packets + received.lost_packets,
                    "server_alive": server.poll() is None,
                }
                print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
