# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The visual servo does its task in the simulator, from detections that are late, noisy and sometimes missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_stack_core.robot import load_robot
from edge_stack_policy import PolicySettings, make_policy
from edge_stack_policy.base import Policy
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World

DETECTION_S = 0.2
CONTROL_S = 1.0 / 24.0


class Detector:
    """Ground-truth boxes as a detector at 5 Hz would give them: late, shaken, and with some missing."""

    def __init__(self, world: World, seed: int, latency_s: float, noise_px: float, missing: float) -> None:
        self._world, self._rng = world, np.random.default_rng(seed)
        self._latency_s, self._noise_px, self._missing = latency_s, noise_px, missing
        self._pending: list[tuple[float, np.ndarray]] = []
        self._newest: tuple[float, np.ndarray] | None = None

    def look(self, now_s: float) -> None:
        rows = []
        for one in self._world.annotations():
            if self._rng.random() < self._missing:
                continue
            left, top, right, bottom = np.array(one.box) + self._rng.normal(0.0, self._noise_px, 4)
            box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            rows.append((one.class_id, self._rng.uniform(0.5, 0.95), *box, 0.0, 0.0))
        self._pending.append((now_s, np.array(rows, dtype=np.float32).reshape(-1, 8)))

    def detections(self, now_s: float) -> np.ndarray:
        while self._pending and now_s - self._pending[0][0] >= self._latency_s:
            self._newest = self._pending.pop(0)
        if self._newest is None:
            return np.zeros((0, 8), dtype=np.float32)
        captured_s, rows = self._newest
        rows = rows.copy()
        rows[:, 7] = now_s - captured_s
        return rows


def episode(world: World, task: PlaceTask, policy: Policy, detector: Detector) -> TaskState:
    """Run one episode: detections and chunks at 5 Hz, commands at 24 Hz."""
    task.prepare()
    policy.reset()
    task.start()
    next_look_s = next_command_s = world.time_s
    chunk, chunk_s = np.zeros((0, 6)), 0.0
    while not task.update():
        now_s = world.time_s
        if now_s >= next_look_s:
            next_look_s += DETECTION_S
            detector.look(now_s)
            chunk_s = now_s
            chunk = policy.predict_action_chunk(
                {
                    "observation.state": world.joint_positions.astype(np.float32),
                    "observation.environment_state": detector.detections(now_s),
                    "task": task.instruction,
                    "time_s": now_s,
                }
            )
        if now_s >= next_command_s:
            next_command_s += CONTROL_S
            world.step(chunk[min(int((now_s - chunk_s) / policy.step_s), len(chunk) - 1)])
        else:
            world.step()
    return task.state


@pytest.mark.parametrize(
    ("latency_s", "noise_px", "missing"),
    [(0.15, 1.0, 0.1), (0.3, 2.0, 0.4)],
    ids=["as in the demo", "slow and poor"],
)
def test_the_named_object_is_put_on_the_mark_again_and_again(
    world: World, robot_file: Path, latency_s: float, noise_px: float, missing: float
) -> None:
    policy = make_policy("visual_servo", PolicySettings(load_robot(robot_file)))
    policy.load()
    task = PlaceTask(world, seed=2)
    detector = Detector(world, 2, latency_s, noise_px, missing)
    states = [episode(world, task, policy, detector) for _ in range(5)]
    assert states == [TaskState.SUCCEEDED] * 5
    assert task.last_success_s < 12.0
