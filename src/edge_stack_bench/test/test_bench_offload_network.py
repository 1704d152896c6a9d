# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The emulated network: its rules on packets, and a real TCP connection through it where this system allows one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_bench.benchmarks.offload_network import Link, Network

PACKETS = st.lists(st.tuples(st.floats(0.0, 0.1), st.integers(40, 1500)), min_size=1, max_size=60)


@given(PACKETS, st.floats(0.0, 200.0), st.sampled_from((0.0, 0.02, 0.5)), st.sampled_from((None, 0.1, 5.0)))
def test_packets_arrive_in_order_and_not_before_half_a_round_trip(
    packets: list[tuple[float, int]], rtt_ms: float, loss: float, mbit_s: float | None
) -> None:
    link = Link(Network(rtt_ms, loss, mbit_s), seed=1)
    now_s = last_s = 0.0
    for pause_s, size in packets:
        now_s += pause_s
        arrival_s = link.arrival_s(size, now_s)
        if arrival_s is not None:
            on_the_wire_s = size * 8e-6 / mbit_s if mbit_s is not None else 0.0
            assert arrival_s >= max(last_s, now_s + 0.5e-3 * rtt_ms + on_the_wire_s) - 1e-9
            last_s = arrival_s
    assert link.sent_bytes == sum(size for _, size in packets)


def test_a_link_passes_no_more_than_its_bandwidth_and_its_buffer_is_bounded() -> None:
    link = Link(Network(mbit_s=5.0))
    arrivals = [link.arrival_s(1500, 0.0) for _ in range(1000)]
    passed = [arrival for arrival in arrivals if arrival is not None]
    assert len(passed) == int(0.25 * 5e6 / 8 / 1500)
    assert max(passed) == pytest.approx(len(passed) * 1500 * 8 / 5e6)


def test_losses_are_as_many_as_asked_for() -> None:
    link = Link(Network(loss=0.1), seed=3)
    lost = sum(link.arrival_s(100, 0.01 * i) is None for i in range(5000))
    assert lost == link.lost_packets and 400 < lost < 600


def test_nothing_passes_a_cut() -> None:
    link = Link(Network(cut=True))
    assert all(link.arrival_s(100, 0.01 * i) is None for i in range(100))


def test_a_network_says_what_it_is() -> None:
    assert str(Network(20.0, 0.02)) == "20 ms, 2 % loss"
    assert str(Network(20.0, mbit_s=5.0, cut=True)) == "20 ms, 5 Mbit/s, cut"


_ECHO = """
import socket
listener = socket.create_server(("10.77.0.2", 5000))
while True:
    connection, _ = listener.accept()
    while data := connection.recv(4096):
        connection.sendall(data)
"""

_CLIENT = f"""
import socket, sys, time
from edge_stack_bench.benchmarks.offload_network import THERE, EmulatedNetwork, Network
from edge_stack_bench.faults.injections import own_network

try:
    own_network()
    network = EmulatedNetwork([sys.executable, "-c", {_ECHO!r}], "/dev/null")
except OSError as error:
    print("not allowed:", error)
    sys.exit(77)
until = time.monotonic() + 60.0
while True:
    try:
        connection = socket.create_connection((THERE, 5000), timeout=1.0)
        break
    except OSError:
        assert time.monotonic() < until
network.set(Network(rtt_ms=40.0))
began = time.monotonic()
connection.sendall(b"ping")
assert connection.recv(10) == b"ping"
assert time.monotonic() - began >= 0.04
network.set(Network(cut=True))
connection.sendall(b"lost")
connection.settimeout(0.3)
try:
    connection.recv(10)
    raise SystemExit("something passed the cut")
except TimeoutError:
    pass
network.set(Network())
connection.settimeout(60.0)
assert connection.recv(10) == b"lost"
counts = network.counts()
assert counts["lost_packets"] > 0 and counts["bytes_sent"] > 80 and counts["server_alive"]
network.close()
"""


def test_a_real_connection_is_delayed_cut_and_goes_on_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT], capture_output=True, text=True, timeout=150.0, check=False
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
