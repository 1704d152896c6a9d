# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What fusion lets in, over DDS: nothing that is larger than it can sensibly be, and nothing stamped too far ahead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from edge_stack_msgs.msg import ActionChunk, FusionStatus, StackState, SupervisedNode
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
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


def test_a_message_too_large_on_an_input_that_is_not_in_force_holds_nothing(stack: Stack, peer: Peer) -> None:
    stranger = peer.node.create_publisher(JointState, "target_joints", qos.request())
    began_s = peer.now_s()

    def refused() -> int:
        stranger.publish(JointState(name=["x" * 1_000_000]))
        return counted(peer, "target_joints", "too_large")

    peer.spin_until(refused, what="too_large on target_joints")
    stack.next_commands(10)
    assert not [s.reason for s in stack.statuses.since(began_s) if s.reason == "invalid_action"]
    peer.node.destroy_publisher(stranger)


def test_who_sent_a_chunk_learns_what_became_of_it(stack: Stack, peer: Peer) -> None:
    taken = peer.spin_until(lambda: (s := stack.status()) and s.accepted_sequence and s, what="a chunk taken")
    assert (taken.refusal, taken.refused_sequence) == ("", 0)
    stack.send_chunk(policy="mine", sequence=12345, joint_names=["a", "b", "c"], positions=[0.0] * 3)
    refused = peer.spin_until(lambda: (s := stack.status()).refusal and s, what="a chunk refused")
    assert (refused.refused_policy, refused.refused_sequence) == ("mine", 12345)
    assert refused.refused_topic == "action_chunk" and refused.refusal.startswith("wrong joints")


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


def test_joint_states_ahead_of_the_clock_are_said_to_be_so_and_one_live_parameter_says_how_far_they_may(
    peer: Peer, fusion: NodeProcess
) -> None:
    stack = Stack(peer)
    stack.offset_s = 0.5
    peer.bring_up("fusion")

    def told() -> FusionStatus | None:
        status = stack.status()
        return status if status and "stamps are 0." in status.detail else None

    status = peer.spin_until(told, what="what is wrong with the joint states")
    assert status.reason == "joint_state_stale"
    assert status.detail.startswith("joint states come, but their stamps are 0.")
    assert "at most 0.1 s is allowed" in status.detail
    assert peer.set_parameter("fusion", "stamp_tolerance_s", 5.0) == (True, "")
    stack.running()
    stack.close()


def test_messages_without_a_stamp_are_taken_as_of_their_arrival(peer: Peer, fusion: NodeProcess) -> None:
    stack = Stack(peer)
    stack.now = lambda ahead_s=0.0: Time()  # type: ignore[method-assign]
    peer.bring_up("fusion")
    stack.running()
    stack.close()


def test_simulated_time_at_a_quarter_of_real_time_is_no_jump(peer: Peer, robot_file: str) -> None:
    began_s = time.monotonic()
    parameters = {**PARAMETERS, "robot_file": robot_file, "use_sim_time": True}
    with NodeProcess(MODULE, "fusion", parameters) as process:

        def tick() -> None:
            nanoseconds = int((1000.0 + 0.25 * (time.monotonic() - began_s)) * 1e9)
            clock.publish(Clock(clock=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)))

        clock = peer.node.create_publisher(Clock, "/clock", qos.sensor())
        timer = peer.node.create_timer(0.01, tick)
        peer.bring_up("fusion")
        heard = len(peer.said("fusion"))
        peer.spin_until(lambda: len(peer.said("fusion")) > heard + 30)
        assert counted(peer, "clock", "jumped") == 0
        assert "the clock " not in process.output()
        peer.node.destroy_timer(timer)
        peer.node.destroy_publisher(clock)


def test_under_simulated_time_a_clock_that_is_heard_late_refuses_nothing(peer: Peer, robot_file: str) -> None:
    heard_ns = 1000 * 10**9

    def tick() -> None:
        nonlocal heard_ns
        heard_ns += 10**7
        clock.publish(Clock(clock=Time(sec=heard_ns // 10**9, nanosec=heard_ns % 10**9)))

    def simulated(ahead_s: float = 0.0) -> Time:
        now_ns = heard_ns + 3 * 10**8 + int(ahead_s * 1e9)
        return Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)

    parameters = {**PARAMETERS, "robot_file": robot_file, "use_sim_time": True}
    with NodeProcess(MODULE, "fusion", parameters) as process:
        clock = peer.node.create_publisher(Clock, "/clock", qos.sensor())
        timer = peer.node.create_timer(0.01, tick)
        stack = Stack(peer)
        stack.now = simulated  # type: ignore[method-assign]
        peer.bring_up("fusion")
        stack.running()
        # What came before its first time of /clock was heard is ahead by all of it.
        refused = counted(peer, "joint_states", "from_future")
        heard = len(peer.said("fusion"))
        peer.spin_until(lambda: len(peer.said("fusion")) > heard + 10)
        assert counted(peer, "joint_states", "from_future") == refused, process.output()
        stack.close()
        peer.node.destroy_timer(timer)
        peer.node.destroy_publisher(clock)
