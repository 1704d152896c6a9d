# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Modes over DDS: a supervisor, a real fusion node that goes on commanding, and nodes that come and go with the mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from edge_stack_msgs.msg import FusionStatus, StackState
from edge_stack_msgs.srv import SetMode
from sensor_msgs.msg import BatteryState, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, ros_domain, stamp_s

RATE_HZ = 24.0
ROBOT = {
    "name": "one_joint",
    "following_error": {"max": 0.3, "time_s": 0.5},
    "joints": [{"name": "pan", "position": [-2.0, 2.0], "velocity_max": 1.0}],
}
NODES: dict[str, dict[str, Any]] = {
    "supervisor": {"package": "edge_stack_supervisor", "executable": "supervisor", "class": "essential"},
    "fusion": {"package": "edge_stack_control", "executable": "fusion", "class": "critical", "stage": 1},
    "eye": {
        "package": "edge_stack_core",
        "executable": "toy",
        "class": "essential",
        "stage": 1,
        "rate_hz": 5.0,
        "parameters": {"needs_file": ""},
    },
    "extra": {
        "package": "edge_stack_core",
        "executable": "toy",
        "class": "background",
        "stage": 2,
        "rate_hz": 2.0,
        "parameters": {"device": "cpu"},
    },
}
MODES: dict[str, Any] = {
    "start": "work",
    "timeout_s": 10.0,
    "dwell_s": 0.5,
    "nodes": {"extra": {"memory_mb": 150, "duration_ms": 100.0}},
    "modes": {
        "work": {"exit": [{"call": "arm/park"}]},
        "focus": {
            "nodes": {"extra": {"state": "unconfigured"}, "eye": {"rate_hz": 12.0, "class": "background"}},
            "entry": [
                {"set": {"fusion": {"slow_scale": 0.5}}},
                {"publish": {"topic": "said", "text": "focus"}},
            ],
        },
        "brief": {"nodes": {"eye": {"rate_hz": 3.0}}},
        "greedy": {"nodes": {"extra": {"rate_hz": 12.0}}},
        "broken": {"nodes": {"eye": {"parameters": {"needs_file": "/nowhere/model.onnx"}}}},
    },
    "rules": [
        {"to": "work", "from": ["focus"], "instruction": "work"},
        {"to": "focus", "from": ["work"], "battery": {"below": 0.2, "for_s": 0.4}},
        {"to": "work", "from": ["brief"], "after_s": 1.0},
        {"to": "brief", "from": ["work"], "detection": {"class": "person", "score": 0.6, "for_s": 0.3}},
    ],
}


class Stack:
    """The processes, and what the test plays and hears of them."""

    def __init__(self, folder: Path, peer: Peer, exits: contextlib.ExitStack) -> None:
        self.peer = peer
        self._exits = exits
        (folder / "robots").mkdir()
        self.robot = folder / "robots" / "toy.yaml"
        self.robot.write_text(yaml.safe_dump(ROBOT), encoding="utf-8")
        self.config = folder / "robot.yaml"
        self.config.write_text(yaml.safe_dump({"robot": "toy", "nodes": NODES}), encoding="utf-8")
        self.modes = folder / "modes.yaml"
        self.modes.write_text(yaml.safe_dump(MODES), encoding="utf-8")
        self.park_refusal = ""
        self.parked = 0
        node = peer.node
        self.states: History = peer.record(StackState, "stack_state", qos.state())
        self.said: History = peer.record(String, "said", qos.state())
        self.control: History = peer.record(FusionStatus, "fusion_status", qos.status())
        self.commands: History = peer.record(JointState, "joint_command", qos.command(RATE_HZ, offered=False))
        self.requests = node.create_publisher(String, "mode/request", qos.request())
        self.instructions = node.create_publisher(String, "instruction", qos.state())
        self.battery = node.create_publisher(BatteryState, "battery_state", qos.sensor())
        self._detections = node.create_publisher(Detection2DArray, "detect/detections", qos.result())
        self._labels = node.create_publisher(LabelInfo, "detect/label_info", qos.state())
        self.seen: tuple[str, float] | None = None  # what perception sees, and how sure it is
        self._joints = node.create_publisher(JointState, "joint_states", qos.sensor())
        self._charge = 1.0
        node.create_service(Trigger, "arm/park", self._park)
        node.create_timer(0.05, self._play)

    def start(self, name: str) -> NodeProcess:
        if name == "supervisor":
            module, parameters = (
                "edge_stack_supervisor.ros.supervisor",
                {
                    "config_file": str(self.config),
                    "modes_file": str(self.modes),
                },
            )
        elif name == "fusion":
            module, parameters = (
                "edge_stack_control.ros.fusion",
                {"robot_file": str(self.robot), "control_rate_hz": RATE_HZ},
            )
        else:
            module, parameters = "supervised_toy", {}
        return self._exits.enter_context(NodeProcess(module, name, parameters))

    def _play(self) -> None:
        joints = JointState(name=["pan"], position=[0.1], velocity=[0.0])
        joints.header.stamp = self.peer.node.get_clock().now().to_msg()
        self._joints.publish(joints)
        self.battery.publish(BatteryState(percentage=self._charge))
        message = Detection2DArray()
        if self.seen is not None:
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = self.seen
            message.detections.append(Detection2D(results=[result]))
        self._detections.publish(message)

    def _park(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.parked += 1
        response.success, response.message = not self.park_refusal, self.park_refusal
        return response

    def tell_classes(self, *names: str) -> None:
        classes = [VisionClass(class_id=number, class_name=name) for number, name in enumerate(names)]
        self._labels.publish(LabelInfo(class_map=classes))

    def set_charge(self, charge: float) -> None:
        self._charge = charge

    def set_mode(self, name: str) -> SetMode.Response:
        # It is answered when the mode is in force, or is not going to be: that may last as long as a mode's limit.
        return self.peer.call(SetMode, "supervisor/set_mode", SetMode.Request(mode=name), answer_s=40.0)

    def wait_for(self, mode: str, since_s: float = 0.0) -> StackState:
        """Wait until this mode was in force after a time, be it for a moment; return the first state that says so."""

        def told() -> StackState | None:
            return next((state for state in self.states.since(since_s) if state.mode == mode), None)

        return self.peer.spin_until(told, what=f"mode {mode}")

    def wait_for_rate(self, name: str, rate_hz: float, since_s: float) -> None:
        """Wait until a node has told a rate after a time, be it for a moment."""
        self.peer.spin_until(
            lambda: any(status.target_hz == rate_hz for status in self.peer.said(name, since_s)),
            what=f"{rate_hz} Hz of {name}",
        )

    def in_mode(self, mode: str) -> Stack:
        """Go to a mode and forget what was heard before."""
        now_s = self.peer.now_s()
        newest = self.peer.spin_until(lambda: self.states.since(now_s))[-1]
        if newest.mode != mode:
            assert self.set_mode(mode).success
            self.wait_for(mode, now_s)
        now_s = self.peer.now_s()
        # What was under way is forgotten as well.
        self.peer.spin_until(lambda: self.states.since(now_s) and self.commands.since(now_s))
        self.states[:], self.commands[:] = self.states.since(now_s), self.commands.since(now_s)
        self.said.clear()
        return self

    def node_states(self, state: StackState) -> dict[str, str]:
        return {node.name.lstrip("/"): node.state for node in state.nodes}

    def only_in(self, mode: str, since_s: float) -> None:
        """Check that since a time no other mode was in force, and the node that the mode keeps down was never moved."""
        states = self.states.since(since_s)
        # Whoever hears the new supervisor late does not hear it without a mode.
        assert {state.mode for state in states} <= {"", mode}
        assert {self.node_states(state)["extra"] for state in states} <= {"missing", "unconfigured"}

    def until(self, condition: Callable[[StackState], bool], what: str) -> None:
        """Wait for a newest state that meets a condition, and stays so."""
        self.peer.spin_until(lambda: self.states and condition(self.states[-1]), what=what)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with contextlib.ExitStack() as exits:
        exits.enter_context(ros_domain())
        peer = exits.enter_context(Peer())
        stack = Stack(tmp_path_factory.mktemp("modes"), peer, exits)
        stack.processes = {name: stack.start(name) for name in NODES}
        # A topic that is only asked for now and then must have been found by the other side before.
        stack.wait_for("work")
        peer.spin_until(stack.requests.get_subscription_count, what="who listens to requests")
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    running.park_refusal = ""
    running.set_charge(1.0)
    running.seen = None
    return running.in_mode("work")


UP = {"fusion": "active", "eye": "active", "extra": "active"}
FOCUS = {**UP, "extra": "unconfigured"}


def test_it_starts_in_the_start_mode_once_every_node_is_up_and_says_so(running: Stack) -> None:
    first = next(state for state in running.states if state.mode == "work")
    assert running.node_states(first) == UP
    # In the log: to whoever looks at the states, the switch may be over between two of them.
    begun, done = "mode: start in work; there are ", "mode: start -> work in "
    running.peer.spin_until(
        lambda: done in running.processes["supervisor"].output(), what="the switch in the log"
    )
    assert begun in running.processes["supervisor"].output()


def test_set_mode_answers_when_every_node_is_there_and_commands_go_on_meanwhile(stack: Stack) -> None:
    begin_s = stack.peer.now_s()
    before = stack.peer.spin_until(lambda: stack.control.since(begin_s), what="fusion's word")[0]
    answer = stack.set_mode("focus")
    assert answer.success, answer.message
    assert answer.message.startswith("work -> focus in ")
    first = stack.wait_for("focus")
    assert stack.node_states(first) == FOCUS
    assert first.transition == ""
    assert {state.mode for state in stack.states} == {"work", "focus"}
    assert any(state.transition.startswith("work -> focus (set_mode)") for state in stack.states)
    assert stack.parked >= 1
    stack.peer.spin_until(lambda: stack.said, what="the text of the entry hook")
    assert stack.said[-1].data == "focus"
    stack.peer.spin_until(
        lambda: (eye := stack.peer.statuses["eye"]).target_hz == 12.0 and eye.priority_class == "background",
        what="rate and class of the mode",
    )
    assert "mode" in next(node.reason for node in first.nodes if node.name == "/extra")

    back_s = stack.peer.now_s()
    stack.requests.publish(String(data="work"))
    assert stack.node_states(stack.wait_for("work", back_s)) == UP
    stack.wait_for_rate("eye", 5.0, back_s)

    # Every tick of all this time gave a command, or was missed for want of a core, which is counted; a status and the
    # figures in it may be a tick or two apart.
    end_s = stack.peer.now_s()
    after = stack.peer.spin_until(lambda: stack.control.since(end_s), what="fusion's word")[0]
    ticks = after.commands + after.skipped_ticks - before.commands - before.skipped_ticks
    assert ticks == pytest.approx((stamp_s(after) - stamp_s(before)) * RATE_HZ, rel=0.05, abs=4.0)
    assert after.commands > before.commands
    assert {status.state for status in stack.peer.said("fusion", begin_s)} == {"active"}


def test_rules_switch_by_battery_and_by_instruction(stack: Stack) -> None:
    stack.set_charge(0.1)
    stack.wait_for("focus")
    assert any("(rule: battery below 0.2" in state.transition for state in stack.states)
    told_s = stack.peer.now_s()
    stack.instructions.publish(String(data="back to WORK"))
    stack.wait_for("work", told_s)  # and stays there, low as the battery is: it was told so after it was
    count = len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 15)
    assert {state.mode for state in stack.states[count:]} == {"work"}


def test_a_rule_on_a_class_that_no_detector_has_is_shown_with_what_to_write(stack: Stack) -> None:
    text = "rules[3].detection.class: 'person' is no class of detect/detections (2 classes: Person, cup): write Person"
    stack.tell_classes("Person", "cup")
    stack.peer.spin_until(lambda: stack.peer.statuses["supervisor"].message == text, what="the problem")
    assert stack.processes["supervisor"].output().count(text) == 1
    stack.tell_classes("person", "cup")
    stack.peer.spin_until(lambda: not stack.peer.statuses["supervisor"].message, what="its end")


def test_a_rule_switches_by_detection_and_another_one_back_after_a_time(stack: Stack) -> None:
    stack.seen = ("person", 0.5)  # not sure enough
    count = len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 10)
    assert {state.mode for state in stack.states} == {"work"}
    seen_s = stack.peer.now_s()
    stack.seen = ("person", 0.9)
    brief = stack.wait_for("brief")
    stack.wait_for_rate("eye", 3.0, seen_s)
    stack.wait_for("work", stamp_s(brief))
    # The person is there still: a rule fires again only once its condition has let go.
    count = len(stack.states)
    stack.peer.spin_until(lambda: len(stack.states) >= count + 15)
    assert {state.mode for state in stack.states[count:]} == {"work"}


def test_a_mode_that_does_not_fit_the_slack_is_refused_with_the_figures(stack: Stack) -> None:
    answer = stack.set_mode("greedy")
    assert not answer.success
    assert answer.message == (
        "mode greedy does not fit cpu: 120 % (extra 120) are wanted of 90 %, "
        "which is 0.9 of the slack that nobody critical leaves"
    )
    assert stack.states[-1].mode == "work"


def test_a_mode_that_does_not_exist_or_fails_leaves_the_old_one_in_force_and_says_why(stack: Stack) -> None:
    answer = stack.set_mode("fokus")
    assert (answer.success, answer.message) == (
        False,
        "there is no mode 'fokus'; there are brief, broken, focus, greedy, work",
    )
    answer = stack.set_mode("broken")
    assert not answer.success
    assert "/nowhere/model.onnx does not exist" in answer.message
    assert answer.message.endswith("mode work is restored")
    assert {state.mode for state in stack.states} == {"work"}
    stack.until(lambda state: stack.node_states(state) == UP, "every node to be back")
    stack.park_refusal = "the arm holds something"
    answer = stack.set_mode("focus")
    assert answer.message == "exit: call arm/park: the arm holds something; mode work is restored"


def test_a_supervisor_that_comes_back_finds_the_mode_and_moves_no_node(stack: Stack) -> None:
    stack.in_mode("focus")
    pids = {node.name: node.pid for node in stack.states[-1].nodes}
    stack.processes["supervisor"].kill()
    killed_s = stack.peer.now_s()
    stack.processes["supervisor"] = stack.start("supervisor")
    stack.wait_for("focus", killed_s)
    stack.only_in("focus", killed_s)
    stack.until(lambda state: {node.name: node.pid for node in state.nodes} == pids, "the same processes")


def test_a_rate_by_hand_outlives_the_supervisor_and_ends_with_a_mode_that_wants_another(stack: Stack) -> None:
    def eye_runs_at(rate_hz: float, reason: str = "") -> None:
        def is_so(state: StackState) -> bool:
            eye = next(node for node in state.nodes if node.name == "/eye")
            return (eye.target_hz, stack.peer.statuses["eye"].target_hz) == (
                rate_hz,
                rate_hz,
            ) and reason in eye.reason

        stack.until(is_so, f"{rate_hz} Hz, {reason}")

    stack.in_mode("focus")
    assert stack.peer.set_parameter("eye", "rate_hz", 4.0) == (True, "")
    eye_runs_at(4.0, "4 Hz was set by hand")
    stack.processes["supervisor"].kill()
    killed_s = stack.peer.now_s()
    supervisor = stack.processes["supervisor"] = stack.start("supervisor")
    stack.wait_for("focus", killed_s)
    eye_runs_at(4.0, "4 Hz was set by hand")
    assert stack.set_mode("work").success
    eye_runs_at(5.0)
    assert "eye: 4 Hz, which was set by hand, is over: the mode wants 5 Hz" in supervisor.output()

    # What is wanted in place of robot.yaml's rate holds in every mode that leaves that as it is.
    assert stack.peer.set_parameter("supervisor", "rate_hz.eye", 6.0) == (True, "")
    eye_runs_at(6.0)
    assert stack.set_mode("focus").success
    eye_runs_at(12.0)
    assert stack.set_mode("work").success
    eye_runs_at(6.0)


def test_a_supervisor_that_died_together_with_a_node_goes_on_in_its_mode(stack: Stack) -> None:
    stack.in_mode("focus")
    for name in ("supervisor", "eye"):
        stack.processes[name].kill()
    killed_s = stack.peer.now_s()
    stack.processes["eye"] = stack.start("eye")
    stack.peer.spin_until(lambda: stack.peer.statuses["eye"].state == "unconfigured", what="its next process")
    stack.processes["supervisor"] = stack.start("supervisor")
    stack.wait_for("focus", killed_s)
    stack.only_in("focus", killed_s)
    stack.wait_for_rate("eye", 12.0, killed_s)


def test_a_mode_that_does_not_fit_the_memory_is_refused_with_the_figures(stack: Stack) -> None:
    stack.in_mode("focus")
    more = {**MODES, "memory_reserve_mb": 1e9}
    stack.modes.write_text(yaml.safe_dump(more), encoding="utf-8")
    for name in ("deactivate", "cleanup", "configure", "activate"):
        assert stack.peer.transition("supervisor", name)
    stack.wait_for("focus", stack.peer.now_s())
    answer = stack.set_mode("work")
    assert not answer.success
    assert answer.message.startswith("mode work does not fit the memory: ")
    assert "(extra " in answer.message
    assert "would be left of the 1000000000 to keep free" in answer.message
    assert stack.states[-1].mode == "focus"


def test_a_mistake_in_the_file_is_said_with_its_line(running: Stack) -> None:
    running.modes.write_text(
        "start: work\nmodes:\n  work: {nodes: {ear: {state: inactive}}}\n", encoding="utf-8"
    )
    for name in ("deactivate", "cleanup"):
        assert running.peer.transition("supervisor", name)
    assert not running.peer.transition("supervisor", "configure")
    running.peer.spin_until(
        lambda: (
            "modes.yaml:3: modes.work.nodes.ear: robot.yaml has no node ear"
            in running.peer.statuses["supervisor"].message
        ),
        what="the reason",
    )
