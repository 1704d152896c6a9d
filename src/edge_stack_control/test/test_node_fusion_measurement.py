# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: F811 (fixtures of another file)
"""The fusion node and a robot whose measurements are wrong, contradict each other, or are not where it is commanded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from edge_stack_msgs.msg import FusionStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from test_node_fusion import (  # noqa: F401 (fixtures)
    JOINTS,
    START,
    Stack,
    fusion,
    inactive,
    peer,
    robot_file,
    shared_peer,
    stack,
)

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer

LIMIT = 2.0


@pytest.fixture
def second(peer: Peer, fusion: NodeProcess) -> Iterator[list[float | None]]:
    """A second publisher of joint states: pan where the list says, nothing for None."""
    publisher = peer.node.create_publisher(JointState, "joint_states", qos.sensor())
    says: list[float | None] = [None]

    def play() -> None:
        if says[0] is not None:
            message = JointState(name=JOINTS[:1], position=[says[0]])
            message.header.stamp = peer.node.get_clock().now().to_msg()
            publisher.publish(message)

    timer = peer.node.create_timer(0.05, play)
    peer.spin_until(lambda: publisher.get_subscription_count() >= 1, what="fusion to hear it")
    yield says
    peer.node.destroy_timer(timer)
    peer.node.destroy_publisher(publisher)


def refused(peer: Peer, kind: str) -> int:
    events = peer.statuses["fusion"].events
    return sum(e.count for e in events if (e.topic, e.event) == ("joint_states", kind))


@pytest.mark.parametrize(
    ("value", "kind"), [(50.0, "implausible"), (1e300, "implausible"), (float("nan"), "not_finite")]
)
def test_an_implausible_measurement_is_refused_and_never_becomes_a_command(
    inactive: Stack,
    peer: Peer,
    second: list[float | None],
    value: float,
    kind: str,
) -> None:
    stack = inactive
    stack.sends_joints = False
    second[0] = value
    assert peer.transition("fusion", "activate")
    begin_s = peer.now_s()
    peer.spin_until(lambda: refused(peer, kind) >= 3, what="it to be refused")
    named = peer.spin_until(
        lambda: (s := stack.status()) and "pan" in s.detail and s, what="the joint to be named"
    )
    assert (named.reason, named.commands) == ("joint_state_stale", 0)
    stack.sends_joints = True
    stack.running()
    before = refused(peer, kind)
    peer.spin_until(lambda: refused(peer, kind) >= before + 10, what="more of them")
    commands = stack.commands.since(begin_s)
    assert commands
    assert all(abs(position) <= LIMIT for command in commands for position in command.position)
    assert stack.running().reason == "ok"


def test_joint_states_that_do_not_come_are_named_with_their_cause(stack: Stack, peer: Peer) -> None:
    stack.sends_joints = False
    says = "joint_states: no joint state for 2 s: "
    peer.spin_until(lambda: says in peer.statuses["fusion"].message)
    assert "publishes /joint_states and nothing comes any more" in peer.statuses["fusion"].message
    stack.sends_joints = True
    stack.running()
    peer.spin_until(lambda: "joint_states" not in peer.statuses["fusion"].message)


def test_two_publishers_that_contradict_each_other_are_named_and_nothing_begins(
    inactive: Stack,
    peer: Peer,
    second: list[float | None],
) -> None:
    stack = inactive
    stack.put_at = START
    second[0] = START[0] + 0.9
    assert peer.transition("fusion", "activate")
    status = stack.until("joint_state_contradiction", FusionStatus.HOLD)
    assert "pan" in status.detail
    peer.spin_until(lambda: refused(peer, "jump") >= 10, what="jumps")
    assert stack.status().commands == 0
    second[0] = None
    stack.put_at = None
    stack.running()


def test_a_robot_that_is_moved_by_others_is_held_and_begins_where_it_comes_to_rest(
    stack: Stack, peer: Peer
) -> None:
    peer.spin_until(
        lambda: stack.commands and list(stack.commands[-1].position) == pytest.approx([0.5, 0.5], abs=1e-2)
    )
    stack.put_at = [0.1, 0.5]  # stuck here from now on, whatever is commanded
    stack.target = [-1.0, 0.5]
    status = stack.until("following_error", FusionStatus.HOLD)
    assert "pan" in status.detail
    assert status.following_error > 1.0
    stack.target = [0.1, 0.5]
    peer.spin_until(
        lambda: stack.commands[-1].position[0] == pytest.approx(0.1, abs=0.05), what="a begin where it is"
    )
    stack.put_at = None
    stack.running()


def test_a_stop_never_moves_however_measurements_come_and_go(stack: Stack, peer: Peer) -> None:
    peer.spin_until(
        lambda: stack.commands and list(stack.commands[-1].position) == pytest.approx([0.5, 0.5], abs=1e-2)
    )
    assert peer.call(SetBool, "fusion/stop", SetBool.Request(data=True)).success
    stack.until("stop_requested", FusionStatus.STOP)
    held = list(stack.next_commands(1)[0].position)
    stopped_s = peer.now_s()
    for _ in range(3):
        stack.put_at = [position - 0.05 for position in held]  # it sags
        stack.sends_joints = False
        count = len(stack.commands)
        peer.spin_until(lambda count=count: len(stack.commands) >= count + 15)
        stack.sends_joints = True
        count = len(stack.commands)
        peer.spin_until(lambda count=count: len(stack.commands) >= count + 15)
    assert {tuple(command.position) for command in stack.commands.since(stopped_s)} == {tuple(held)}
    stack.put_at = None
    assert peer.call(SetBool, "fusion/stop", SetBool.Request(data=False)).success
    stack.running()


def test_a_silent_hold_leaves_the_robot_to_others_and_single_targets_are_an_input(
    stack: Stack, peer: Peer
) -> None:
    assert peer.set_parameter("fusion", "hold", "silent") == (True, "")
    assert peer.set_parameter("fusion", "input", "targets") == (True, "")
    stack.until("no_action", FusionStatus.HOLD)
    quiet = stack.status().commands
    peer.spin_until(
        lambda: (events := peer.statuses["fusion"].events) and any(e.event == "not_in_force" for e in events)
    )
    assert stack.status().commands == quiet
    publisher = peer.node.create_publisher(JointState, "target_joints", qos.sensor())

    def send() -> None:
        message = JointState(name=list(reversed(JOINTS)), position=[-0.4, 0.3])
        message.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(message)

    timer = peer.node.create_timer(0.05, send)
    try:
        peer.spin_until(
            lambda: list(stack.commands[-1].position) == pytest.approx([0.3, -0.4], abs=1e-2),
            what="the target",
        )
    finally:
        peer.node.destroy_timer(timer)
    stack.until("stale_action", FusionStatus.HOLD)
    peer.node.destroy_publisher(publisher)
    assert peer.set_parameter("fusion", "input", "chunks") == (True, "")
    assert peer.set_parameter("fusion", "hold", "publish") == (True, "")
    stack.running()
