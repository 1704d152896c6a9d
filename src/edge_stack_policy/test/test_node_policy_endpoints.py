# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy node with a policy server beside it, which comes late, stands still, and comes back: chunks never stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edge_stack_msgs.msg import PolicyStatus
from sensor_msgs.msg import JointState

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s
from edge_stack_core.testing import free_port

pytest.importorskip("grpc")

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)


@pytest.fixture(autouse=True)
def admission_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


@pytest.fixture
def statuses(peer: Peer) -> Iterator[History]:
    """Collect policy statuses, while a robot stands still."""
    joints = peer.node.create_publisher(JointState, "joint_states", qos.sensor())

    def publish() -> None:
        message = JointState(name=list(ROBOT.joint_names), position=ROBOT.home.tolist())
        message.header.stamp = peer.node.get_clock().now().to_msg()
        joints.publish(message)

    timer = peer.node.create_timer(0.03, publish)
    yield peer.record(PolicyStatus, "policy_status", qos.state())
    timer.cancel()


def test_chunks_come_from_the_server_while_it_answers_and_never_stop(peer: Peer, statuses: History) -> None:
    port = free_port()
    address = f"grpc://127.0.0.1:{port}"
    parameters = {
        "robot_file": str(ROBOT_FILE),
        "policy_contract": "none",
        "device": "cpu",
        "admission": "on",
        "endpoints": [address, "local"],
    }

    def wait(condition: Callable[[PolicyStatus], bool], what: str, since_s: float = 0.0) -> PolicyStatus:
        """Return the first status that meets a condition, of those after a time."""
        return peer.spin_until(
            lambda: next((s for s in statuses.since(since_s) if condition(s)), None), what=what
        )

    with NodeProcess("edge_stack_policy.ros.policy", "policy", parameters):
        peer.bring_up("policy")
        wait(lambda s: s.endpoint == "local" and s.chunks > 0, "chunks from here: there is no server yet")
        command = [sys.executable, "-m", "edge_stack_policy.remote.server", "--policy", "visual_servo"]
        server = subprocess.Popen(
            [*command, "--robot", "so101_sim", "--port", str(port)], stdout=subprocess.DEVNULL
        )
        try:
            status = wait(lambda s: s.endpoint == address, "chunks from the server")
            assert status.endpoint_changes == 1 and "good probes in a row" in status.endpoint_reason
            assert status.rtt_p50_s > 0.0
            server.send_signal(signal.SIGSTOP)
            here = wait(
                lambda s: s.endpoint == "local", "chunks from here: the server stands still", stamp_s(status)
            )
            assert here.endpoint_changes == 2
            assert any(words in here.endpoint_reason for words in ("no chunk within", "no answer in time"))
            assert here.loss > 0.0
            server.send_signal(signal.SIGCONT)
            again = wait(lambda s: s.endpoint == address, "chunks from the server again", stamp_s(here))
            assert again.underruns == 0 and again.unavailable == 0
        finally:
            server.kill()
            server.wait()
        gone = wait(lambda s: s.endpoint == "local", "chunks from here: the server is gone", stamp_s(again))
        assert gone.underruns == 0


def test_an_endpoint_that_is_written_wrongly_is_refused_at_configure(peer: Peer) -> None:
    parameters = {
        "robot_file": str(ROBOT_FILE),
        "policy_contract": "none",
        "endpoints": ["http://127.0.0.1:1", "local"],
    }
    with NodeProcess("edge_stack_policy.ros.policy", "policy", parameters) as process:
        assert not peer.transition("policy", "configure")
        assert "endpoints: 'http://127.0.0.1:1': is no address of a server" in process.output()
