# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot checkpoints in the policy node, as a process over DDS: images, joint states and words in, chunks out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from edge_stack_msgs.msg import ActionChunk
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import NodeProcess, Peer

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import SIDE, needs_lerobot, obedient_smolvla, tiny_checkpoint

pytestmark = needs_lerobot

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)
MODULE = "edge_stack_policy.ros.policy"
START_S = 60.0  # torch and lerobot take their time to be imported
CONTRACT = f"""\
images:
  observation.images.table: {{topic: top/image_raw, resize: {{height: {SIDE}, width: {SIDE}}}}}
state: {{units: rad}}
action: {{units: rad}}
task: {{topic: orders, default: wait}}
"""


class Robot:
    """Stands in for robot and camera: publishes while it waits."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._joints = peer.node.create_publisher(JointState, "joint_states", qos.sensor())
        self._images = peer.node.create_publisher(Image, "top/image_raw", qos.frame())
        self._orders = peer.node.create_publisher(String, "orders", qos.state())
        self._image = Image()
        picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        fill_image(self._image, picture, "rgb8")
        self.chunks: list[ActionChunk] = peer.collect(ActionChunk, "action_chunk", qos.chunk())
        self.timer = peer.node.create_timer(0.05, self._publish)

    def order(self, text: str) -> None:
        self._orders.publish(String(data=text))

    def new_chunk(self) -> np.ndarray:
        self.chunks.clear()
        chunk: ActionChunk = self.peer.spin_until(lambda: self.chunks and self.chunks[-1], what="a chunk")
        return np.array(chunk.positions).reshape(-1, len(chunk.joint_names))

    def _publish(self) -> None:
        stamp = self.peer.node.get_clock().now().to_msg()
        joints = JointState(name=list(ROBOT.joint_names), position=ROBOT.home.tolist())
        joints.header.stamp = self._image.header.stamp = stamp
        self._joints.publish(joints)
        self._images.publish(self._image)


def policy(tmp_path: Path, checkpoint: Path, text: str = CONTRACT, **more: Any) -> NodeProcess:
    contract = tmp_path / "contract.yaml"
    contract.write_text(text, encoding="utf-8")
    parameters = {
        "robot_file": str(ROBOT_FILE),
        "policy": "lerobot",
        "policy_path": str(checkpoint),
        "policy_contract": str(contract),
        "device": "cpu",
        "chunk_rate_hz": 5.0,
        **more,
    }
    return NodeProcess(MODULE, "policy", parameters)


def test_a_checkpoint_runs_by_its_contract_and_refuses_one_that_does_not_fit(
    peer: Peer, tmp_path: Path
) -> None:
    robot = Robot(peer)
    checkpoint = tiny_checkpoint(tmp_path / "act", "act")
    wrong = CONTRACT.replace("observation.images.table", "observation.images.wrist")
    with policy(tmp_path, checkpoint, wrong):
        assert not peer.transition("policy", "configure", START_S)
        reason = "observation.images.table: the checkpoint wants this camera"
        peer.spin_until(lambda: reason in peer.statuses["policy"].message)
        (tmp_path / "contract.yaml").write_text(CONTRACT, encoding="utf-8")
        peer.bring_up("policy", START_S)
        assert robot.new_chunk().shape == (12, 6)
        assert robot.chunks[-1].policy == "lerobot"
        assert robot.chunks[-1].joint_names == list(ROBOT.joint_names)
        np.testing.assert_allclose(robot.new_chunk(), robot.new_chunk())  # the same sight, the same actions
        peer.spin_until(lambda: peer.statuses["policy"].message == "")


def test_smolvla_follows_instructions_as_they_come(peer: Peer, tmp_path: Path) -> None:
    robot = Robot(peer)
    with policy(tmp_path, obedient_smolvla(tmp_path / "smolvla")):
        peer.bring_up("policy", START_S)
        for order, side in (
            ("turn to the left", 1.0),
            ("turn to the right", -1.0),
            ("turn to the left", 1.0),
        ):
            robot.order(order)
            peer.spin_until(lambda side=side: robot.new_chunk()[:, 0].mean() * side > 0.7, what=order)
        assert robot.new_chunk().shape == (12, 6)
        peer.spin_until(lambda: peer.statuses["policy"].message == "")
