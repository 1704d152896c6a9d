# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot as a process over DDS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge_stack_msgs.msg import TaskStatus
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from edge_stack_core.robot import load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import read_rgb
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s
from edge_stack_sim.scene import HOME, JOINTS

MODULE = "edge_stack_sim.ros.sim"


@pytest.fixture
def parameters(robot_file: Path) -> dict:
    return {"robot_file": str(robot_file)}


@pytest.fixture
def sim(peer: Peer, parameters: dict) -> Iterator[NodeProcess]:
    with NodeProcess(MODULE, "sim", parameters) as process:
        yield process


def message(peer: Peer) -> str:
    return peer.statuses["sim"].message if "sim" in peer.statuses else ""


def test_frames_and_joint_states_come_at_their_rates(peer: Peer, sim: NodeProcess, robot_file: Path) -> None:
    images = peer.record(Image, "image_raw", qos.frame(15.0, offered=False))
    infos = peer.record(CameraInfo, "camera_info", qos.frame(15.0, offered=False))
    states = peer.record(JointState, "joint_states", qos.sensor(50.0, offered=False))
    peer.bring_up("sim")

    def pauses_s(messages: History) -> np.ndarray:
        return np.diff([stamp_s(message) for message in messages])

    def on_time(messages: History, period_s: float) -> int:
        """Count the messages that came one period after the one before; some are late, or lost, on a busy machine."""
        return int((np.abs(pauses_s(messages) / period_s - 1.0) < 0.25).sum())

    peer.spin_until(lambda: on_time(images, 1 / 15) >= 15 and infos and on_time(states, 1 / 50) >= 50)
    image = images[-1]
    assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 320, 240, 960)
    assert read_rgb(image).std() > 10.0
    camera = load_robot(robot_file).cameras["table"]
    assert image.header.frame_id == infos[-1].header.frame_id == camera.frame_id
    np.testing.assert_allclose(np.array(infos[-1].k).reshape(3, 3), camera.intrinsics())
    np.testing.assert_allclose(states[-1].position, HOME, atol=0.02)
    assert tuple(states[-1].name) == JOINTS
    for messages, period_s in ((images, 1 / 15), (states, 1 / 50)):
        assert pauses_s(messages).sum() > 0.9 * period_s * len(pauses_s(messages)) - 0.1, (
            "no faster than that"
        )


def test_a_plain_reliable_subscriber_gets_joint_states_and_camera_info(peer: Peer, sim: NodeProcess) -> None:
    states, infos = peer.collect(JointState, "joint_states", 10), peer.collect(CameraInfo, "camera_info", 10)
    images = peer.collect(Image, "image_raw", 10)
    peer.bring_up("sim")
    peer.spin_until(lambda: states and infos and images)


def test_commands_move_the_arm_and_start_the_episode(peer: Peer, sim: NodeProcess) -> None:
    states = peer.collect(JointState, "joint_states", qos.sensor(offered=False))
    statuses = peer.collect(TaskStatus, "task_status", qos.state())
    instructions = peer.collect(String, "instruction", qos.state())
    commands = peer.node.create_publisher(JointState, "joint_command", qos.command(24.0))
    peer.bring_up("sim")
    peer.spin_until(lambda: statuses and statuses[-1].state == "waiting" and instructions)
    assert instructions[-1].data == statuses[-1].instruction

    def turned() -> bool:
        commands.publish(JointState(name=["shoulder_pan"], position=[0.4]))
        return bool(states and abs(states[-1].position[0] - 0.4) < 0.01)

    peer.spin_until(turned)
    peer.spin_until(lambda: statuses[-1].state == "running" and statuses[-1].episode_s > 0.0)
    assert states[-1].position[1] == pytest.approx(HOME[1], abs=0.02)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (JointState(name=["knee"], position=[1.0]), "unknown joint 'knee'"),
        (JointState(name=list(JOINTS), position=[math.nan] * 6), "not finite"),
        (JointState(name=list(JOINTS), position=[0.0]), "6 joints but 1 positions"),
    ],
)
def test_a_bad_command_is_reported_and_the_arm_stays(
    peer: Peer, sim: NodeProcess, command: JointState, reason: str
) -> None:
    states = peer.collect(JointState, "joint_states", qos.sensor(offered=False))
    commands = peer.node.create_publisher(JointState, "joint_command", qos.command(24.0))
    peer.bring_up("sim")

    def refused() -> bool:
        commands.publish(command)
        return reason in message(peer)

    peer.spin_until(refused)
    states.clear()
    peer.spin_until(lambda: states)
    np.testing.assert_allclose(states[-1].position, HOME, atol=0.02)
    assert sim.alive()


def test_an_attempt_that_takes_too_long_is_followed_by_another(peer: Peer, parameters: dict) -> None:
    with NodeProcess(MODULE, "sim", {**parameters, "timeout_s": 1.0}):
        statuses = peer.collect(TaskStatus, "task_status", qos.state())
        commands = peer.node.create_publisher(JointState, "joint_command", qos.command(24.0))
        peer.bring_up("sim")

        def second_attempt_failed() -> bool:
            commands.publish(JointState(name=list(JOINTS), position=list(HOME)))
            return bool(statuses and statuses[-1].attempts >= 2)

        peer.spin_until(second_attempt_failed)
        assert statuses[-1].successes == 0


def test_with_external_instructions_the_simulator_judges_what_it_hears(peer: Peer, parameters: dict) -> None:
    with NodeProcess(MODULE, "sim", {**parameters, "task": "external"}):
        statuses = peer.collect(TaskStatus, "task_status", qos.state())
        instructions = peer.node.create_publisher(String, "instruction", qos.state())
        instructions.publish(String(data="put the blue cube on the mark"))
        peer.bring_up("sim")
        peer.spin_until(lambda: statuses and statuses[-1].instruction == "put the blue cube on the mark")


def test_a_stalled_camera_gives_no_frames_until_it_recovers(peer: Peer, sim: NodeProcess) -> None:
    images = peer.record(Image, "image_raw", qos.frame(offered=False))
    states = peer.record(JointState, "joint_states", qos.sensor(offered=False))
    peer.bring_up("sim")
    peer.spin_until(lambda: images)
    assert peer.set_parameter("sim", "camera_stall", True) == (True, "")
    stalled = peer.spin_until(lambda: (s := peer.statuses["sim"]).dropped > 0 and s)
    # Many frames are left out while the arm goes on.
    peer.spin_until(
        lambda: (
            peer.statuses["sim"].dropped >= stalled.dropped + 8 and len(states.since(stamp_s(stalled))) >= 20
        )
    )
    assert not images.since(stamp_s(stalled))
    assert peer.set_parameter("sim", "camera_stall", False) == (True, "")
    peer.spin_until(lambda: images.since(stamp_s(stalled)))


def test_markers_are_published_only_while_somebody_listens(peer: Peer, sim: NodeProcess) -> None:
    peer.bring_up("sim")
    markers = peer.collect(MarkerArray, "sim/markers", qos.result(offered=False))
    peer.spin_until(lambda: markers)
    names = {marker.ns for marker in markers[-1].markers}
    assert names == {"scene"}
    assert len(markers[-1].markers) > 15
    assert {marker.header.frame_id for marker in markers[-1].markers} == {"base_link"}


def test_the_robot_description_is_there_for_those_who_come_late(peer: Peer, sim: NodeProcess) -> None:
    peer.bring_up("sim")
    descriptions = peer.collect(String, "robot_description", qos.state())
    peer.spin_until(lambda: descriptions)
    assert "<robot" in descriptions[0].data


def test_where_the_camera_is_is_in_tf_and_a_prefix_is_before_every_frame(peer: Peer) -> None:
    with NodeProcess(MODULE, "sim", {"frame_prefix": "left/"}):
        peer.bring_up("sim")
        frames = peer.collect(TFMessage, "/tf_static", qos.state())
        infos = peer.collect(CameraInfo, "camera_info", qos.frame(0.0))
        states = peer.collect(JointState, "joint_states", qos.sensor(0.0))
        peer.spin_until(lambda: frames and infos and states)
    (transform,) = frames[0].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == (
        "left/base_link",
        "left/table_camera_optical",
    )
    assert infos[0].header.frame_id == "left/table_camera_optical"
    assert states[0].header.frame_id == "left/base_link"


def test_another_robots_description_is_refused(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(
        "name: other\nfollowing_error: {max: 0.3, time_s: 0.5}\n"
        "joints:\n  - {name: knee, position: [-1, 1], velocity_max: 1}\n",
        encoding="utf-8",
    )
    with NodeProcess(MODULE, "sim", {"robot_file": str(file)}):
        assert not peer.transition("sim", "configure")
        peer.spin_until(lambda: "has the joints knee" in message(peer))


def test_it_goes_through_its_states_and_ends_cleanly(peer: Peer, sim: NodeProcess) -> None:
    images = peer.collect(Image, "image_raw", qos.frame(offered=False))
    peer.bring_up("sim")
    peer.spin_until(lambda: images)
    for transition in ("deactivate", "activate", "deactivate", "cleanup", "configure", "activate"):
        assert peer.transition("sim", transition), transition
    images.clear()
    peer.spin_until(lambda: images)
    assert sim.stop() == 0
