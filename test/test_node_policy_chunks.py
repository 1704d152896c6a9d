# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Chunks on time through real policy and fusion processes: slow policies, guiding ones, and absent ones."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_policy
from diagnostic_msgs.msg import DiagnosticArray
from edge_stack_msgs.msg import ActionChunk, FusionStatus, NodeStatus, PolicyStatus
from sensor_msgs.msg import Image, JointState

from edge_stack_core.admission.status import read_status
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)
RATE_HZ = 24.0
FUSION = {
    "robot_file": str(ROBOT_FILE),
    "control_rate_hz": RATE_HZ,
    "control_priority": 0,
    "companion_priority": 0,
    "lock_memory": False,
    "detections_topics": [],
    "supervisor_timeout_s": 0.0,
}
CONTRACT = """
rate_hz: 20.0
images:
  observation.images.top: {topic: image_raw, camera: table, resize: {height: 24, width: 32}}
state:
  fields: [gripper, shoulder_pan, shoulder_lift, elbow_flex, wrist_flex, wrist_roll]
  units: deg
action:
  units: rad
task: {topic: order, default: wait}
"""


class World:
    """The robot: joint states at 30 Hz, and everything that policy and fusion say."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        node = peer.node
        self.chunks: History = peer.record(ActionChunk, "action_chunk", qos.chunk())
        self.control: History = peer.record(FusionStatus, "fusion_status", qos.status())
        self.policy: History = peer.record(PolicyStatus, "policy_status", qos.state())
        self.commands: History = peer.record(JointState, "joint_command", qos.command(RATE_HZ, offered=False))
        self._joints = node.create_publisher(JointState, "joint_states", qos.sensor())
        self._images = node.create_publisher(Image, "image_raw", qos.frame())
        node.create_timer(1 / 30, self._publish)

    def _publish(self) -> None:
        stamp = self.peer.node.get_clock().now().to_msg()
        positions = list(self.commands[-1].position) if self.commands else ROBOT.home.tolist()
        joints = JointState(name=list(ROBOT.joint_names), position=positions)
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=bytes([7]) * (48 * 192))
        joints.header.stamp = image.header.stamp = stamp
        self._joints.publish(joints)
        self._images.publish(image)

    def until(self, condition: Callable[[PolicyStatus], Any], what: str) -> PolicyStatus:
        """Wait for a policy status that meets a condition, be it for a moment; return the first one."""
        return self.peer.spin_until(lambda: next((s for s in self.policy if condition(s)), None), what=what)


@pytest.fixture(autouse=True)
def admission_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


@pytest.fixture
def world(peer: Peer) -> World:
    return World(peer)


Start = Callable[..., AbstractContextManager[NodeProcess]]


@pytest.fixture
def policy(tmp_path: Path) -> Start:
    environment = toy_policy.entry_point(tmp_path)

    def start(asked: dict[str, Any], **parameters: Any) -> NodeProcess:
        values = {
            "robot_file": str(ROBOT_FILE),
            "policy_contract": "none",
            "policy": "toy",
            "policy_path": json.dumps(asked),
            **parameters,
        }
        return NodeProcess("edge_stack_policy.ros.policy", "policy", values, environment=environment)

    return start


def test_with_a_policy_too_slow_for_the_machine_control_goes_on_and_age_and_underruns_tell_the_truth(
    peer: Peer, world: World, policy: Start
) -> None:
    # 2 s for a chunk of 3 s: it arrives with 1 s left, and the next one comes a second after its end.
    slow = policy({"seconds": 2.0}, horizon=72, chunk_rate_hz=5.0)
    with slow, NodeProcess("edge_stack_control.ros.fusion", "fusion", FUSION):
        peer.bring_up("fusion")
        peer.bring_up("policy")
        world.until(lambda s: s.chunks >= 2, "two chunks")
        # Fusion's own limit of 2 s: what comes is too old when it comes, and the robot holds.
        peer.spin_until(
            lambda: (c := world.control[-1]).rejected_chunks > 0 and c.reason == "no_action",
            what="chunks that are too old",
        )
        assert {c.state for c in world.control} == {FusionStatus.HOLD}
        assert peer.set_parameter("fusion", "max_action_age_s", 6.0) == (True, "")
        peer.spin_until(
            lambda: world.control[-1].underruns >= 2 and world.control[-1].state == FusionStatus.HOLD,
            what="two underruns",
        )

        # Two inferences pass until the next chunk takes over; and the policy node counts underruns as well.
        status = world.until(
            lambda s: s.underruns >= world.control[-1].underruns and s.action_age_p99_s >= 4.0, "its figures"
        )
        starts = [chunk.start.sec + chunk.start.nanosec * 1e-9 for chunk in world.chunks]
        assert np.diff(starts).min() >= 2.0
        # As long as it really takes, and back to back: were the end of the actions waited for, it would be a second more.
        assert status.latency_p50_s >= 2.0
        assert np.median(np.diff(starts)) == pytest.approx(status.latency_p50_s, abs=0.7)
        assert status.latency_expected_s >= status.latency_p50_s
        assert status.inference_delay == math.ceil(status.latency_expected_s * RATE_HZ - 1e-6)

        control = [c for c in world.control if c.commands]
        assert {(c.state, c.reason) for c in control} >= {
            (FusionStatus.RUN, "ok"),
            (FusionStatus.HOLD, "stale_action"),
        }
        assert max(c.action_age_s for c in control if c.state == FusionStatus.RUN) > 2.0
        first, last = control[0], control[-1]
        ticks = last.commands - first.commands + last.skipped_ticks - first.skipped_ticks
        assert ticks == pytest.approx((stamp_s(last) - stamp_s(first)) * RATE_HZ, rel=0.05, abs=4.0)

        def speeds_before_rest() -> np.ndarray:
            """Speeds of the arm in the period before it rests, where the commands around that came on time."""
            pan = np.array([c.position[0] for c in world.commands])
            times = np.array([stamp_s(c) for c in world.commands])
            regular = np.abs(np.diff(times) - 1 / RATE_HZ) < 0.01
            speeds = np.where(regular, np.diff(pan) / np.diff(times), np.nan)
            return np.abs(speeds[:-1][(np.abs(speeds[:-1]) > 0.0) & (speeds[1:] == 0.0)])

        # Where the actions ran out the arm moved at up to 0.38 rad/s; it comes to rest without a jump of speed.
        peer.spin_until(lambda: len(speeds_before_rest()), what="the arm to rest")
        assert np.ptp([c.position[0] for c in world.commands]) > 0.05
        assert speeds_before_rest().max() < 0.1


def test_a_policy_that_guides_gets_what_is_left_of_the_chunk_before_and_the_delay(
    peer: Peer, world: World, policy: Start
) -> None:
    diagnostics = peer.collect(DiagnosticArray, "diagnostics", qos.status())
    with policy({"guides": True, "shows": True, "seconds": 0.06}, chunk_rate_hz=5.0) as process:
        peer.bring_up("policy")
        status = world.until(lambda s: "prev_chunk_left_over" in s.problem, "a left-over chunk")
        given = re.search(
            r"inference_delay (\d+);.* prev_chunk_left_over float64 \[(\d+), 6\]", status.problem
        )
        assert given is not None, status.problem
        delay, left = map(
            int, given.groups()
        )  # 2 or so of 0.06 s, and 25 or so of 30 actions; the machine may be busy
        assert 2 <= delay < left < 30
        assert "limit True" in status.problem
        status = world.until(lambda s: s.chunks >= 10, "some chunks")
        assert (status.policy, status.endpoint, status.merge) == ("toy", "local", "guided")
        assert status.seam_position_p99 < 0.02

        def shown() -> set[str]:
            return {
                v.key
                for d in diagnostics
                for one in d.status
                if one.name == "policy: action chunks"
                for v in one.values
            }

        peer.spin_until(
            lambda: shown() >= {"endpoint", "inference_delay", "underruns", "seam_velocity_p99"},
            what="diagnostics",
        )
        assert 0.0 < status.cover_s <= 1.25 and status.underruns == 0
        assert peer.transition("policy", "deactivate") and peer.transition("policy", "cleanup")
        peer.spin_until(lambda: process.output().count("closed") == 1)


def test_the_admission_learns_what_a_chunk_takes_and_when_the_next_one_begins(
    peer: Peer, world: World, policy: Start
) -> None:
    with policy({"seconds": 0.1}, chunk_rate_hz=5.0, device="cpu", admission="on"):
        peer.bring_up("policy")
        world.until(lambda s: s.chunks >= 12, "some chunks")
        (job,) = read_status("cpu").critical
        assert job.jobs >= 10
        # What it takes, and no more than the longest time that it took.
        longest_s = world.policy[-1].latency_p99_s
        assert 100.0 <= job.budget_ms <= 1e3 * max(0.2, longest_s)
        states = set()
        peer.spin_until(lambda: states.add(read_status("cpu").critical[0].state) or len(states) == 2)
        assert states == {"running", "announced"}, "never silent"


def test_requests_to_a_policy_that_is_not_available_are_counted_and_the_next_ones_are_served(
    peer: Peer, world: World, policy: Start
) -> None:
    with policy({"fails": 2}, chunk_rate_hz=10.0, merge="average", endpoints=["local"]) as process:
        peer.bring_up("policy")
        status = world.until(lambda s: s.unavailable >= 2 and s.chunks >= 3, "chunks and failures")
        assert "the server does not answer" in status.problem
        assert (status.endpoint, status.merge, status.underruns) == ("local", "average", 0)
        events = {(e.topic, e.event): e.count for e in peer.statuses["policy"].events}
        assert events[("policy", "unavailable")] >= 1
        assert process.alive()


def test_a_server_that_goes_away_costs_chunks_and_not_the_node(
    peer: Peer, world: World, policy: Start
) -> None:
    pytest.importorskip("grpc")
    import toy_remote

    toy = toy_remote.ToyPolicy()
    toy.answer = np.tile(ROBOT.home, (240, 1))  # ten seconds: a chunk must be there before the last one ends
    with toy_remote.serving(toy) as server:
        address = f"grpc://127.0.0.1:{server.port}"
        process = policy(
            {}, policy="remote", policy_address=address, server_timeout_s=20.0, server_images="png"
        )
        with process:
            peer.bring_up("policy")
            status = world.until(lambda s: s.chunks >= 5, "chunks from the server")
            assert (status.endpoint, status.merge, status.horizon) == (address, "guided", 240)
            assert 0.0 < status.rtt_p50_s <= status.rtt_p99_s < 20.0
            assert status.loss == 0.0
            server.stop()
            status = world.until(lambda s: s.unavailable >= 2, "requests without an answer")
            assert status.loss > 0.0 and address.removeprefix("grpc://") in status.problem
            assert process.alive()


def test_a_contract_says_which_topics_units_and_sizes_a_policy_sees(
    peer: Peer, world: World, policy: Start, tmp_path: Path
) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text(CONTRACT, encoding="utf-8")
    needs = ["observation.state", "observation.images.top"]
    with policy({"shows": True, "needs": needs}, policy_contract=str(file)):
        peer.bring_up("policy")
        status = world.until(lambda s: "observation" in s.problem, "an observation")
        gripper_deg = math.degrees(ROBOT.home[5])
        assert f"observation.state float32 [6] {gripper_deg:.1f}" in status.problem
        assert "observation.images.top uint8 [24, 32, 3] 7.0" in status.problem
        assert "task wait" in status.problem
        assert status.step_s == pytest.approx(0.05)


def test_what_a_policy_needs_and_the_contract_lacks_fails_configure_with_its_name(
    peer: Peer, policy: Start, tmp_path: Path
) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text(CONTRACT, encoding="utf-8")
    with policy({"needs": ["observation.images.wrist"]}, policy_contract=str(file)) as process:
        assert not peer.transition("policy", "configure")
        peer.spin_until(lambda: "needs observation.images.wrist" in peer.statuses["policy"].message)
        peer.spin_until(lambda: "closed" in process.output(), what="what was loaded is freed")


def test_a_prediction_that_does_not_end_is_not_joined_by_a_second_one(
    peer: Peer, world: World, policy: Start, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    with policy({"until": str(end)}):
        peer.bring_up("policy")
        peer.spin_until(lambda: peer.statuses["policy"].work == NodeStatus.WORK_BUSY, what="a prediction")
        assert peer.transition("policy", "deactivate")
        assert not peer.transition("policy", "activate")
        peer.spin_until(lambda: "has not ended yet" in peer.statuses["policy"].message)
        end.touch()
        peer.spin_until(lambda: peer.transition("policy", "activate"), what="activation once it has ended")
