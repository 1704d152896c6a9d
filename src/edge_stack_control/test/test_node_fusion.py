# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The fusion node as a process over DDS: it commands at its rate, says why it slows or holds, and never dies of input."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edge_stack_msgs.msg import ActionChunk, FusionStatus, StackState
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import MarkerArray

from edge_stack_core.robot import find_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import HISTORY_DEPTH, History, NodeProcess, Peer, ros_domain, stamp_s

MODULE = "edge_stack_control.ros.fusion"
RATE_HZ = 24.0
JOINTS = ["pan", "lift"]
START = [0.1, -0.2]
ROBOT = """
name: two_joints
base_frame: base_link
following_error: {max: 0.3, time_s: 0.5}
joints:
  - {name: pan, position: [-2.0, 2.0], velocity_max: 1.0, home: 0.0}
  - {name: lift, position: [-2.0, 2.0], velocity_max: 1.0, home: 0.0}
"""
# Tests must not depend on rights, nor keep a loaded machine from anything else.
PARAMETERS: dict[str, Any] = {"control_priority": 0, "lock_memory": False, "control_rate_hz": RATE_HZ}


class Stack:
    """Everything that surrounds fusion, played by the test: robot, perception, policy, supervisor."""

    def __init__(self, peer: Peer, command_type: type = JointState) -> None:
        node = peer.node
        self.peer = peer
        self.sends_joints = self.sends_detections = self.sends_chunks = self.sends_state = True
        self.target = [0.5, 0.5]
        self.person: tuple[str, float, float] | None = None
        self.offset_s = 0.0  # of the stack's clock from the test's
        self._joints = node.create_publisher(JointState, "joint_states", qos.sensor())
        self._detections = node.create_publisher(Detection2DArray, "detect/detections", qos.result())
        self._chunks = node.create_publisher(ActionChunk, "action_chunk", qos.chunk())
        self._state = node.create_publisher(StackState, "stack_state", qos.state())
        # Commands live for one period only: a test that gets no core for so long does not see them all.
        self.commands = History()
        self.statuses = History()
        of_commands, of_statuses = qos.command(RATE_HZ, offered=False), qos.status()
        of_commands.depth = of_statuses.depth = HISTORY_DEPTH
        self._subscriptions = [
            node.create_subscription(command_type, "joint_command", self.commands.append, of_commands),
            node.create_subscription(FusionStatus, "fusion_status", self.statuses.append, of_statuses),
        ]
        self.state = StackState.ACTIVE
        self.put_at: list[float] | None = None
        self._sequence = 0
        self._count = 0
        self._timer = node.create_timer(0.05, self._play)

    def close(self) -> None:
        node = self.peer.node
        node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            node.destroy_subscription(subscription)
        for publisher in (self._joints, self._detections, self._chunks, self._state):
            node.destroy_publisher(publisher)

    def _play(self) -> None:
        self._count += 1
        now = self.now()
        if self.sends_joints:
            message = JointState(name=JOINTS, position=self.measured())
            message.header.stamp = now
            self._joints.publish(message)
        if self.sends_detections:
            message = Detection2DArray()
            message.header.stamp = now
            if self.person is not None:
                name, x, y = self.person
                detection = Detection2D(results=[ObjectHypothesisWithPose()])
                detection.results[0].hypothesis.class_id = name
                detection.results[0].hypothesis.score = 0.9
                detection.bbox.center.position.x, detection.bbox.center.position.y = x, y
                detection.bbox.size_x = detection.bbox.size_y = 10.0
                message.detections.append(detection)
            self._detections.publish(message)
        if self.sends_state:
            state = StackState(state=self.state)
            state.header.stamp = now
            self._state.publish(state)
        if self.sends_chunks and self._count % 4 == 0:
            self.send_chunk()

    def measured(self) -> list[float]:
        """Return where the robot is: at its last command, or where it was put."""
        if self.put_at is not None:
            return self.put_at
        command = self.commands[-1] if self.commands else None
        if isinstance(command, JointState):
            return list(command.position)
        if isinstance(command, JointTrajectory):
            return list(command.points[0].positions)
        return list(command.data) if command is not None else START

    def now(self, ahead_s: float = 0.0) -> Time:
        nanoseconds = self.peer.node.get_clock().now().nanoseconds + int((ahead_s + self.offset_s) * 1e9)
        return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def send_chunk(self, **changes: Any) -> None:
        self._sequence += 1
        values: dict[str, Any] = {
            "sequence": self._sequence,
            "start": self.now(),
            "step": Duration(nanosec=50_000_000),
            "joint_names": JOINTS,
            "positions": self.target * 20,
        }
        stamp = changes.pop("stamp", self.now())
        message = ActionChunk(**{**values, **changes})
        message.header.stamp = stamp
        self._chunks.publish(message)

    def refused(self, kind: str) -> int:
        """Return how many chunks fusion has refused for this, since its activation."""
        events = self.peer.statuses["fusion"].events
        return sum(e.count for e in events if (e.topic, e.event) == ("action_chunk", kind))

    def status(self) -> FusionStatus | None:
        return self.statuses[-1] if self.statuses else None

    def until(self, reason: str, state: int) -> FusionStatus:
        def reached() -> FusionStatus | None:
            status = self.status()
            return status if status and (status.reason, status.state) == (reason, state) else None

        return self.peer.spin_until(reached, what=f"{reason} in state {state}")

    def running(self) -> FusionStatus:
        return self.until("ok", FusionStatus.RUN)

    def next_commands(self, count: int) -> list[Any]:
        """Wait for commands that are given from now on: what is under way is none of them."""
        now_s = self.peer.now_s()
        self.peer.spin_until(lambda: len(self.commands.since(now_s)) >= count, what=f"{count} commands")
        return self.commands.since(now_s)


@pytest.fixture(scope="module")
def robot_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("robot") / "robot.yaml"
    file.write_text(ROBOT, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def shared_peer() -> Iterator[Peer]:
    with ros_domain(), Peer() as peer:
        yield peer


@pytest.fixture(scope="module")
def fusion(shared_peer: Peer, robot_file: str) -> Iterator[NodeProcess]:
    """One process for all tests that only need the node active: each activates it anew."""
    with NodeProcess(MODULE, "fusion", {**PARAMETERS, "robot_file": robot_file}) as process:
        assert shared_peer.transition("fusion", "configure"), process.output()
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output()


@pytest.fixture
def inactive(shared_peer: Peer, fusion: NodeProcess) -> Iterator[Stack]:
    stack = Stack(shared_peer)
    yield stack
    stack.close()
    assert fusion.alive(), fusion.output()
    if shared_peer.statuses["fusion"].state == "active":
        assert shared_peer.transition("fusion", "deactivate")


@pytest.fixture
def stack(inactive: Stack) -> Stack:
    assert inactive.peer.transition("fusion", "activate")
    inactive.running()
    return inactive


@pytest.fixture
def peer(shared_peer: Peer) -> Peer:
    return shared_peer


def test_commands_come_at_the_control_rate_and_lead_to_the_target(stack: Stack, peer: Peer) -> None:
    before = stack.running()
    stack.peer.spin_until(
        lambda: stack.commands and list(stack.commands[-1].position) == pytest.approx([0.5, 0.5], abs=1e-3)
    )
    command = stack.next_commands(1)[-1]
    assert list(command.name) == JOINTS
    assert command.header.stamp.sec > 0
    after = stack.peer.spin_until(
        lambda: (s := stack.status()) and s.commands + s.skipped_ticks >= before.commands + 96 and s
    )
    # Every tick gave a command or is counted as missed, however busy the machine is: both together keep the rate, but for
    # the one or two that fall between a status and the figures in it.
    ticks = after.commands + after.skipped_ticks - before.commands - before.skipped_ticks
    assert ticks == pytest.approx((stamp_s(after) - stamp_s(before)) * RATE_HZ, rel=0.05, abs=4.0)
    assert after.lateness_p50_ms >= 0.0
    status = peer.spin_until(lambda: peer.statuses["fusion"].processed > 0 and peer.statuses["fusion"])
    assert status.priority_class == "critical"


def test_the_first_command_is_the_measured_position_and_none_jumps(inactive: Stack, peer: Peer) -> None:
    stack = inactive
    # A first life, after which it is known that the test hears the commands.
    assert peer.transition("fusion", "activate")
    stack.next_commands(1)
    assert peer.transition("fusion", "deactivate")
    peer.spin_until(lambda: peer.statuses["fusion"].state == "inactive")
    stack.target = [1.5, 1.5]
    stack.put_at = START
    begin_s = peer.now_s()
    assert peer.transition("fusion", "activate")
    peer.spin_until(lambda: stack.commands.since(begin_s))
    stack.put_at = None
    stack.running()
    peer.spin_until(lambda: len(stack.commands.since(begin_s)) > 20)
    commands = stack.commands.since(begin_s)
    # From the measured position at the time before the first command; so it holds for whichever the test sees first.
    positions = [START, *(list(command.position) for command in commands)]
    times = [begin_s, *map(stamp_s, commands)]
    for (earlier, later), (t0, t1) in zip(pairwise(positions), pairwise(times), strict=True):
        assert max(abs(b - a) for a, b in zip(earlier, later, strict=True)) <= 1.0 * (t1 - t0) + 0.02


def test_without_joint_states_nothing_is_commanded(inactive: Stack, peer: Peer) -> None:
    stack = inactive
    stack.sends_joints = False
    assert peer.transition("fusion", "activate")
    status = stack.until("joint_state_stale", FusionStatus.HOLD)
    assert status.commands == 0
    assert "no joint state has come yet" in status.detail
    assert not stack.commands
    report = peer.spin_until(lambda: peer.statuses["fusion"].processed > 5 and peer.statuses["fusion"])
    assert not [event for event in report.events if event.topic == "tick"], "a tick raised"


def test_when_chunks_stop_the_position_is_held_with_the_reason_and_continues_with_new_ones(
    stack: Stack,
) -> None:
    stack.sends_chunks = False

    def stale() -> bool:
        # On a busy machine chunks may have been late before, and the newest may have come just now.
        status = stack.until("stale_action", FusionStatus.HOLD)
        return "no new chunk" in status.detail or "old" in status.detail

    stack.peer.spin_until(stale, what="the reason in the detail")
    held = {tuple(command.position) for command in stack.next_commands(10)}
    assert len(held) == 1
    stack.sends_chunks = True
    stack.running()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"positions": [math.nan, 0.0] * 20}, "not_finite"),
        ({"joint_names": ["pan", "claw"]}, "wrong_joints"),
        ({"positions": [0.0] * 7}, "wrong_shape"),
        ({"step": Duration()}, "bad_step"),
        ({"positions": []}, "wrong_shape"),
    ],
    ids=["nan", "wrong joints", "odd count", "no step", "no actions"],
)
def test_a_wrong_chunk_is_refused_counted_and_held_until_a_right_one(
    stack: Stack, peer: Peer, changes: dict[str, Any], kind: str
) -> None:
    stack.sends_chunks = False
    rejected = stack.running().rejected_chunks
    stack.send_chunk(**changes)
    status = stack.until("invalid_action", FusionStatus.HOLD)
    assert status.rejected_chunks > rejected
    assert "refused" in status.detail
    # On a busy machine others may have been refused as too old.
    peer.spin_until(lambda: stack.refused(kind), what=kind)
    assert stack.refused(kind) == 1
    stack.sends_chunks = True
    stack.running()


@pytest.mark.parametrize(
    ("ahead_s", "kind"), [(60.0, "from_future"), (-60.0, "too_old")], ids=["future", "past"]
)
def test_a_chunk_of_another_time_is_refused_and_counted_without_a_hold(
    stack: Stack, ahead_s: float, kind: str
) -> None:
    rejected, sent_s = stack.running().rejected_chunks, stack.peer.now_s()

    def refused() -> int:
        # Again and again: the next good chunk takes the place of one that was not read yet.
        stack.send_chunk(stamp=stack.now(ahead_s), start=stack.now(ahead_s))
        return stack.refused(kind)

    stack.peer.spin_until(refused, what=kind)
    stack.peer.spin_until(lambda: stack.status().rejected_chunks > rejected)
    assert "invalid_action" not in {status.reason for status in stack.statuses.since(sent_s)}


def test_a_person_stops_the_robot_and_it_continues_by_itself(stack: Stack, peer: Peer) -> None:
    assert peer.set_parameter("fusion", "stop_clear_s", 0.5) == (True, "")
    stack.person = ("person", 100.0, 100.0)
    status = stack.until("person_in_workspace", FusionStatus.STOP)
    assert status.stop_sources == ["rule"]
    assert "person (score 0.90)" in status.detail
    stopped = {tuple(command.position) for command in stack.next_commands(10)}
    assert len(stopped) == 1
    stack.person = None
    stack.running()
    assert peer.set_parameter("fusion", "stop_clear_s", 2.0) == (True, "")


def test_a_person_outside_the_workspace_changes_nothing_until_the_workspace_is_moved(
    stack: Stack, peer: Peer
) -> None:
    square = [200.0, 200.0, 300.0, 200.0, 300.0, 300.0, 200.0, 300.0]
    assert peer.set_parameter("fusion", "workspace_px", square) == (True, "")
    seen_s = peer.now_s()
    stack.person = ("person", 100.0, 100.0)
    peer.spin_until(lambda: len(stack.statuses.since(seen_s)) > 4)
    # On a busy machine the test may be late with what it plays, which fusion says too.
    assert not [s for s in stack.statuses.since(seen_s) if s.reason.startswith("person")]
    stack.running()
    assert peer.set_parameter("fusion", "workspace_px", [v - 150.0 for v in square]) == (True, "")
    stack.until("person_in_workspace", FusionStatus.STOP)
    everywhere = [0.0, 0.0, 1e4, 0.0, 1e4, 1e4, 0.0, 1e4]
    ok, why = peer.set_parameter("fusion", "workspace_px", everywhere[:3])
    assert not ok and "polygon" in why
    assert peer.set_parameter("fusion", "workspace_px", everywhere) == (True, "")


def test_a_person_near_the_workspace_slows_the_robot_by_distance(stack: Stack, peer: Peer) -> None:
    everywhere = [0.0, 0.0, 1e4, 0.0, 1e4, 1e4, 0.0, 1e4]
    square = [200.0, 200.0, 300.0, 200.0, 300.0, 300.0, 200.0, 300.0]
    assert peer.set_parameter("fusion", "workspace_px", square) == (True, "")
    assert peer.set_parameter("fusion", "slow_zone_px", 100.0) == (True, "")
    stack.person = ("person", 145.0, 250.0)
    # Activated a moment ago, it may still be getting faster when the person comes.
    status = peer.spin_until(
        lambda: (s := stack.status()).reason == "person_near" and s.speed_scale == pytest.approx(0.65) and s
    )
    assert status.state == FusionStatus.SLOW
    assert "person" in status.detail and "65 % of full speed" in status.detail
    stack.person = None
    stack.running()
    assert peer.set_parameter("fusion", "slow_zone_px", 0.0) == (True, "")
    assert peer.set_parameter("fusion", "workspace_px", everywhere) == (True, "")


def test_a_stop_by_service_or_topic_lasts_until_it_is_released(stack: Stack, peer: Peer) -> None:
    assert peer.set_parameter("fusion", "stop_clear_s", 0.5) == (True, "")
    stack.running()
    answer = peer.call(SetBool, "fusion/stop", SetBool.Request(data=True))
    assert answer.success and "stops" in answer.message
    status = stack.until("stop_requested", FusionStatus.STOP)
    assert "by service" in status.detail and "~/stop" in status.detail
    assert status.stop_sources == ["service"]
    assert len({tuple(command.position) for command in stack.next_commands(10)}) == 1
    publisher = peer.node.create_publisher(Bool, "stop", 1)  # a plain one, as a button's driver has
    peer.spin_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Bool(data=True))
    peer.spin_until(lambda: stack.status().stop_sources == ["service", "topic"])
    publisher.publish(Bool(data=False))  # releases its own, and nobody else's
    peer.spin_until(lambda: stack.status().stop_sources == ["service"])
    assert stack.status().reason == "stop_requested"
    publisher.publish(Bool(data=True))
    peer.spin_until(lambda: stack.status().stop_sources == ["service", "topic"])
    answer = peer.call(SetBool, "fusion/stop", SetBool.Request(data=False))
    assert answer.success and "released" in answer.message
    assert stack.running().stop_sources == []
    publisher.publish(Bool(data=True))
    stack.until("stop_requested", FusionStatus.STOP)
    publisher.publish(Bool(data=False))
    stack.running()
    peer.node.destroy_publisher(publisher)
    assert peer.set_parameter("fusion", "stop_clear_s", 2.0) == (True, "")


def test_diagnostics_warn_of_a_hold_and_a_requested_stop_and_are_errors_where_a_rule_stops(
    stack: Stack, peer: Peer
) -> None:
    said: list[DiagnosticArray] = peer.collect(DiagnosticArray, "/diagnostics", qos.status())

    def shown(level: bytes, message: str) -> None:
        def is_so() -> bool:
            found = [s for array in said[-1:] for s in array.status if s.name == "fusion: control loop"]
            return any((s.level, s.message) == (level, message) for s in found)

        peer.spin_until(is_so, what=f"{message!r} at level {level!r}")

    assert peer.set_parameter("fusion", "stop_clear_s", 0.5) == (True, "")
    stack.running()
    shown(DiagnosticStatus.OK, "active")
    assert {s.hardware_id for array in said for s in array.status} == {"two_joints"}
    stack.sends_detections = False
    shown(DiagnosticStatus.WARN, "hold: stale_perception")
    stack.sends_detections = True
    peer.call(SetBool, "fusion/stop", SetBool.Request(data=True))
    shown(DiagnosticStatus.WARN, "stop: stop_requested")
    peer.call(SetBool, "fusion/stop", SetBool.Request(data=False))
    stack.person = ("person", 100.0, 100.0)
    shown(DiagnosticStatus.ERROR, "stop: person_in_workspace")
    stack.person = None
    shown(DiagnosticStatus.OK, "active")
    assert peer.set_parameter("fusion", "stop_clear_s", 2.0) == (True, "")


def test_stale_perception_holds(stack: Stack) -> None:
    stack.sends_detections = False
    status = stack.until("stale_perception", FusionStatus.HOLD)
    assert "detection" in status.detail
    stack.sends_detections = True
    stack.running()


def test_a_lost_supervisor_slows_down(stack: Stack) -> None:
    stack.sends_state = False
    stack.until("supervisor_lost", FusionStatus.SLOW)
    status = stack.peer.spin_until(
        lambda: stack.status().speed_scale == pytest.approx(0.3) and stack.status()
    )
    assert status.reason == "supervisor_lost"
    stack.sends_state = True
    stack.running()


def test_a_stopping_stack_holds(stack: Stack) -> None:
    stack.state = StackState.STOPPING
    assert stack.until("stack_stopping", FusionStatus.HOLD).stop_sources == ["supervisor"]


def test_with_every_other_node_gone_it_goes_on_commanding_and_says_why_it_holds(stack: Stack) -> None:
    stack.sends_joints = stack.sends_detections = stack.sends_chunks = stack.sends_state = False
    stack.peer.spin_until(lambda: stack.status().state == FusionStatus.HOLD)
    held = {tuple(command.position) for command in stack.next_commands(10)}
    assert len(held) == 1
    assert stack.status().reason in ("joint_state_stale", "stale_action", "stale_perception")


def test_with_every_other_node_gone_a_stop_can_be_requested(stack: Stack, peer: Peer) -> None:
    stack.running()
    stack.sends_joints = stack.sends_detections = stack.sends_chunks = stack.sends_state = False
    stack.peer.spin_until(lambda: stack.status().state == FusionStatus.HOLD)
    assert peer.call(SetBool, "fusion/stop", SetBool.Request(data=True)).success
    stack.until("stop_requested", FusionStatus.STOP)
    assert len({tuple(command.position) for command in stack.next_commands(10)}) == 1
    assert peer.call(SetBool, "fusion/stop", SetBool.Request(data=False)).success


def test_actions_beyond_the_limits_are_cut_slowed_and_counted(stack: Stack) -> None:
    stack.target = [3.0, 0.0]
    status = stack.until("limit_position", FusionStatus.SLOW)
    assert "pan" in status.detail
    assert status.limited_commands > 0
    assert all(abs(value) <= 2.0 for command in stack.commands for value in command.position)


@pytest.mark.parametrize(
    ("command_format", "command_type", "positions"),
    [
        ("joint_trajectory", JointTrajectory, lambda m: list(m.points[0].positions)),
        ("float64_multi_array", Float64MultiArray, lambda m: list(m.data)),
    ],
)
def test_commands_come_in_the_other_formats(
    robot_file: str, command_format: str, command_type: type, positions: Any
) -> None:
    parameters = {**PARAMETERS, "robot_file": robot_file, "command_format": command_format}
    with ros_domain(), Peer() as peer, NodeProcess(MODULE, "fusion", parameters):
        stack = Stack(peer, command_type)
        peer.bring_up("fusion")
        stack.running()
        peer.spin_until(
            lambda: stack.commands and positions(stack.commands[-1]) == pytest.approx([0.5, 0.5], abs=1e-3)
        )
        if command_type is JointTrajectory:
            assert list(stack.commands[-1].joint_names) == JOINTS
            assert stack.commands[-1].points[0].time_from_start.nanosec > 0


def test_deactivate_ends_the_commands_and_activate_begins_at_the_measured_position(
    stack: Stack, peer: Peer
) -> None:
    peer.spin_until(
        lambda: stack.commands and list(stack.commands[-1].position) == pytest.approx([0.5, 0.5], abs=1e-3)
    )
    stack.sends_chunks = False
    assert peer.transition("fusion", "deactivate")
    inactive = peer.spin_until(lambda: (s := peer.statuses["fusion"]).state == "inactive" and s)
    # Its executor has gone round since, so that the last chunk is not read after the activation.
    peer.spin_until(lambda: len(peer.said("fusion", stamp_s(inactive))) >= 3, what="later statuses")
    assert not stack.commands.since(stamp_s(inactive))
    stack.put_at = START
    begin_s = peer.now_s()
    assert peer.transition("fusion", "activate")
    command = peer.spin_until(lambda: stack.commands.since(begin_s), what="a command")[0]
    assert list(command.position) == pytest.approx(START)
    assert peer.transition("fusion", "deactivate")
    assert peer.transition("fusion", "cleanup")
    assert peer.transition("fusion", "configure")
    peer.spin_until(lambda: peer.statuses["fusion"].state == "inactive")


def test_markers_are_published_while_somebody_listens(stack: Stack, peer: Peer) -> None:
    markers = peer.collect(MarkerArray, "fusion/markers", qos.result(offered=False))
    peer.spin_until(lambda: markers)
    assert "RUN" in markers[-1].markers[0].text


def test_a_plain_reliable_subscriber_gets_commands(stack: Stack, peer: Peer) -> None:
    plain = peer.collect(
        JointState, "joint_command", QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    )
    peer.spin_until(lambda: len(plain) > 3)


def test_a_real_robot_s_cameras_are_in_tf_for_those_who_come_late(peer: Peer) -> None:
    parameters = {**PARAMETERS, "robot_file": str(find_robot("so101_sim")), "frame_prefix": "left/"}
    with NodeProcess(MODULE, "other", parameters):
        peer.bring_up("other")
        frames = peer.collect(TFMessage, "/tf_static", qos.state())
        peer.spin_until(lambda: frames)
    (transform,) = frames[0].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == (
        "left/base_link",
        "left/table_camera_optical",
    )


def test_a_simulated_robot_s_cameras_are_left_to_the_simulator(peer: Peer) -> None:
    robot = {**PARAMETERS, "robot_file": str(find_robot("so101_sim")), "simulated": True}
    with NodeProcess(MODULE, "other", robot):
        peer.bring_up("other")
        names = {topic for topic, _ in peer.node.get_publisher_names_and_types_by_node("other", "/")}
        assert "/joint_command" in names
        assert "/tf_static" not in names


def test_a_robot_file_that_is_not_there_refuses_configure_with_its_name(peer: Peer) -> None:
    with NodeProcess(MODULE, "other", {**PARAMETERS, "robot_file": "/nowhere/robot.yaml"}):
        assert not peer.transition("other", "configure")
        peer.spin_until(lambda: "/nowhere/robot.yaml" in peer.statuses["other"].message)


def test_a_workspace_that_is_no_polygon_refuses_configure(peer: Peer, robot_file: str) -> None:
    with NodeProcess(
        MODULE, "other", {**PARAMETERS, "robot_file": robot_file, "workspace_px": [1.0, 2.0, 3.0]}
    ):
        assert not peer.transition("other", "configure")
        peer.spin_until(lambda: "polygon" in peer.statuses["other"].message)


def test_garbage_on_every_topic_ends_nothing(stack: Stack, peer: Peer) -> None:
    stack.sends_chunks = False
    stack._joints.publish(JointState(name=["pan"], position=[math.nan]))
    stack._joints.publish(JointState(name=JOINTS, position=[]))
    message = JointState(name=JOINTS, position=[9.0, 9.0])
    message.header.stamp = stack.now(100.0)
    stack._joints.publish(message)
    stack._detections.publish(Detection2DArray(detections=[Detection2D()]))
    future = Detection2DArray()
    future.header.stamp = stack.now(100.0)
    stack._detections.publish(future)
    stack.send_chunk(sequence=0, joint_names=[], positions=[1.0])
    stack.until("invalid_action", FusionStatus.HOLD)
    stack.sends_chunks = True
    stack.running()


def test_the_process_imports_no_vision_and_no_inference(stack: Stack, fusion: NodeProcess) -> None:
    mapped = Path(f"/proc/{fusion.pid}/maps").read_text(encoding="utf-8")
    assert "cv2" not in mapped
    assert "onnxruntime" not in mapped


def test_a_signal_ends_the_process_cleanly_while_it_commands(peer: Peer, robot_file: str) -> None:
    with NodeProcess(MODULE, "other", {**PARAMETERS, "robot_file": robot_file}) as process:
        peer.bring_up("other")
        assert process.stop() == 0
        assert "Traceback" not in process.output()


@pytest.mark.parametrize("jump_s", [5.0, -5.0], ids=["ahead", "back"])
def test_a_jump_of_the_clock_is_counted_and_control_goes_on(
    shared_peer: Peer, robot_file: str, jump_s: float
) -> None:
    parameters = {**PARAMETERS, "robot_file": robot_file, "use_sim_time": True}
    with NodeProcess(
        MODULE, "jumping", parameters, remappings={"joint_command": "jumping_command"}
    ) as process:
        stack = Stack(shared_peer)
        node = shared_peer.node
        clock = node.create_publisher(Clock, "/clock", qos.sensor())
        timer = node.create_timer(0.01, lambda: clock.publish(Clock(clock=stack.now())))
        commands = shared_peer.record(JointState, "jumping_command", qos.command(RATE_HZ, offered=False))
        try:
            shared_peer.bring_up("jumping")
            stack.running()

            def counted() -> int:
                events = shared_peer.statuses["jumping"].events
                return sum(e.count for e in events if (e.topic, e.event) == ("clock", "jumped"))

            def said() -> list[float]:
                return [float(s) for s in re.findall(r"the clock jumped by ([-+.\d]+) s", process.output())]

            # The clock comes in messages: late ones, and the first one, are jumps as well.
            begin, before, known = len(commands), counted(), len(said())
            stack.offset_s = jump_s

            def large() -> list[float]:
                return [s for s in said()[known:] if abs(s) > 2.5]

            shared_peer.spin_until(lambda: large() and counted() > before, what="the jump")
            stack.running()
            assert large() == [pytest.approx(jump_s, abs=2.0)]
            shared_peer.spin_until(lambda: len(commands) > begin + 48)
            for before, after in pairwise(commands[begin:]):
                passed_s = stamp_s(after) - stamp_s(before)
                if abs(passed_s) > 0.5 * abs(jump_s):
                    passed_s -= jump_s
                step = max(abs(a - b) for a, b in zip(before.position, after.position, strict=True))
                # A period's worth more: the clock that stamps them comes in messages. The test may have missed some.
                assert step <= 1.0 * (max(passed_s, 1.0 / RATE_HZ) + 1.0 / RATE_HZ) + 1e-6
            assert process.alive(), process.output()
        finally:
            node.destroy_timer(timer)
            node.destroy_publisher(clock)
            stack.close()
