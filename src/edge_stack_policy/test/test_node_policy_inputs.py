# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What a policy sees of cameras that send otherwise than ours: compressed images, and images that are of no use."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, JointState

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import input_watch
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import Peer
from edge_stack_policy.base import IMAGES, STATE
from edge_stack_policy.ros.policy_inputs import PolicyInputs
from edge_stack_policy.ros.policy_parameters import PARAMETERS

ROBOT = load_robot(find_robot("so101_sim"))
PICTURE = np.linspace(0, 200, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)


class Policy:
    name = "stub"
    input_features = (f"{IMAGES}table",)
    class_names = ()
    action_names = ROBOT.joint_names


class Seeing(StackNode):
    """A node with the inputs of a policy that sees one camera, and the joints if told to."""

    PARAMETERS = PARAMETERS
    needs_joints = False

    def configure_node(self) -> None:
        policy = Policy()
        if self.needs_joints:
            policy.input_features = (*policy.input_features, STATE)
        self.inputs = PolicyInputs(self, policy, ROBOT, None, lambda: None)  # type: ignore[arg-type]

    def cleanup_node(self) -> None:
        if hasattr(self, "inputs"):
            self.inputs.close()

    def sees(self) -> tuple[dict[str, object], str]:
        observation, _, trouble = self.inputs.observe(self.get_clock().now().nanoseconds)
        return observation, trouble


@pytest.fixture
def node(peer: Peer, request: pytest.FixtureRequest) -> Iterator[Seeing]:
    given = ("-p", f"robot_file:={find_robot('so101_sim')}", "-p", "policy_contract:=none")
    one = Seeing("policy", context=peer.context, cli_args=["--ros-args", *given])
    one.needs_joints = getattr(request, "param", False)
    one.trigger_configure()
    one.trigger_activate()
    assert one.state_label == "active"
    peer.executor.add_node(one)
    yield one
    peer.executor.remove_node(one)
    one.close()
    one.destroy_node()


def test_compressed_images_are_seen(peer: Peer, node: Seeing) -> None:
    publisher = peer.node.create_publisher(CompressedImage, "image_raw", 10)
    data = cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()

    def seen() -> object:
        message = CompressedImage(format="rgb8; png compressed bgr8", data=data)
        message.header.stamp = peer.now()
        publisher.publish(message)
        return node.sees()[0].get(f"{IMAGES}table") is not None

    peer.spin_until(seen)
    picture, trouble = node.sees()
    assert trouble == ""
    np.testing.assert_array_equal(picture[f"{IMAGES}table"], PICTURE)
    assert picture[f"{IMAGES}table"] is node.sees()[0][f"{IMAGES}table"], "decoded once"


def test_images_without_colours_are_refused_in_words_and_good_ones_then_seen(
    peer: Peer, node: Seeing
) -> None:
    publisher = peer.node.create_publisher(Image, "image_raw", 10)

    def trouble(image: np.ndarray, encoding: str) -> str:
        message = fill_image(Image(), image, encoding)
        message.header.stamp = peer.now()
        publisher.publish(message)
        return node.sees()[1]

    says = "table: images are refused: encoding: 32FC1 has no colours; one of rgb8,"
    peer.spin_until(lambda: trouble(np.zeros((4, 4), np.float32), "32FC1").startswith(says))
    peer.spin_until(lambda: trouble(PICTURE, "rgb8") == "")


def test_an_old_image_is_said_without_a_figure_that_changes(peer: Peer, node: Seeing) -> None:
    publisher = peer.node.create_publisher(Image, "image_raw", 10)
    message = fill_image(Image(), PICTURE, "rgb8")
    message.header.stamp = peer.now()

    def trouble() -> str:
        publisher.publish(message)
        return node.sees()[1] if "no image" not in node.sees()[1] else ""

    assert peer.spin_until(trouble) == f"table: the newest is older than {node.params.image_age_max_s:g} s"


@pytest.mark.parametrize("node", [True], indirect=True)
def test_silent_joint_states_are_named_with_their_cause(
    peer: Peer, node: Seeing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_watch, "SILENCE_S", 0.5)
    says = "joint_states: no joint state for 1 s: nobody publishes /joint_states"
    peer.spin_until(lambda: says in peer.statuses["policy"].message)
    publisher = peer.node.create_publisher(JointState, "joint_states", 10)

    def heard() -> bool:
        publisher.publish(JointState(name=list(ROBOT.joint_names), position=ROBOT.home.tolist()))
        return "joint_states" not in peer.statuses["policy"].message

    peer.spin_until(heard)
