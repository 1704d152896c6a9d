# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated board as a process over DDS: it feels the stack's load, and faults are parameters."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from edge_stack_msgs.msg import NodeStatus, StageLatency

from edge_stack_core.board import BoardState, open_reader
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer

MODULE = "edge_stack_sim.ros.board"


@pytest.fixture
def board(peer: Peer) -> Iterator[NodeProcess]:
    with NodeProcess(MODULE, "board", {"time_scale": 20.0}) as process:
        yield process


def test_load_heats_it_faults_show_in_its_files_and_they_go_with_it(peer: Peer, board: NodeProcess) -> None:
    reader = open_reader("simulated")
    statuses = peer.node.create_publisher(NodeStatus, "node_status", qos.status())
    model = NodeStatus(name="/detect", rate_hz=20.0, rss_mb=200.0, cpu_pct=90.0)
    model.stages = [StageLatency(name="inference", p50_ms=40.0)]

    def read() -> BoardState:
        statuses.publish(model)
        return reader.read(time.monotonic())

    assert read().max_temperature_c is None
    peer.bring_up("board")
    peer.spin_until(lambda: read().gpu_load == pytest.approx(0.8))
    cool = read()
    assert not cool.lost
    assert cool.max_temperature_c is not None
    start_c = cool.max_temperature_c
    peer.spin_until(lambda: (read().max_temperature_c or 0.0) > start_c + 3.0)
    # Not of `cool`: its files are written one by one, and the first that shows the model's load may come before its memory.
    available = read().memory_available_mb
    assert available is not None

    for name, value in (
        ("power_mode", "15W"),
        ("memory_used_mb", 2000.0),
        ("ambient_c", 40.0),
        ("fan", "failed"),
    ):
        assert peer.set_parameter("board", name, value) == (True, "")
    peer.spin_until(lambda: read().memory_available_mb == pytest.approx(available - 2000.0, abs=50.0))
    assert read().power_mode == "15W"
    ok, reason = peer.set_parameter("board", "power_mode", "30W")
    assert not ok
    assert "'30W' is not one of 15W, 25W" in reason

    assert peer.transition("board", "deactivate")
    assert peer.transition("board", "cleanup")
    assert read().lost
    peer.bring_up("board")
    peer.spin_until(lambda: not read().lost)
    assert board.stop() == 0
    assert read().lost
