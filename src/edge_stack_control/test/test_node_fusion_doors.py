# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What fusion lets in, over DDS: nothing that is larger than it can sensibly be, and nothing stamped too far ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_stack_msgs.msg import ActionChunk, FusionStatus, StackState, SupervisedNode
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from test_node_fusion import JOINTS, MODULE, PARAMETERS, ROBOT, Stack
from vision_msgs.msg import Detection2D, Detection2DArray

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer


@pytest.fixture
def robot_file(tmp_path: Path) -> str:
    file = tmp_path / "robot.yaml"
    file.write_text(ROBOT, encoding="utf-8")
    return str(file)


@pytest.fixture
def fusion(peer: Peer, robot_file: str) -> Iterator[NodeProcess]:
    with NodeProcess(MODULE, "fusion", {**PARAMETERS, "robot_file": robot_file}) as process:
        yield process
        assert process.alive(), process.output()


@pytest.fixture
def stack(peer: Peer, fusion: NodeProcess) -> Iterator[Stack]:
    stack = Stack(peer)
    peer.bring_up("fusion")
    stack.running()
    yield stack
    stack.close()


def counted(peer: Peer, topic: str, event: str) -> int:
    events = peer.statuses["fusion"].events
    return sum(e.count for e in events if e.topic.endswith(topic) and e.event == event)


def header(stack: Stack) -> Header:
    return Header(stamp=stack.now())


LARGE = [
    (
        Detection2DArray,
        "detect/detections",
        qos.result(),
        lambda: Detection2DArray(detections=[Detection2D()] * 150_000),
    ),
    (JointState, "joint_states", qos.request(), lambda: JointState(name=[""] * 1_000_000)),
    (
        StackState,
        "stack_state",
        qos.state(),
        lambda: StackState(nodes=[SupervisedNode(message="x" * 10_000_000)]),
    ),
    (ActionChunk, "action_chunk", qos.chunk(), lambda: ActionChunk(positions=[0.0] * 1_000_000)),
]


@pytest.mark.parametrize(("kind", "topic", "profile", "make"), LARGE, ids=[topic for _, topic, _, _ in LARGE])
def test_a_message_larger_than_it_can_sensibly_be_is_refused_by_its_size_and_its_publisher_named(
    stack: Stack, peer: Peer, fusion: NodeProcess, kind: Any, topic: str, profile: Any, make: Any
) -> None:
    stranger = peer.node.create_publisher(kind, topic, profile)
    data = serialize_message(make())
    assert len(data) > 5_000_000

    def refused() -> int:
        stranger.publish(data)  # what is best effort may be lost on the way
        return counted(peer, topic, "too_large")

    peer.spin_until(refused, what=f"too_large on {topic}")
    said = [
        line for line in fusion.output().splitlines() if f"{topic}: a message of {len(data)} bytes" in line
    ]
    assert len(said) == 1  # however many came
    assert "at most" in said[0]
    assert "/peer" in said[0]
    peer.node.destroy_publisher(stranger)
    stack.next_commands(10)
    stack.running()


def test_a_chunk_that_is_too_large_is_one_of_a_policy_that_is_not_to_be_trusted(stack: Stack) -> None:
    stack.sends_chunks = False
    stack.send_chunk(positions=[0.0] * 200_000)
    assert "200" not in stack.until("invalid_action", FusionStatus.HOLD).reason
    assert "bytes" in stack.until("invalid_action", FusionStatus.HOLD).detail


def test_a_message_of_a_bearable_size_with_too_many_elements_is_refused_before_each_is_looked_at(
    stack: Stack, peer: Peer
) -> None:
    for kind, topic, make in (
        (Detection2DArray, "detect/detections", lambda: Detection2DArray(detections=[Detection2D()] * 2000)),
        (JointState, "joint_states", lambda: JointState(name=[*JOINTS, *[""] * 1000], position=[0.0] * 1002)),
    ):
        stranger = peer.node.create_publisher(kind, topic, qos.request())

        def refused(stranger: Any = stranger, make: Any = make, topic: str = topic) -> int:
            message = make()
            message.header = header(stack)
            stranger.publish(message)
            return counted(peer, topic, "too_many")

        peer.spin_until(refused, what=f"too_many on {topic}")
        peer.node.destroy_publisher(stranger)
    stack.running()
