# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor as a real process over DDS, with real node processes that fail, die and come back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edge_stack_msgs.msg import NodeStatus, StackState, SupervisedNode
from edge_stack_msgs.srv import ManageStack
from rclpy.qos import DurabilityPolicy

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, ros_domain, stamp_s

NAMES = ("arm", "eye", "extra")


class Stack:
    """A supervisor, its nodes, and what the test hears of them."""

    def __init__(self, folder: Path, peer: Peer, exits: contextlib.ExitStack) -> None:
        self.peer = peer
        self._exits = exits
        self.config = folder / "robot.yaml"
        (folder / "robots").mkdir()
        (folder / "robots" / "toy.yaml").touch()
        self.write_config()
        self.states: History = peer.record(StackState, "stack_state", qos.state())
        self.diagnostics: list[DiagnosticArray] = peer.collect(DiagnosticArray, "diagnostics", qos.status())
        self.history: list[tuple[str, str]] = []  # (node, state) as nodes report their changes
        self._last: dict[str, str] = {}
        peer.node.create_subscription(NodeStatus, "node_status", self._note, qos.status())
        self.processes: dict[str, NodeProcess] = {}

    def write_config(self) -> None:
        nodes = {
            "supervisor": {
                "package": "edge_stack_supervisor",
                "executable": "supervisor",
                "class": "essential",
            },
            "arm": {"package": "edge_stack_core", "executable": "toy", "class": "critical", "stage": 1},
            "eye": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "essential",
                "stage": 1,
                "rate_hz": 5.0,
            },
            "extra": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "background",
                "stage": 2,
                "rate_hz": 2.0,
            },
        }
        self.config.write_text(yaml.safe_dump({"robot": "toy", "nodes": nodes}), encoding="utf-8")

    def _note(self, status: NodeStatus) -> None:
        name = status.name.rsplit("/", 1)[-1]
        if self._last.get(name) != status.state:
            self._last[name] = status.state
            self.history.append((name, status.state))

    def start(self, name: str, **parameters: Any) -> NodeProcess:
        module = "supervised_toy"
        if name == "supervisor":
            module = "edge_stack_supervisor.ros.supervisor"
            parameters = {"config_file": str(self.config), "modes_file": "none", **parameters}
        process = self._exits.enter_context(NodeProcess(module, name, parameters))
        self.processes[name] = process
        return process

    def start_all(self, **of_extra: Any) -> None:
        self.start("supervisor")
        for name in NAMES:
            self.start(name, **(of_extra if name == "extra" else {}))

    def seen(self, name: str) -> SupervisedNode | None:
        """Return a node as the supervisor shows it in its newest state."""
        if not self.states:
            return None
        return next((node for node in self.states[-1].nodes if node.name == f"/{name}"), None)

    def is_up(self, since_s: float = 0.0) -> bool:
        """Whether the newest state says so that was published after a time."""
        states = self.states.since(since_s)
        return bool(states) and states[-1].state == StackState.ACTIVE

    def wait_until_up(self, since_s: float = 0.0) -> None:
        """Wait until the supervisor says so, and this test has heard it from the nodes as well."""
        self.peer.spin_until(
            lambda: self.is_up(since_s) and all(self._last.get(name) == "active" for name in NAMES),
            what="the stack to be active",
        )

    def manage(self, command: int) -> ManageStack.Response:
        request = ManageStack.Request(command=command)
        # It is answered when the stack has got there.
        return self.peer.call(ManageStack, "supervisor/manage", request, answer_s=20.0)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with contextlib.ExitStack() as exits:
        exits.enter_context(ros_domain())
        peer = exits.enter_context(Peer())
        yield Stack(tmp_path, peer, exits)


@pytest.fixture
def peer_and_file(tmp_path: Path) -> Iterator[tuple[Peer, Path]]:
    with ros_domain(), Peer() as peer:
        yield peer, tmp_path / "file"


def test_it_brings_nodes_up_in_stages_and_shows_their_state_rate_and_health(stack: Stack) -> None:
    stack.start_all()
    stack.wait_until_up()
    lines = stack.processes["supervisor"].output().splitlines()
    begins = next(index for index, line in enumerate(lines) if "extra: configure" in line)
    for name in ("arm", "eye"):
        assert any(f"{name}: " in line and "-> active" in line for line in lines[:begins])

    # While all of them have just begun, one may be short of processor time, and that is said.
    stack.peer.spin_until(
        lambda: (now := stack.seen("extra")) is not None and not now.message, what="it to be well"
    )
    extra = stack.seen("extra")
    assert extra is not None
    assert (extra.state, extra.wanted, extra.priority_class) == ("active", "active", "background")
    assert extra.pid == stack.processes["extra"].pid
    assert (extra.recoveries, math.isnan(extra.last_recovery_s)) == (0, True)
    assert stack.seen("supervisor") is None
    stack.peer.spin_until(lambda: stack.peer.statuses["extra"].target_hz == 2.0, what="its rate to be set")

    # Its state is its heartbeat as well: it comes though nothing changes. The usual pause counts, for on a busy machine it
    # may be longer now and then.
    since_s = stack.peer.now_s()
    stack.peer.spin_until(lambda: len(stack.states.since(since_s)) >= 20, what="twenty states")
    pauses_s = sorted(b - a for a, b in pairwise(map(stamp_s, stack.states.since(since_s))))
    assert pauses_s[len(pauses_s) // 2] < 0.2

    def levels() -> dict[str, bytes]:
        newest = {status.name: status for array in stack.diagnostics for status in array.status}
        return {name: status.level for name, status in newest.items() if name in wanted}

    wanted = {f"supervisor: node {name}": DiagnosticStatus.OK for name in NAMES}
    stack.peer.spin_until(lambda: levels() == wanted, what="diagnostics of all nodes")

    infos = stack.peer.node.get_publishers_info_by_topic("stack_state")
    assert [info.qos_profile.durability for info in infos] == [DurabilityPolicy.TRANSIENT_LOCAL]


def test_a_wanted_rate_is_a_live_parameter_and_a_rate_set_on_the_node_holds(stack: Stack) -> None:
    stack.start_all()
    stack.wait_until_up()
    assert stack.peer.set_parameter("supervisor", "rate_hz.eye", 7.5) == (True, "")
    stack.peer.spin_until(lambda: stack.peer.statuses["eye"].target_hz == 7.5, what="the rate to be set")
    # The node may say so before the supervisor's next state does.
    stack.peer.spin_until(lambda: stack.seen("eye").target_hz == 7.5, what="the rate to be shown")
    assert stack.peer.set_parameter("eye", "rate_hz", 3.0) == (True, "")
    stack.peer.spin_until(lambda: stack.peer.statuses["eye"].target_hz == 3.0, what="the node's own rate")
    since_s, count = stack.peer.now_s(), len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 15 and stack.peer.said("eye", since_s))
    assert {status.target_hz for status in stack.peer.said("eye", since_s)} == {3.0}
    stack.peer.spin_until(
        lambda: (stack.seen("eye").target_hz, stack.seen("eye").reason) == (3.0, "3 Hz was set by hand"),
        what="the rate by hand to be shown",
    )
    succeeded, reason = stack.peer.set_parameter("supervisor", "rate_hz.eye", 49.0)
    assert (succeeded, reason) == (True, "")
    stack.peer.spin_until(lambda: stack.peer.statuses["eye"].target_hz == 49.0, what="the rate to be set")
    stack.peer.set_parameter("supervisor", "rate_hz.eye", 500.0)
    seen = stack.peer.spin_until(
        lambda: "rate_hz refused" in stack.seen("eye").message and stack.seen("eye"), what="the refusal"
    )
    assert seen.state == "active"


def test_a_node_that_cannot_configure_shows_why_and_comes_up_once_it_can(
    stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    stack.start_all(needs_file=str(file))
    # What the node says itself may be shown before the answer that it failed, which counts as an attempt.
    reason = f"configure failed: needs_file: {file} does not exist (attempt "
    stack.peer.spin_until(
        lambda: stack.seen("extra") and stack.seen("extra").message.startswith(reason), what="the reason"
    )
    stack.peer.spin_until(lambda: stack.states[-1].state == StackState.DEGRADED, what="degraded")
    assert stack.seen("arm").state == "active"
    assert stack.seen("eye").state == "active"
    stack.peer.spin_until(lambda: "(attempt 4" in stack.seen("extra").message, what="some more attempts")
    lines = stack.processes["supervisor"].output().splitlines()
    assert sum(line.endswith("extra: configure") for line in lines) == 1
    told = [line for line in lines if "extra: configuring -> unconfigured" in line]
    assert len(told) <= 3, told  # with the node's own words, with its attempts, and with what is next
    assert stack.processes["extra"].output().count("configure failed") == 1
    file.touch()
    stack.wait_until_up()
    stack.peer.spin_until(lambda: stack.seen("extra").message == "", what="it to be well")


def test_a_killed_node_is_active_again_in_time_and_the_others_never_leave_active(stack: Stack) -> None:
    """How long it takes is measured by `./edge bench faults`; here, that the time is told, and nothing else happens."""
    stack.start_all()
    stack.wait_until_up()
    stack.history.clear()
    for count, name in enumerate(("arm", "eye", "arm"), 1):
        stack.processes[name].kill()
        killed_s = stack.peer.now_s()
        pid = stack.start(name).pid
        node = stack.peer.spin_until(
            lambda pid=pid, name=name: (n := stack.seen(name)).pid == pid and n.state == "active" and n,
            what=f"{name} to be back",
        )
        took_s = stamp_s(stack.states[-1]) - killed_s
        print(f"{name}: active {took_s:.2f} s after the kill, {node.last_recovery_s:.2f} s by the supervisor")
        # It counts from the last sign of life, which comes five times a second.
        assert 0.0 < node.last_recovery_s < took_s + 5.0
        assert node.recoveries == (2 if count == 3 else 1)
    assert [entry for entry in stack.history if entry[0] == "extra"] == []


def test_a_node_that_stays_away_is_missing_and_the_stack_degraded(stack: Stack) -> None:
    stack.start_all()
    stack.wait_until_up()
    stack.processes["eye"].kill()
    stack.peer.spin_until(lambda: stack.seen("eye").state == "missing", what="the loss to be noticed")
    assert stack.states[-1].state == StackState.DEGRADED
    assert "silent for" in stack.seen("eye").message
    assert stack.seen("eye").pid == 0
    assert stack.seen("arm").state == "active"


def test_a_killed_supervisor_that_comes_back_adopts_the_nodes_as_they_are(stack: Stack) -> None:
    stack.start_all()
    stack.wait_until_up()
    stack.processes["supervisor"].kill()
    stack.history.clear()
    killed_s = stack.peer.now_s()
    stack.start("supervisor")
    stack.wait_until_up(killed_s)
    print(f"supervisor: killed to all nodes adopted {stamp_s(stack.states[-1]) - killed_s:.2f} s")
    assert [entry for entry in stack.history if entry[0] in NAMES] == []
    assert all(node.recoveries == 0 for state in stack.states.since(killed_s) for node in state.nodes)


def test_verbs_take_the_stack_down_and_up_and_answer_when_it_is_there(stack: Stack) -> None:
    stack.start_all(configure_s=0.5)
    stack.wait_until_up()

    def states() -> set[str]:
        return {node.state for node in stack.states[-1].nodes}

    steps = (
        (ManageStack.Request.PAUSE, "inactive"),
        (ManageStack.Request.RESUME, "active"),
        (ManageStack.Request.RESET, "unconfigured"),
        (ManageStack.Request.STARTUP, "active"),
        (ManageStack.Request.SHUTDOWN, "finalized"),
    )
    for command, state in steps:
        answer = stack.manage(command)
        assert (answer.success, answer.message) == (True, "")
        stack.peer.spin_until(lambda state=state: states() == {state}, what=f"all to be {state}")
    refused = stack.manage(ManageStack.Request.RESUME)
    assert not refused.success
    assert "wanted finalized" in refused.message
    assert not stack.manage(77).success


def test_a_state_set_by_hand_is_left_alone_until_resume(stack: Stack) -> None:
    stack.start_all()
    stack.wait_until_up()
    assert stack.peer.transition("extra", "deactivate")
    stack.peer.spin_until(lambda: "set by hand" in stack.seen("extra").message, what="it to be respected")
    count = len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 15)
    assert stack.seen("extra").state == "inactive"
    assert stack.manage(ManageStack.Request.RESUME).success
    assert stack.peer.spin_until(lambda: stack.seen("extra").state == "active")


def test_told_not_to_bring_the_stack_up_it_waits_for_startup(stack: Stack) -> None:
    stack.start("supervisor", startup=False)
    stack.start("arm")
    stack.peer.spin_until(
        lambda: stack.seen("arm") and stack.seen("arm").state == "unconfigured", what="arm to be seen"
    )
    count = len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 5)
    assert stack.seen("arm").state == "unconfigured"
    assert stack.states[-1].state == StackState.DOWN


def test_a_broken_config_file_is_said_with_its_line_and_the_supervisor_lives(stack: Stack) -> None:
    stack.config.write_text(
        "robot: toy\nnodes:\n  arm: {package: edge_stack_core, executable: toy, class: urgent}\n",
        encoding="utf-8",
    )
    supervisor = stack.start("supervisor")
    # It tries again and again, and is on its way then; between two attempts it rests.
    status = stack.peer.spin_until(
        lambda: next(
            (s for s in stack.peer.said("supervisor") if s.message and s.state == "unconfigured"), None
        ),
        what="the reason",
    )
    assert "robot.yaml:3" in status.message
    assert supervisor.alive()
    stack.write_config()
    stack.peer.spin_until(lambda: stack.states, what="the supervisor to try again")


def test_it_ends_cleanly_while_a_caller_waits(stack: Stack) -> None:
    # No node is there: only the caller has the stack started, and waits for it.
    supervisor = stack.start("supervisor", startup=False)
    client = stack.peer.node.create_client(ManageStack, "supervisor/manage")
    stack.peer.spin_until(client.service_is_ready)
    stack.peer.spin_until(lambda: stack.states, what="the supervisor to be active")
    answer = client.call_async(ManageStack.Request(command=ManageStack.Request.STARTUP))
    stack.peer.spin_until(
        lambda: any(state.state == StackState.STARTING for state in stack.states), what="the call to arrive"
    )
    assert not answer.done()
    assert supervisor.stop() == 0
    assert "Traceback" not in supervisor.output()


def test_it_takes_the_transport_without_shared_memory_whoever_starts_it() -> None:
    from edge_stack_core.process_environment import PROFILE_VARIABLES, process_environment

    for base in ({}, process_environment({}), process_environment({}, frames=True)):
        environment = process_environment(base, shared_memory=False)
        for variable in PROFILE_VARIABLES:
            profile = Path(environment[variable])
            assert profile.name == "edge_stack_localhost_udp.xml"
            assert "<type>SHM</type>" not in profile.read_text(encoding="utf-8")


def test_changing_its_environment_leaves_it_its_process_title(stack: Stack) -> None:
    supervisor = stack.start("supervisor")
    stack.peer.spin_until(lambda: "supervisor" in stack.peer.statuses)
    title = Path(f"/proc/{supervisor.pid}/cmdline").read_text(encoding="utf-8").rstrip("\0 ")
    assert title == "edge_stack/supervisor"


def test_a_node_told_to_starts_itself_and_tries_until_it_can(peer_and_file: tuple[Peer, Path]) -> None:
    peer, file = peer_and_file
    with NodeProcess("supervised_toy", "alone", {"autostart": True, "needs_file": str(file)}):
        # In the next attempt it is on its way with the reason of the last one.
        peer.spin_until(
            lambda: any(
                "does not exist" in s.message and s.state == "unconfigured" for s in peer.said("alone")
            ),
            what="the reason",
        )
        file.touch()
        peer.spin_until(lambda: peer.statuses["alone"].state == "active", what="it to be active")
        assert peer.transition("alone", "deactivate")
        peer.spin_until(lambda: peer.statuses["alone"].state == "inactive")
