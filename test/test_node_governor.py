# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The governor in the real supervisor over DDS: a board as files gets hot, short of memory and lost; nodes follow."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edge_stack_msgs.msg import BoardState, GovernorState, NodeAllocation, NodeStatus

from edge_stack_bench.benchmarks.common import busy_cores
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer, ros_domain

SETTINGS = {
    "limit_c": 90.0,
    "max_changes_per_minute": 60,
    "table": {
        "signals": {"temperature_c": {"raise": -8.0, "lower": -5.0, "urgent": -2.0}},
        "steps": [0.5, 0.0],
        "lower_every_s": 0.2,
        "raise_after_s": 0.3,
        "raise_every_s": 0.2,
        "lost_fraction": 0.5,
    },
    "memory": {"low_mb": 500, "back_mb": 600, "settle_s": 0.5, "back_after_s": 0.3},
}


class Board:
    """A Linux machine as files."""

    def __init__(self, root: Path) -> None:
        self.zone = root / "sys/class/thermal/thermal_zone0"
        self.zone.mkdir(parents=True)
        (self.zone / "type").write_text("cpu-thermal\n")
        self.memory = root / "proc/meminfo"
        self.memory.parent.mkdir()
        self.root = root
        self.heat(50.0)
        self.leave(4000)

    def heat(self, temperature_c: float) -> None:
        (self.zone / "temp").write_text(f"{temperature_c * 1000:.0f}\n")

    def leave(self, available_mb: int) -> None:
        self.memory.write_text(f"MemTotal: 8000000 kB\nMemAvailable: {available_mb * 1024} kB\n")


class Stack:
    """A supervisor with its governor, its nodes, and what the test hears of them."""

    def __init__(self, folder: Path, peer: Peer, exits: contextlib.ExitStack) -> None:
        self.peer, self._exits = peer, exits
        self.board = Board(folder / "board")
        self.config = folder / "robot.yaml"
        (folder / "robots").mkdir()
        (folder / "robots" / "toy.yaml").touch()
        nodes = {
            "supervisor": {
                "package": "edge_stack_supervisor",
                "executable": "supervisor",
                "class": "essential",
            },
            "arm": {"package": "edge_stack_core", "executable": "toy", "class": "critical"},
            "eye": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "essential",
                "rate_hz": 8.0,
                "floor_hz": 4.0,
            },
            "extra": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "background",
                "rate_hz": 6.0,
            },
        }
        self.config.write_text(yaml.safe_dump({"robot": "toy", "nodes": nodes}), encoding="utf-8")
        self.settings = folder / "governor.yaml"
        self.settings.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
        self.boards: list[BoardState] = peer.collect(BoardState, "board_state", qos.state())
        self.states: list[GovernorState] = peer.collect(GovernorState, "governor_state", qos.state())
        self.diagnostics: list[DiagnosticArray] = peer.collect(DiagnosticArray, "diagnostics", qos.status())

    def start(self) -> None:
        self.start_supervisor()
        for name in ("arm", "eye", "extra"):
            self._exits.enter_context(NodeProcess("supervised_toy", name, {}))
        self.peer.spin_until(
            lambda: all(self.peer.statuses[name].state == "active" for name in ("arm", "eye", "extra")), 30.0
        )
        self.wait_for_rates(eye=8.0, extra=6.0)

    def start_supervisor(self) -> None:
        supervisor = {
            "config_file": str(self.config),
            "governor_file": str(self.settings),
            "sysfs_root": str(self.board.root),
            "board": "linux",
            "board_period_s": 0.1,
            "governor": "table",
        }
        self.supervisor = self._exits.enter_context(
            NodeProcess("edge_stack_supervisor.ros.supervisor", "supervisor", supervisor)
        )

    def wait_for_rates(self, **rates: float) -> None:
        """Wait until the nodes themselves tell these rates."""
        self.peer.spin_until(
            lambda: all(self.peer.statuses[name].target_hz == hz for name, hz in rates.items()),
            15.0,
            f"rates {rates}",
        )

    def allocation(self, name: str) -> NodeAllocation:
        return next(node for node in self.states[-1].nodes if node.name == f"/{name}")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with contextlib.ExitStack() as exits:
        exits.enter_context(ros_domain())
        peer = exits.enter_context(Peer())
        yield Stack(tmp_path, peer, exits)


def test_heat_lowers_background_then_essential_to_its_floor_and_all_comes_back(stack: Stack) -> None:
    stack.start()
    stack.board.heat(86.0)
    stack.wait_for_rates(eye=4.0, extra=0.0)
    stack.peer.spin_until(lambda: "4.0 C below the limit" in stack.allocation("extra").reason, 5.0)
    assert stack.boards[-1].max_temperature_c == 86.0

    def governor() -> DiagnosticStatus | None:
        every = [s for array in stack.diagnostics for s in array.status if s.name == "supervisor: governor"]
        return every[-1] if every else None

    stack.peer.spin_until(lambda: governor() and governor().level == DiagnosticStatus.WARN, 5.0)
    assert {pair.key: pair.value for pair in governor().values}["extra"].startswith("0 Hz: temperature")
    assert stack.allocation("arm").reason == ""
    stack.board.heat(60.0)
    stack.wait_for_rates(eye=8.0, extra=6.0)


def test_a_lost_source_holds_background_down(stack: Stack) -> None:
    stack.start()
    (stack.board.zone / "temp").unlink()
    stack.wait_for_rates(eye=8.0, extra=3.0)
    assert "cannot be read" in stack.allocation("extra").reason


def test_short_memory_cleans_a_background_node_up_until_there_is_room_for_it(stack: Stack) -> None:
    stack.start()
    stack.board.leave(300)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "unconfigured", 15.0)
    assert stack.allocation("extra").off
    assert "300 MiB available" in stack.allocation("extra").reason
    assert stack.peer.statuses["eye"].state == "active"
    stack.board.leave(4000)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "active", 15.0)


def test_a_killed_supervisors_successor_leaves_off_what_was_off_for_want_of_memory(stack: Stack) -> None:
    stack.start()
    stack.board.leave(300)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "unconfigured", 15.0)
    stack.board.leave(700)  # no shortage, and no room for it either
    stack.supervisor.kill()
    stack.states.clear()
    extra: list[str] = []
    stack.start_supervisor()
    stack.peer.spin_until(
        lambda: extra.append(stack.peer.statuses["extra"].state) or len(stack.states) >= 30, 15.0
    )
    assert set(extra) == {"unconfigured"}
    assert stack.allocation("extra").off
    stack.board.leave(4000)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "active", 15.0)


def test_a_status_with_an_impossible_pid_raises_nothing_in_the_supervisor(stack: Stack) -> None:
    stack.start()
    publisher = stack.peer.node.create_publisher(NodeStatus, "node_status", qos.status())
    forged = copy.deepcopy(stack.peer.statuses["extra"])
    forged.pid = 2**32 - 1
    count = len(stack.states)

    def publish() -> bool:
        publisher.publish(forged)
        return len(stack.states) >= count + 20

    stack.peer.spin_until(publish, 15.0, "the supervisor to go on")
    assert [e.event for e in stack.peer.statuses["supervisor"].events if e.event.startswith("raised")] == []


def test_a_pinned_node_is_left_alone_and_the_governor_can_be_switched_off_live(stack: Stack) -> None:
    stack.start()
    assert stack.peer.set_parameter("supervisor", "governor_pinned", ["extra"]) == (True, "")
    succeeded, reason = stack.peer.set_parameter("supervisor", "governor_pinned", ["nobody"])
    assert not succeeded
    assert "no node is called nobody; there are" in reason
    stack.board.heat(86.0)
    stack.wait_for_rates(eye=4.0, extra=6.0)
    assert stack.allocation("extra").pinned
    assert stack.peer.set_parameter("supervisor", "governor", "none") == (True, "")
    stack.wait_for_rates(eye=8.0, extra=6.0)
    stack.peer.spin_until(lambda: stack.states[-1].controller == "none", 5.0)


def test_cores_that_other_programs_keep_busy_are_said(stack: Stack) -> None:
    stack.start()
    # Where the tests beside this one keep all cores busy, it may have been said already.
    with busy_cores():
        stack.peer.spin_until(
            lambda: any(event.event == "cpu_busy" for event in stack.peer.statuses["supervisor"].events),
            15.0,
            "the event",
        )
    assert "every core is busy" in stack.supervisor.output()
