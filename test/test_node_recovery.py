# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor and real nodes that a process runner starts again: they die, hang, loop and err, and come back."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from edge_stack_msgs.msg import StackState, SupervisedNode
from edge_stack_msgs.srv import ManageStack

from edge_stack.runner.processes import ProcessGroup, ProcessSpec
from edge_stack_core.process_environment import process_environment
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, Peer, ros_domain

# How often a node dies within which time is judged by the clock, and tried with a false one in test_supervision_vitals. Here
# a process may take as long as it likes to start and to die, and stays parked until it is released.
PATIENT_SUPERVISOR = """
from edge_stack_supervisor.ros.supervisor import main
from edge_stack_supervisor.supervision import crash_loop
crash_loop.WITHIN_S = crash_loop.PARKED_S = crash_loop.WRONG_WITHIN_S = crash_loop.OFFENCES_WITHIN_S = 500.0
main()
"""


class Stack:
    """A supervisor and two nodes under a runner, and what the test hears of them."""

    def __init__(self, folder: Path, peer: Peer, group: ProcessGroup) -> None:
        self.folder, self.peer, self.group = folder, peer, group
        self.states: History = peer.record(StackState, "stack_state", qos.state())

    def start(self, name: str, **parameters: Any) -> None:
        what = ["-m", "supervised_toy"]
        if name == "supervisor":
            what = ["-c", PATIENT_SUPERVISOR]
            parameters = {"config_file": str(self.folder / "robot.yaml"), "modes_file": "none", **parameters}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
        command = [sys.executable, *what, "--ros-args", "-r", f"__node:={name}"]
        command += ["--params-file", str(file)]
        self.group.start(ProcessSpec(name, command, process_environment(os.environ)))

    def start_all(self, **of_eye: Any) -> None:
        nodes = {
            "supervisor": {
                "package": "edge_stack_supervisor",
                "executable": "supervisor",
                "class": "essential",
            },
            "arm": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "critical",
                "stage": 1,
                "rate_hz": 20.0,
            },
            "eye": {
                "package": "edge_stack_core",
                "executable": "toy",
                "class": "background",
                "stage": 1,
                "rate_hz": 10.0,
            },
        }
        (self.folder / "robots").mkdir()
        (self.folder / "robots" / "toy.yaml").touch()
        config = yaml.safe_dump({"robot": "toy", "nodes": nodes})
        (self.folder / "robot.yaml").write_text(config, encoding="utf-8")
        self.start("supervisor")
        self.start("arm")
        self.start("eye", **of_eye)

    def seen(self, name: str) -> SupervisedNode:
        """Return a node as the supervisor shows it in its newest state."""
        nodes = self.states[-1].nodes if self.states else []
        return next((node for node in nodes if node.name == f"/{name}"), SupervisedNode())

    def history(self, name: str, since_s: float = 0.0) -> list[SupervisedNode]:
        """Return a node as the supervisor showed it in each state that it published after a time."""
        states = self.states.since(since_s)
        return [node for state in states for node in state.nodes if node.name == f"/{name}"]

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return self.peer.spin_until(condition, what=f"{what}; eye: {self.seen('eye')}")

    def until_up(self) -> None:
        self.until(lambda: self.states and self.states[-1].state == StackState.ACTIVE, "the stack to be up")
        for name in ("arm", "eye"):
            self.until(lambda name=name: self.peer.statuses[name].processed > 5, f"{name} to work")

    def until_back(self, name: str, pid: int) -> None:
        self.until(
            lambda: self.seen(name).state == "active" and self.seen(name).pid not in (0, pid),
            f"{name} to be back",
        )

    def until_fault(self, name: str, fault: str, since_s: float) -> SupervisedNode:
        """Return the node as it was when the supervisor first showed the fault; it may be over by now."""

        def shown() -> SupervisedNode | None:
            return next((node for node in self.history(name, since_s) if node.fault == fault), None)

        return self.until(shown, f"{fault} of {name}")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with contextlib.ExitStack() as exits:
        exits.enter_context(ros_domain())
        group = exits.enter_context(ProcessGroup(tmp_path / "log"))
        yield Stack(tmp_path, exits.enter_context(Peer()), group)


def test_nodes_that_are_killed_stopped_or_stuck_are_told_apart_and_come_back(stack: Stack) -> None:
    stack.start_all()
    stack.until_up()
    arm = stack.seen("arm").pid

    pid, broken_s = stack.seen("eye").pid, stack.peer.now_s()
    os.kill(pid, signal.SIGKILL)
    stack.until_fault("eye", "died", broken_s)
    stack.until_back("eye", pid)

    pid, broken_s = stack.seen("eye").pid, stack.peer.now_s()
    os.kill(pid, signal.SIGSTOP)
    stack.until_fault("eye", "hung", broken_s)
    stack.until_back("eye", pid)
    assert "died" not in {node.fault for node in stack.history("eye", broken_s)}

    pid = stack.seen("eye").pid
    stack.until(
        lambda: stack.peer.statuses["eye"].pid == pid and stack.peer.statuses["eye"].processed > 5, "work"
    )
    broken_s = stack.peer.now_s()
    assert stack.peer.set_parameter("eye", "fault_hang_s", 600.0) == (True, "")
    shown = stack.until_fault("eye", "hung", broken_s)
    assert "its working thread is busy for" in shown.message
    assert (shown.pid, shown.state) == (pid, "active")
    stack.until_back("eye", pid)
    last = [status for status in stack.peer.said("eye", broken_s) if status.pid == pid][-1]
    assert last.work_age_s > last.work_limit_s, "its status goes on, and it is given a while"
    assert stack.seen("eye").recoveries == 3
    assert stack.seen("arm").pid == arm
    assert {node.recoveries for node in stack.history("arm")} == {0}


def test_a_node_without_input_and_a_paused_one_do_not_hang(stack: Stack) -> None:
    stack.start_all()
    stack.until_up()
    pid, since_s = stack.seen("eye").pid, stack.peer.now_s()
    assert stack.peer.set_parameter("eye", "input", False) == (True, "")
    assert stack.peer.set_parameter("arm", "rate_hz", 0.0) == (True, "")
    stack.until(lambda: stack.peer.statuses["arm"].target_hz == 0.0, "arm to be paused")
    stack.until(lambda: stack.peer.statuses["eye"].work_age_s > 1.5, "eye to have waited for long")
    for name in ("arm", "eye"):
        assert {(node.fault, node.state) for node in stack.history(name, since_s)} == {("", "active")}
    assert stack.seen("eye").pid == pid


def test_a_node_that_dies_at_every_configure_is_parked_until_it_is_released(stack: Stack) -> None:
    stack.start_all()
    stack.until_up()
    file = stack.folder / "deadly"
    file.touch()
    (stack.folder / "eye.yaml").write_text(
        yaml.safe_dump({"/**": {"ros__parameters": {"dies_with_file": str(file)}}}), encoding="utf-8"
    )
    os.kill(stack.seen("eye").pid, signal.SIGKILL)
    stack.until(lambda: stack.seen("eye").fault == "crash_loop", "it to be parked")
    stack.until(lambda: stack.seen("eye").state == "unconfigured", "its next process to be left alone")
    assert stack.seen("eye").message.startswith("parked: 5 deaths in ")
    assert stack.states[-1].state == StackState.DEGRADED
    starts = stack.group.starts()["eye"]
    count = len(stack.states)
    stack.until(lambda: len(stack.states) >= count + 20, "twenty states")
    assert stack.group.starts()["eye"] == starts
    assert stack.seen("arm").state == "active"

    file.unlink()
    release = ManageStack.Request(command=ManageStack.Request.RELEASE, nodes=["eye"])
    answer = stack.peer.call(ManageStack, "supervisor/manage", release)
    assert (answer.success, answer.message) == (True, "")
    stack.until(lambda: stack.seen("eye").state == "active" and not stack.seen("eye").fault, "it to be back")
    release.nodes = ["nobody"]
    assert "no node is called /nobody" in stack.peer.call(ManageStack, "supervisor/manage", release).message


def test_a_node_whose_output_is_wrong_starts_anew_then_its_process_and_is_then_parked(stack: Stack) -> None:
    history = stack.folder / "history"
    stack.start_all(wrong=True, history_file=str(history))
    stack.until(lambda: "parked" in stack.seen("eye").message, "it to be parked")
    assert {node.fault for node in stack.history("eye")} == {"", "wrong_output"}
    stack.until(lambda: stack.seen("eye").state == "unconfigured", "it to be cleaned up")
    # Written by the node itself: it rests in a state too shortly for a status, and a new process is heard late.
    lines = [line.split() for line in history.read_text(encoding="utf-8").splitlines()]
    pids = list(dict.fromkeys(pid for pid, _ in lines))
    done = [[what for of, what in lines if of == pid] for pid in pids]
    start, end = ["configure", "activate"], ["deactivate", "cleanup"]
    assert done == [[*start, *end, *start], [*start, *end]], (
        "recycled in the first process, parked in the second"
    )


def test_a_killed_supervisor_adopts_nodes_with_the_rates_and_states_that_were_in_force(stack: Stack) -> None:
    stack.start_all()
    stack.until_up()
    assert stack.peer.set_parameter("supervisor", "rate_hz.arm", 7.5) == (True, "")
    stack.until(lambda: stack.peer.statuses["arm"].target_hz == 7.5, "the rate")
    assert stack.peer.transition("eye", "deactivate")
    stack.until(lambda: "set by hand" in stack.seen("eye").message, "it to be respected")
    pids = {name: stack.seen(name).pid for name in ("arm", "eye")}
    steps = stack.peer.statuses["arm"].processed
    supervisor = stack.group.pids()["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    # What its last states say is of no use: those of the next one are meant.
    stack.until(lambda: stack.group.pids().get("supervisor") not in (None, supervisor), "the next supervisor")
    since_s = stack.peer.now_s()

    def adopted() -> bool:
        newest = {name: stack.history(name, since_s)[-1:] for name in ("arm", "eye")}
        return {name: node[0].state for name, node in newest.items() if node} == {
            "arm": "active",
            "eye": "inactive",
        }

    stack.until(adopted, "adoption")
    count = len(stack.states)
    stack.until(lambda: len(stack.states) >= count + 20, "more states")
    assert {name: stack.seen(name).pid for name in pids} == pids
    assert stack.seen("eye").state == "inactive"
    assert "set by hand" in stack.seen("eye").message
    assert stack.seen("arm").target_hz == stack.peer.statuses["arm"].target_hz == 7.5
    assert stack.peer.statuses["arm"].processed > steps, "it was never deactivated"
    assert {status.state for status in stack.peer.said("arm", since_s)} == {"active"}
