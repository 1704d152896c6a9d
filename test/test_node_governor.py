# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The governor in the real supervisor over DDS: a board as files gets hot, short of memory and lost; nodes follow."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edge_stack_msgs.msg import BoardState, GovernorState, NodeAllocation, NodeStatus

from edge_stack_bench.benchmarks.common import busy_cores
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, ros_domain

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
        self._put(self.zone / "temp", f"{temperature_c * 1000:.0f}\n")

    def leave(self, available_mb: int) -> None:
        self._put(self.memory, f"MemTotal: 8000000 kB\nMemAvailable: {available_mb * 1024} kB\n")

    def _put(self, path: Path, text: str) -> None:
        """Write a file as the kernel does: nobody reads a part of it."""
        new = self.root / "new"
        new.write_text(text)
        new.replace(path)


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
        self.boards: History = peer.record(BoardState, "board_state", qos.state())
        self.states: History = peer.record(GovernorState, "governor_state", qos.state())
        self.diagnostics: list[DiagnosticArray] = peer.collect(DiagnosticArray, "diagnostics", qos.status())

    def start(self) -> None:
        self.start_supervisor()
        for name in ("arm", "eye", "extra"):
            self._exits.enter_context(NodeProcess("supervised_toy", name, {}))
        self.peer.spin_until(
            lambda: all(self.peer.statuses[name].state == "active" for name in ("arm", "eye", "extra"))
        )
        self.wait_for_rates(eye=8.0, extra=6.0)

    def start_supervisor(self) -> None:
        supervisor = {
            "config_file": str(self.config),
            "modes_file": "none",
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
            what=f"rates {rates}",
        )

    def allocation(self, name: str) -> NodeAllocation:
        """Return what the governor's newest state says of a node; nothing where there is none."""
        nodes = self.states[-1].nodes if self.states else []
        return next((node for node in nodes if node.name == f"/{name}"), NodeAllocation())

    def until_told(self, name: str, condition: Callable[[NodeAllocation], Any], what: str) -> None:
        """Wait for the governor's state: a node may follow before whoever listens is told why."""
        self.peer.spin_until(
            lambda: condition(self.allocation(name)), what=f"{what}; {self.allocation(name)}"
        )


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
    stack.until_told("extra", lambda node: "4.0 C below the limit" in node.reason, "the reason")
    stack.peer.spin_until(lambda: stack.boards[-1].max_temperature_c == 86.0)

    def governor() -> DiagnosticStatus | None:
        every = [
            s for array in stack.diagnostics for s in array.status if s.name == "supervisor: governor_state"
        ]
        return every[-1] if every else None

    def values() -> dict[str, str]:
        return {pair.key: pair.value for pair in governor().values}

    stack.peer.spin_until(lambda: governor() and governor().level == DiagnosticStatus.WARN)
    stack.peer.spin_until(lambda: values()["extra"].startswith("0 Hz: temperature"))
    assert stack.allocation("arm").reason == ""
    stack.board.heat(60.0)
    stack.wait_for_rates(eye=8.0, extra=6.0)


def test_a_rate_that_somebody_sets_comes_back_after_the_heat_and_is_lowered_for_it(stack: Stack) -> None:
    stack.start()
    assert stack.peer.set_parameter("extra", "rate_hz", 2.0) == (True, "")
    stack.until_told("extra", lambda node: node.wanted_hz == 2.0, "the wish")
    stack.board.heat(86.0)
    stack.wait_for_rates(eye=4.0, extra=0.0)
    # Who sets it now has it lowered again, and is told why.
    assert stack.peer.set_parameter("extra", "rate_hz", 5.0) == (True, "")
    stack.until_told(
        "extra",
        lambda n: n.wanted_hz == 5.0 and n.rate_hz == 0.0 and "below the limit" in n.reason,
        "the reason",
    )
    stack.wait_for_rates(extra=0.0)
    stack.board.heat(60.0)
    stack.wait_for_rates(eye=8.0, extra=5.0)
    lines = [line for line in stack.supervisor.output().splitlines() if "extra: rate_hz" in line]
    assert sum("set by hand" in line for line in lines) == 2, lines


def test_a_lost_source_holds_background_down(stack: Stack) -> None:
    stack.start()
    (stack.board.zone / "temp").unlink()
    stack.wait_for_rates(eye=8.0, extra=3.0)
    stack.until_told("extra", lambda node: "cannot be read" in node.reason, "the reason")


def test_short_memory_cleans_a_background_node_up_until_there_is_room_for_it(stack: Stack) -> None:
    stack.start()
    since_s = stack.peer.now_s()
    stack.board.leave(300)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "unconfigured")
    stack.until_told("extra", lambda node: node.off and "300 MiB available" in node.reason, "the reason")
    stack.peer.spin_until(lambda: stack.peer.said("eye", since_s))
    assert {status.state for status in stack.peer.said("eye", since_s)} == {"active"}
    stack.board.leave(4000)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "active")


def test_a_killed_supervisors_successor_leaves_off_what_was_off_for_want_of_memory(stack: Stack) -> None:
    stack.start()
    stack.board.leave(300)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "unconfigured")
    stack.board.leave(700)  # no shortage, and no room for it either
    stack.supervisor.kill()
    killed_s = stack.peer.now_s()
    stack.start_supervisor()
    stack.peer.spin_until(lambda: len(stack.states.since(killed_s)) >= 30, what="states of the successor")
    assert {status.state for status in stack.peer.said("extra", killed_s)} == {"unconfigured"}
    assert stack.allocation("extra").off
    stack.board.leave(4000)
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].state == "active")


def test_a_status_with_an_impossible_pid_raises_nothing_in_the_supervisor(stack: Stack) -> None:
    stack.start()
    publisher = stack.peer.node.create_publisher(NodeStatus, "node_status", qos.status())
    forged = copy.deepcopy(stack.peer.statuses["extra"])
    forged.pid = 2**32 - 1
    count = len(stack.states)

    def publish() -> bool:
        publisher.publish(forged)
        return len(stack.states) >= count + 20

    stack.peer.spin_until(publish, what="the supervisor to go on")
    went_on_s = stack.peer.now_s()
    stack.peer.spin_until(lambda: stack.peer.said("supervisor", went_on_s), what="what it counted")
    assert [e.event for e in stack.peer.statuses["supervisor"].events if e.event.startswith("raised")] == []


def test_a_pinned_node_is_left_alone_and_the_governor_can_be_switched_off_live(stack: Stack) -> None:
    stack.start()
    assert stack.peer.set_parameter("supervisor", "governor_pinned", ["extra"]) == (True, "")
    succeeded, reason = stack.peer.set_parameter("supervisor", "governor_pinned", ["nobody"])
    assert not succeeded
    assert "no node is called nobody; there are" in reason
    stack.board.heat(86.0)
    stack.wait_for_rates(eye=4.0, extra=6.0)
    stack.until_told("extra", lambda node: node.pinned, "pinned")
    assert stack.peer.set_parameter("supervisor", "governor", "none") == (True, "")
    stack.wait_for_rates(eye=8.0, extra=6.0)
    stack.peer.spin_until(lambda: stack.states[-1].controller == "none")


def test_cores_that_other_programs_keep_busy_are_said(stack: Stack) -> None:
    stack.start()
    # Where the tests beside this one keep all cores busy, it may have been said already.
    with busy_cores():
        stack.peer.spin_until(
            lambda: any(event.event == "cpu_busy" for event in stack.peer.statuses["supervisor"].events),
            what="the event",
        )
    assert "every core is busy" in stack.supervisor.output()
