# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Demonstrations as LeRobot datasets: written here, read back by LeRobot's own loader."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.base import DETECTION_FIELDS, ENVIRONMENT_STATE, STATE
from edge_stack_policy.contract import (
    EnvironmentStateFeature,
    ImageFeature,
    PolicyContract,
    load_contract,
    plain_contract,
)
from edge_stack_policy.lerobot.dataset import DatasetWriter

sys.path.insert(0, str(Path(__file__).parent))
from tiny_lerobot import needs_lerobot

ROBOT = load_robot(find_robot("so101_sim"))
IMAGE = "observation.images.table"
CONTRACT = replace(plain_contract(ROBOT), images=(ImageFeature(IMAGE, "image_raw", "table", 24, 32),))

pytestmark = needs_lerobot


def step(index: int) -> dict[str, Any]:
    return {IMAGE: np.full((48, 64, 3), index, np.uint8), STATE: ROBOT.home + 0.01 * index}


def read(folder: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/read", root=folder, video_backend="pyav")


def write(folder: Path, contract: PolicyContract = CONTRACT, **options: Any) -> DatasetWriter:
    with DatasetWriter(folder, contract, robot_type="so101_sim", **options) as writer:
        for task, count in (("push it", 5), ("thrown away", 4), ("lift it", 3)):
            for index in range(count):
                writer.add(step(index), ROBOT.home + 0.02 * index, task)
            writer.end_episode(keep=task != "thrown away")
    return writer


def test_lerobot_reads_what_was_written(tmp_path: Path) -> None:
    writer = write(tmp_path / "set")
    dataset = read(tmp_path / "set")
    assert (dataset.num_episodes, len(dataset), dataset.fps) == (2, 8, 24)
    assert (writer.episodes, writer.frames) == (2, 8)
    assert dataset.meta.robot_type == "so101_sim"
    frame = dataset[3]
    assert frame["task"] == "push it"
    assert frame[IMAGE].shape == (3, 24, 32)
    np.testing.assert_allclose(frame[IMAGE].numpy(), 3 / 255.0, atol=1e-6)
    np.testing.assert_allclose(frame[STATE].numpy(), ROBOT.home + 0.03, atol=1e-6)
    np.testing.assert_allclose(frame["action"].numpy(), ROBOT.home + 0.06, atol=1e-6)
    assert dataset[7]["task"] == "lift it"
    assert dataset.features["action"]["names"] == [f"{name}.pos" for name in ROBOT.joint_names]
    assert dataset.meta.stats["action"]["max"].shape == (6,)


def test_actions_are_written_in_the_contracts_units(tmp_path: Path) -> None:
    file = tmp_path / "degrees.yaml"
    file.write_text("action: {joints: [shoulder_pan, gripper], units: [deg, percent]}\nrate_hz: 10\n")
    with DatasetWriter(tmp_path / "set", load_contract(file, ROBOT)) as writer:
        for _ in range(2):
            writer.add({}, [np.pi / 2, 0.25], "turn")
        assert writer.end_episode()
    frame = read(tmp_path / "set")[0]
    np.testing.assert_allclose(frame["action"].numpy(), [90.0, 25.0], atol=1e-4)


def test_cameras_may_be_videos(tmp_path: Path) -> None:
    big = replace(CONTRACT, images=(replace(CONTRACT.images[0], height=None, width=None),))
    with DatasetWriter(tmp_path / "set", big, videos=True) as writer:
        for index in range(6):
            image = np.full((64, 96, 3), 30 * index, np.uint8)
            writer.add({IMAGE: image, STATE: ROBOT.home}, ROBOT.home, "look")
        writer.end_episode()
    assert list((tmp_path / "set").rglob("*.mp4"))
    np.testing.assert_allclose(read(tmp_path / "set")[4][IMAGE].numpy().mean(), 120 / 255, atol=0.05)


def test_detections_are_written_as_one_vector_best_first(tmp_path: Path) -> None:
    environment = EnvironmentStateFeature(ENVIRONMENT_STATE, ("detect/detections",), ("cube",), 2)
    contract = replace(CONTRACT, images=(), environment_state=environment)
    rows = np.zeros((3, len(DETECTION_FIELDS)), np.float32)
    rows[:, 1] = (0.2, 0.9, 0.5)
    with DatasetWriter(tmp_path / "set", contract) as writer:
        for _ in range(2):
            writer.add({STATE: ROBOT.home, ENVIRONMENT_STATE: rows}, ROBOT.home, "see")
        writer.end_episode()
    np.testing.assert_allclose(
        read(tmp_path / "set")[0][ENVIRONMENT_STATE].numpy()[[1, 9]], [0.9, 0.5], atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "action", "text"),
    [
        ({IMAGE: None}, ROBOT.home, r"observation.images.table: uint8 \[H, W, 3\] is needed"),
        ({STATE: ROBOT.home[:4]}, ROBOT.home, r"observation.state: has shape \[4\]; \[6\] is needed"),
        ({}, np.full(6, np.nan), "action: has values that are not finite"),
        ({}, ROBOT.home[:2], r"action: has shape \[2\]; \[6\] is needed"),
    ],
)
def test_a_step_that_does_not_fit_is_refused_and_harms_nothing(
    tmp_path: Path, change: dict[str, Any], action: np.ndarray, text: str
) -> None:
    with DatasetWriter(tmp_path / "set", CONTRACT) as writer:
        writer.add(step(0), ROBOT.home, "a")
        with pytest.raises(ValueError, match=text):
            writer.add({**step(1), **change}, action, "a")
        writer.add(step(2), ROBOT.home, "a")
        writer.end_episode()
    assert len(read(tmp_path / "set")) == 2


def test_an_image_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    free = replace(CONTRACT, images=(replace(CONTRACT.images[0], height=None, width=None),))
    with DatasetWriter(tmp_path / "set", free) as writer:
        writer.add(step(0), ROBOT.home, "a")
        with pytest.raises(ValueError, match="is 24x24 now and was 48x64"):
            writer.add({**step(1), IMAGE: np.zeros((24, 24, 3), np.uint8)}, ROBOT.home, "a")


def test_what_there_is_already_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "set")
    with pytest.raises(ConfigurationError, match="exists already; name a new folder"):
        DatasetWriter(tmp_path / "set", CONTRACT)


def test_a_rate_that_lerobot_cannot_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"rate_hz: 12\.5 is no whole number"):
        DatasetWriter(tmp_path / "set", replace(CONTRACT, rate_hz=12.5))


def test_nothing_recorded_is_no_dataset(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "set", CONTRACT) as writer:
        writer.add(step(0), ROBOT.home, "too short")
        assert not writer.end_episode()
    assert writer.episodes == 0
