# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The training of the demo's policy runs from nothing to a policy that the stack loads, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from edge_stack_core.robot import load_robot
from edge_stack_policy.smolvla.runtime import SmolVLARuntime
from edge_stack_sim.learning.lessons import TrainingPace
from edge_stack_sim.learning.train import TrainingPlan, Workshop, train


def test_from_nothing_to_a_policy_and_on_from_a_stage_that_is_done(
    tmp_path: Path, robot_file: Path, world: object
) -> None:
    torch.set_num_threads(1)
    said: list[str] = []
    shop = Workshop(tmp_path, load_robot(robot_file), torch.device("cpu"), 0, 1, said.append)
    few = TrainingPace(2, 5.0, 1e-3)
    plan = TrainingPlan(samples=64, see=few, act=few, rounds=1, round_samples=16, again=few)
    policy = train(plan, shop)
    runtime = SmolVLARuntime(policy)
    chunk = runtime.predict(
        {"observation.images.table": np.zeros((160, 160, 3), np.uint8)},
        np.zeros(6, np.float32),
        "put the red cube on the mark",
    )
    runtime.close()
    assert chunk.shape == (30, 6) and np.isfinite(chunk).all()
    assert runtime.description.noise_scale == 0.0
    assert any("demonstrations: 1 of 1" in text for text in said)

    said.clear()
    (tmp_path / "round1.safetensors").unlink()
    train(plan, shop)
    assert not any("demonstrations" in text for text in said)  # kept
    assert (tmp_path / "round1.safetensors").is_file()
