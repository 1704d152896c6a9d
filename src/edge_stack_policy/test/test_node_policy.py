# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy node as a process over DDS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from edge_stack_msgs.msg import ActionChunk, FusionStatus, NodeStatus
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s
from edge_stack_policy.visual_servo.kinematics import point_to_pixel

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)
MODULE = "edge_stack_policy.ros.policy"
PARAMETERS = {"robot_file": str(ROBOT_FILE), "policy_contract": "none", "chunk_rate_hz": 20.0}


class Robot:
    """Stands in for robot, camera and detector: publishes while it waits."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.positions = ROBOT.home.tolist()
        self.detections: list[Detection2D] = []
        self.age_s = 0.0
        self._joints = peer.node.create_publisher(JointState, "joint_states", qos.sensor())
        self._detections = peer.node.create_publisher(Detection2DArray, "detect/detections", qos.result())
        self._instructions = peer.node.create_publisher(String, "instruction", qos.state())
        self.chunks: History = peer.record(ActionChunk, "action_chunk", qos.chunk())
        self.timer = peer.node.create_timer(0.03, self.publish)

    def publish(self) -> None:
        now = self.peer.node.get_clock().now().nanoseconds - int(self.age_s * 1e9)
        joints = JointState(name=list(ROBOT.joint_names)[: len(self.positions)], position=self.positions)
        joints.header.stamp.sec, joints.header.stamp.nanosec = divmod(now, 1_000_000_000)
        self._joints.publish(joints)
        detections = Detection2DArray(detections=self.detections)
        detections.header.stamp = joints.header.stamp
        self._detections.publish(detections)

    def instruct(self, text: str) -> None:
        self._instructions.publish(String(data=text))

    def see(self, name: str, point: tuple[float, float, float], size: float) -> None:
        pixel = point_to_pixel(ROBOT.cameras["table"], point)
        assert pixel is not None
        detection = Detection2D()
        detection.bbox.center.position.x, detection.bbox.center.position.y = pixel.tolist()
        detection.bbox.size_x = detection.bbox.size_y = size
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = name, 0.9
        detection.results.append(hypothesis)
        self.detections.append(detection)

    def new_chunk(self) -> ActionChunk:
        self.chunks.clear()
        return self.peer.spin_until(lambda: self.chunks and self.chunks[-1], what="a chunk")


@pytest.fixture
def robot(peer: Peer) -> Robot:
    return Robot(peer)


@pytest.fixture
def policy(robot: Robot) -> Iterator[NodeProcess]:
    with NodeProcess(MODULE, "policy", PARAMETERS) as process:
        yield process


def positions(chunk: ActionChunk) -> np.ndarray:
    return np.array(chunk.positions).reshape(-1, len(chunk.joint_names))


def message(peer: Peer) -> str:
    return peer.statuses["policy"].message if "policy" in peer.statuses else ""


def test_chunks_come_at_their_rate_and_say_what_they_are(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    peer.bring_up("policy")

    def start_s(chunk: ActionChunk) -> float:
        return chunk.start.sec + chunk.start.nanosec * 1e-9

    def on_time() -> int:
        """Count the chunks that came one period after the one before; on a busy machine some are late, or not seen."""
        pairs = [(a, b) for a, b in pairwise(robot.chunks) if b.sequence == a.sequence + 1]
        return sum(abs(start_s(b) - start_s(a) - 0.05) < 0.01 for a, b in pairs)

    peer.spin_until(lambda: on_time() >= 12, what="chunks at their rate")
    chunk = robot.chunks[-1]
    assert chunk.policy == "visual_servo"
    assert chunk.joint_names == list(ROBOT.joint_names)
    assert positions(chunk).shape == (30, 6)
    assert chunk.step.nanosec == pytest.approx(1e9 / 24, abs=1)
    numbers = [one.sequence for one in robot.chunks]
    assert numbers == sorted(set(numbers))
    first = robot.chunks[0]
    passed_s = start_s(chunk) - start_s(first)
    assert passed_s > 0.9 * 0.05 * (chunk.sequence - first.sequence) - 0.1, "no faster than their rate"
    assert -0.05 <= start_s(chunk) - stamp_s(chunk) <= 0.5


def test_the_arm_goes_for_the_named_object(peer: Peer, robot: Robot, policy: NodeProcess) -> None:
    robot.see("red_cube", (0.2, 0.12, 0.015), 26.0)
    robot.see("mark", (0.2, -0.1, 0.0), 44.0)
    robot.see("unicorn", (0.2, 0.0, 0.0), 44.0)
    robot.instruct("put the red cube on the mark")
    peer.bring_up("policy")
    peer.spin_until(lambda: positions(robot.new_chunk())[-1, 0] > 0.3, what="the arm turns to the object")
    peer.spin_until(lambda: not message(peer))


def test_an_instruction_with_an_unknown_object_is_reported_and_the_arm_holds(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    robot.see("red_cube", (0.2, 0.12, 0.015), 26.0)
    robot.see("mark", (0.2, -0.1, 0.0), 44.0)
    robot.instruct("put the purple teapot on the mark")  # latched: the node hears it although it starts later
    peer.bring_up("policy")
    peer.spin_until(lambda: "purple teapot" in message(peer))
    np.testing.assert_allclose(positions(robot.new_chunk()), np.tile(ROBOT.home, (30, 1)), atol=1e-3)
    robot.instruct("put the red cube on the mark")
    peer.spin_until(lambda: not message(peer))
    peer.spin_until(lambda: positions(robot.new_chunk())[-1, 0] > 0.1)


def test_an_instruction_of_an_ordinary_publisher_is_heard_like_a_latched_one(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    robot.see("red_cube", (0.2, 0.12, 0.015), 26.0)
    robot.see("mark", (0.2, -0.1, 0.0), 44.0)
    robot.instruct("put the purple teapot on the mark")
    ordinary = peer.node.create_publisher(String, "instruction", 10)
    peer.bring_up("policy")
    peer.spin_until(lambda: "purple teapot" in message(peer))
    peer.spin_until(lambda: ordinary.get_subscription_count() > 0, what="the policy listens")
    ordinary.publish(String(data="put the green kettle on the mark"))
    peer.spin_until(lambda: "green kettle" in message(peer))
    robot.instruct("put the red cube on the mark")
    peer.spin_until(lambda: not message(peer))
    assert not [e for e in peer.statuses["policy"].events if e.event == "incompatible_qos"]
    peer.node.destroy_publisher(ordinary)


def test_without_joint_states_no_chunk_comes_and_the_reason_is_shown(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    robot.timer.cancel()
    peer.bring_up("policy")
    peer.spin_until(lambda: "joint_states: none has come" in message(peer))
    robot.timer.reset()
    robot.new_chunk()
    peer.spin_until(lambda: not message(peer))
    robot.timer.cancel()
    peer.spin_until(lambda: "joint_states: the newest is" in message(peer))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda robot: setattr(robot, "positions", [0.0] * 5), "(gripper)"),
        (lambda robot: setattr(robot, "positions", [math.nan] * 6), "nan"),
        (lambda robot: setattr(robot, "age_s", -30.0), "s ahead of this clock"),
        (lambda robot: setattr(robot, "age_s", 30.0), "old"),
    ],
    ids=["too few joints", "not finite", "from the future", "from the past"],
)
def test_bad_joint_states_stop_the_chunks_until_good_ones_come(
    peer: Peer, robot: Robot, policy: NodeProcess, damage, reason: str
) -> None:
    peer.bring_up("policy")
    robot.new_chunk()
    damage(robot)
    peer.spin_until(lambda: reason in message(peer))
    robot.positions, robot.age_s = ROBOT.home.tolist(), 0.0
    robot.new_chunk()
    assert policy.alive()


def test_joints_may_come_in_several_messages(peer: Peer, robot: Robot, policy: NodeProcess) -> None:
    robot.timer.cancel()
    arm, gripper = slice(0, 5), slice(5, 6)

    def publish() -> None:
        for part in (arm, gripper):
            message = JointState(name=list(ROBOT.joint_names[part]), position=ROBOT.home.tolist()[part])
            message.header.stamp = peer.now()
            robot._joints.publish(message)

    timer = peer.node.create_timer(0.02, publish)
    peer.bring_up("policy")
    robot.new_chunk()
    peer.node.destroy_timer(timer)


def test_a_policy_whose_chunks_are_refused_says_why(peer: Peer, robot: Robot, policy: NodeProcess) -> None:
    statuses = peer.node.create_publisher(FusionStatus, "fusion_status", qos.status())
    peer.bring_up("policy")
    chunk = robot.new_chunk()

    def refuse(**told: Any) -> None:
        refused = {
            "refused_policy": chunk.policy,
            "refused_sequence": chunk.sequence,
            "refusal": "wrong joints",
        }
        statuses.publish(FusionStatus(**{**refused, **told}))

    def told() -> bool:
        refuse(accepted_sequence=10**6)  # of a process before
        return "fusion refuses the chunks: wrong joints" in message(peer)

    peer.spin_until(told, what="why the chunks are refused")

    def well() -> bool:
        refuse(accepted_sequence=chunk.sequence + 1)
        return not message(peer)

    peer.spin_until(well, what="no problem any more")
    peer.node.destroy_publisher(statuses)


def test_detections_that_are_not_finite_are_left_out(peer: Peer, robot: Robot, policy: NodeProcess) -> None:
    robot.see("red_cube", (0.2, 0.12, 0.015), math.nan)
    robot.see("red_cube", (0.2, 0.12, 0.015), 26.0)
    robot.see("mark", (0.2, -0.1, 0.0), 44.0)
    robot.instruct("put the red cube on the mark")
    peer.bring_up("policy")
    peer.spin_until(lambda: positions(robot.new_chunk())[-1, 0] > 0.3)


def test_a_rate_of_zero_pauses_and_a_new_rate_counts_at_once(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    peer.bring_up("policy")
    robot.new_chunk()
    assert peer.set_parameter("policy", "chunk_rate_hz", 0.0) == (True, "")
    paused = peer.spin_until(lambda: (s := peer.statuses["policy"]).target_hz == 0.0 and s)

    def later(than: NodeStatus) -> NodeStatus:
        """Return a status that was stamped twenty periods later."""
        return peer.spin_until(lambda: next(iter(peer.said("policy", stamp_s(than) + 1.0)), None))

    settled = later(paused)  # the chunk that was under way has come
    robot.chunks.clear()
    assert later(settled).processed == settled.processed <= paused.processed + 1
    assert not robot.chunks
    assert peer.set_parameter("policy", "chunk_rate_hz", 20.0) == (True, "")
    robot.new_chunk()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"policy": "teleport"}, "visual_servo"),
        ({"robot_file": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"camera": "wrist"}, "no camera 'wrist'"),
        ({"chunk_rate_hz": 1000.0}, "above the maximum"),
    ],
)
def test_a_parameter_that_cannot_work_fails_configure_with_the_reason(
    peer: Peer, parameters: dict, reason: str
) -> None:
    with NodeProcess(MODULE, "policy", {**PARAMETERS, **parameters}):
        assert not peer.transition("policy", "configure")
        peer.spin_until(lambda: reason in message(peer))


def test_the_node_goes_through_its_states_and_ends_cleanly(
    peer: Peer, robot: Robot, policy: NodeProcess
) -> None:
    peer.bring_up("policy")
    robot.new_chunk()
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert peer.transition("policy", transition)
    assert robot.new_chunk().sequence >= 1
    assert policy.stop() == 0
