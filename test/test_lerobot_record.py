# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The expert's episodes as a LeRobot dataset: replayed they do the task again, and LeRobot's trainer learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_lerobot import CONFIGS, needs_lerobot

from edge_stack_core.robot import load_robot
from edge_stack_policy import PolicySettings, make_policy
from edge_stack_policy.contract import load_contract, to_units
from edge_stack_sim.learning.closed_loop import EPISODE
from edge_stack_sim.learning.record import main
from edge_stack_sim.task import PlaceTask
from edge_stack_sim.world import World

pytestmark = needs_lerobot
SEED, SIDE, KEY = 7, 48, "observation.images.top"
CONTRACT = f"""\
images:
  {KEY}: {{topic: image_raw, camera: table, resize: {{height: {SIDE}, width: {SIDE}}}}}
state: {{topic: joint_states, units: [deg, deg, deg, deg, deg, percent]}}
action: {{units: [deg, deg, deg, deg, deg, percent]}}
"""


@pytest.fixture(scope="module")
def contract_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("contract") / "arm.yaml"
    file.write_text(CONTRACT, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, contract_file: Path, robot_file: Path) -> Path:
    """A dataset of two episodes."""
    World(seed=0).close()
    folder = tmp_path_factory.mktemp("recorded") / "set"
    options = ["--episodes", "2", "--seed", str(SEED), "--contract", str(contract_file)]
    assert main(["--out", str(folder), "--robot", str(robot_file), *options]) == 0
    return folder


def read(folder: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/read", root=folder, video_backend="pyav")


def test_what_was_recorded_does_the_task_again_and_looks_the_same(
    folder: Path, contract_file: Path, robot_file: Path
) -> None:
    contract = load_contract(contract_file, load_robot(robot_file))
    dataset = read(folder)
    assert (dataset.num_episodes, dataset.fps, dataset.meta.robot_type) == (2, 24, "so101_sim")
    assert contract.state is not None
    world = World(seed=SEED)
    task = PlaceTask(world, seed=SEED)
    try:
        for episode in dataset.meta.episodes:
            world.reset()
            task.prepare()
            task.start()
            done = False
            for number, index in enumerate(range(episode["dataset_from_index"], episode["dataset_to_index"])):
                assert not done, "an episode ends with its success"
                frame = dataset[index]
                assert frame["task"] == task.instruction
                image = contract.images[0].fit(world.render()).astype(np.float32) / 255.0
                recorded = frame[KEY].permute(1, 2, 0).numpy()
                assert recorded.shape == (SIDE, SIDE, 3) and np.abs(recorded - image).mean() < 0.002
                state = to_units(contract.state, world.joint_positions)
                np.testing.assert_allclose(frame["observation.state"].numpy(), state, atol=0.05)
                scale = contract.action.scale
                command = frame["action"].numpy() / np.array(scale.scale) + np.array(scale.zero)
                world.step(command, EPISODE.physics_steps(number))
                done = task.update()
            assert done
        assert task.successes == 2
    finally:
        world.close()


def test_lerobots_trainer_takes_it_and_the_stack_runs_what_it_trained(
    folder: Path, contract_file: Path, robot_file: Path, tmp_path: Path
) -> None:
    import torch
    from lerobot.configs.default import DatasetConfig
    from lerobot.configs.train import TrainPipelineConfig
    from lerobot.policies.factory import make_policy_config
    from lerobot.scripts.lerobot_train import train

    torch.set_num_threads(1)
    out = tmp_path / "trained"
    train(
        TrainPipelineConfig(
            dataset=DatasetConfig("local/read", root=str(folder), video_backend="pyav"),
            policy=make_policy_config("act", device="cpu", push_to_hub=False, **CONFIGS["act"]),
            output_dir=out,
            steps=2,
            save_freq=2,
            batch_size=2,
            num_workers=0,
        )
    )
    robot = load_robot(robot_file)
    contract = load_contract(contract_file, robot)
    trained = PolicySettings(robot, path=str(out / "checkpoints" / "last"), contract=contract, device="cpu")
    policy = make_policy("lerobot", trained)
    policy.load()
    frame = read(folder)[0]
    chunk = policy.predict_action_chunk(
        {
            KEY: (frame[KEY].permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8),
            "observation.state": frame["observation.state"].numpy(),
            "task": frame["task"],
            "time_s": 0.0,
        }
    )
    policy.close()
    assert chunk.shape == (12, 6) and np.isfinite(chunk).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate_hz: 30\n" + CONTRACT, "rate_hz: 30; the simulator is commanded 24 times a second"),
        (
            CONTRACT.replace(", camera: table", ""),
            f"{KEY}: camera: ''; the simulator's only one is 'table'",
        ),
        (
            CONTRACT + "environment_state: {topics: [detect/detections], class_names: [cube], rows: 2}\n",
            "observation.environment_state: nothing detects here; record a running stack",
        ),
    ],
)
def test_what_the_simulator_does_not_have_is_refused(
    tmp_path: Path, robot_file: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(text, encoding="utf-8")
    command = ["--out", str(tmp_path / "set"), "--robot", str(robot_file), "--contract", str(file)]
    assert main(command) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
