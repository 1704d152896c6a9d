# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Recording from a running simulated robot, over DDS, and reading it back by LeRobot's own loader."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_stack_msgs.msg import TaskStatus
from sensor_msgs.msg import JointState

from edge_stack_core.process_environment import process_environment
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer
from edge_stack_policy.lerobot.installed import lerobot_version
from edge_stack_sim.scene import HOME, JOINTS

pytestmark = pytest.mark.skipif(
    lerobot_version() is None, reason="lerobot is not installed (./edge setup --with lerobot)"
)
RATE_HZ = 24.0
TIMEOUT_S = 2.0
START_S = 60.0  # lerobot takes its time to be imported
CONTRACT = """\
images:
  observation.images.table: {topic: image_raw, camera: table, resize: {height: 60, width: 80}}
state: {topic: joint_states}
action: {units: rad}
"""


class Driver:
    """Waves the arm: commands at the control rate, from the time that it is started."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._commands = peer.node.create_publisher(JointState, "joint_command", qos.command(RATE_HZ))
        self.statuses: list[TaskStatus] = peer.collect(TaskStatus, "task_status", qos.state())
        self.sent: list[float] = []

    def start(self) -> None:
        self._timer = self._peer.node.create_timer(1.0 / RATE_HZ, self._send)

    def _send(self) -> None:
        positions = np.array(HOME)
        positions[0] = 0.3 * np.sin(0.2 * len(self.sent))
        self.sent.append(float(positions[0]))
        command = JointState(name=list(JOINTS), position=positions.tolist())
        command.header.stamp = self._peer.node.get_clock().now().to_msg()
        self._commands.publish(command)


@pytest.fixture
def driver(peer: Peer, robot_file: Path) -> Iterator[Driver]:
    driver = Driver(peer)
    with NodeProcess(
        "edge_stack_sim.ros.sim", "sim", {"robot_file": str(robot_file), "timeout_s": TIMEOUT_S}
    ):
        peer.bring_up("sim")
        yield driver


def recorder(tmp_path: Path, robot_file: Path, *options: str) -> subprocess.Popen[str]:
    contract = tmp_path / "contract.yaml"
    contract.write_text(CONTRACT, encoding="utf-8")
    command = [sys.executable, "-m", "edge_stack_record.ros.record_dataset", "--contract", str(contract)]
    command += ["--robot", str(robot_file), "--out", str(tmp_path / "set"), *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **process_environment(os.environ)},
    )


def ended(peer: Peer, process: subprocess.Popen[str], timeout_s: float = START_S) -> str:
    peer.spin_until(lambda: process.poll() is not None, timeout_s, what="the recorder ends")
    assert process.stdout is not None
    return process.stdout.read()


def wait_for_the_recorder(peer: Peer, process: subprocess.Popen[str]) -> None:
    def listens() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read()
        return (
            peer.node.count_subscribers("joint_command") >= 2
            and peer.node.count_subscribers("image_raw") >= 1
        )

    peer.spin_until(listens, START_S, what="the recorder listens")


def read(folder: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/read", root=folder)


def test_what_the_stack_sees_and_commands_becomes_a_dataset(
    peer: Peer, driver: Driver, robot_file: Path, tmp_path: Path
) -> None:
    process = recorder(tmp_path, robot_file, "--keep", "all")
    try:
        wait_for_the_recorder(peer, process)
        driver.start()
        peer.spin_until(lambda: driver.statuses[-1].attempts >= 3, 30.0)
        peer.spin_until(lambda: driver.statuses[-1].state == "running")
        process.send_signal(signal.SIGTERM)  # in the middle of the fourth
        said = ended(peer, process)
    finally:
        process.kill()
    assert process.returncode == 0, said
    dataset = read(tmp_path / "set")
    # The recorder may not have heard yet that the third is over; half an episode is never kept.
    assert dataset.num_episodes in (2, 3), said
    assert dataset.fps == 24
    assert dataset.meta.robot_type == "so101_sim"
    lengths = [int(episode["length"]) for episode in dataset.meta.episodes]
    # An episode lasts 2 s; the first may be seen a little late, for a status comes twice a second. On a crowded machine
    # simulated time falls behind; two episodes in one would be more than twice as long.
    assert all(0.6 * RATE_HZ * TIMEOUT_S <= length <= 1.5 * RATE_HZ * TIMEOUT_S for length in lengths), said
    frames = [dataset[index] for index in range(len(dataset))]
    assert re.fullmatch(r"put the \w+ \w+ on the mark", frames[0]["task"])
    assert frames[0]["observation.images.table"].shape == (3, 60, 80)
    assert frames[0]["observation.images.table"].std() > 0.05
    # Every command of the episode is there once, in order.
    actions = np.array([frame["action"][0] for frame in frames[: lengths[0]]])
    first = int(np.argmin(np.abs(np.array(driver.sent) - actions[0])))
    starts = [i for i, sent in enumerate(driver.sent) if abs(sent - actions[0]) < 1e-6] or [first]
    assert any(np.allclose(driver.sent[i : i + len(actions)], actions, atol=1e-6) for i in starts)
    # The arm follows its commands.
    states = np.array([frame["observation.state"][0] for frame in frames[: lengths[0]]])
    assert np.corrcoef(states[4:], actions[:-4])[0, 1] > 0.8


def test_a_contract_that_does_not_fit_the_robot_ends_the_recorder_at_once(
    peer: Peer, robot_file: Path, tmp_path: Path
) -> None:
    process = recorder(tmp_path, robot_file)
    (tmp_path / "contract.yaml").write_text("action: {joints: [elbow]}\n", encoding="utf-8")
    said = ended(peer, process)
    assert process.returncode == 2
    assert "contract.yaml:1: action.joints.0: the robot so101_sim has no joint 'elbow'" in said
