# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Somebody else on the robot's command topic, over DDS: fusion holds and names him, and never takes its standby for one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_stack_msgs.msg import FusionStatus
from sensor_msgs.msg import JointState
from test_node_fusion import JOINTS, MODULE, PARAMETERS, RATE_HZ, ROBOT, START, Stack
from test_node_fusion_standby import Pair

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer, ros_domain


@pytest.fixture
def robot_file(tmp_path: Path) -> str:
    file = tmp_path / "robot.yaml"
    file.write_text(ROBOT, encoding="utf-8")
    return str(file)


class Stranger:
    """Commands the robot too, slowly."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._publisher = peer.node.create_publisher(JointState, "joint_command", qos.command(RATE_HZ))
        self._timer = peer.node.create_timer(0.5, self._send)

    def _send(self) -> None:
        message = JointState(name=JOINTS, position=START)
        message.header.stamp = self._peer.now()
        self._publisher.publish(message)

    def close(self) -> None:
        self._peer.node.destroy_timer(self._timer)
        self._peer.node.destroy_publisher(self._publisher)


@pytest.fixture
def stack(peer: Peer, robot_file: str) -> Iterator[Stack]:
    with NodeProcess(MODULE, "fusion", {**PARAMETERS, "robot_file": robot_file}) as process:
        stack = Stack(peer)
        stack.put_at = stack.target = START  # whoever commands: what the test plays is one robot
        peer.bring_up("fusion")
        stack.running()
        yield stack
        stack.close()
        assert process.alive(), process.output()


def test_fusion_holds_while_another_node_commands_the_robot_and_says_who_it_is(
    stack: Stack, peer: Peer
) -> None:
    with Peer("teleop") as other:
        stranger = Stranger(other)

        def named() -> FusionStatus | None:
            other.executor.spin_once(timeout_sec=0.0)
            status = stack.status()
            return status if status.reason == "second_commander" and "/teleop" in status.detail else None

        status = peer.spin_until(named, what="second_commander, by name")
        assert status.state == FusionStatus.HOLD
        assert "on this host" in status.detail
        assert "also publishes joint_command" in status.detail
        stranger.close()
    stack.running()


def test_told_to_warn_fusion_goes_on_and_names_the_other_one_as_a_problem(stack: Stack, peer: Peer) -> None:
    assert peer.set_parameter("fusion", "second_commander", "warn") == (True, "")
    with Peer("teleop") as other:
        stranger = Stranger(other)
        began_s = peer.now_s()

        def warned() -> bool:
            other.executor.spin_once(timeout_sec=0.0)
            return any("/teleop" in status.message for status in peer.said("fusion", began_s))

        peer.spin_until(warned, what="a problem that names the other one")
        assert "second_commander" not in {status.reason for status in stack.statuses.since(began_s)}
        stranger.close()
    peer.spin_until(lambda: not peer.statuses["fusion"].message)
    stack.running()


def test_two_fusions_that_do_not_know_of_each_other_both_hold_until_one_is_deactivated(
    peer: Peer, robot_file: str
) -> None:
    parameters = {**PARAMETERS, "robot_file": robot_file}
    with NodeProcess(MODULE, "fusion", parameters) as one, NodeProcess(MODULE, "fusion2", parameters) as two:
        stack = Stack(peer)
        stack.put_at = stack.target = START
        for name in ("fusion", "fusion2"):
            peer.bring_up(name)

        def reasons(commander: str, since_s: float) -> set[str]:
            return {s.reason for s in stack.statuses.since(since_s) if s.commander == commander}

        peer.spin_until(lambda: "second_commander" in reasons("/fusion", 0.0), what="fusion holds")
        peer.spin_until(lambda: "second_commander" in reasons("/fusion2", 0.0), what="fusion2 holds")
        held_s = peer.now_s()
        peer.spin_until(lambda: len(stack.statuses.since(held_s)) > 10)
        assert "ok" not in reasons("/fusion", held_s) | reasons("/fusion2", held_s)
        assert peer.transition("fusion2", "deactivate")
        alone_s = peer.now_s()
        peer.spin_until(lambda: "ok" in reasons("/fusion", alone_s), what="fusion runs")
        stack.close()
        assert one.alive()
        assert two.alive()


def test_the_standbys_commands_are_no_strangers_however_often_the_two_change_places(robot_file: str) -> None:
    with ros_domain(), Peer(namespace="/left") as peer:
        pair = Pair(peer, robot_file)
        try:
            for _ in range(5):
                victim, other = pair.roles()
                os.kill(victim.pid, signal.SIGKILL)
                victim.process.wait()
                pair.until(f"/left/{other.name}", standby_ready=False)
                more = {"standby_of": "fusion"} if victim.name == "fusion_standby" else {}
                again = pair.start(victim.name, **more)
                victim.__exit__()
                if victim is pair.fusion:
                    pair.fusion = again
                else:
                    pair.standby = again
                # The state that the dead one told last is no answer of the new one.
                peer.statuses.pop(victim.name, None)
                peer.bring_up(victim.name)
                pair.stack.next_commands(5)
            pair.roles()
            assert "second_commander" not in {status.reason for status in pair.stack.statuses}
            assert pair.stack.status().takeovers >= 5
            for process in (pair.fusion, pair.standby):
                assert "also publish" not in process.output()
        finally:
            pair.close()
