# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Episodes, and faults on demand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_stack_policy.visual_servo.kinematics import ArmKinematics, tool_above
from edge_stack_sim import scene
from edge_stack_sim.faults import REACH_S, Faults
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World


def begun(world: World, **kwargs) -> PlaceTask:
    task = PlaceTask(world, seed=1, **kwargs)
    task.prepare()
    task.start()
    return task


def run(world: World, task: PlaceTask, duration_s: float) -> bool:
    for _ in range(round(duration_s / 0.02)):
        world.step(steps=5)
        if task.update():
            return True
    return False


def test_an_episode_waits_for_the_first_command(world: World) -> None:
    task = PlaceTask(world)
    task.prepare()
    assert task.state is TaskState.WAITING
    assert task.instruction == f"put the {task.target.replace('_', ' ')} on the mark"
    assert not run(world, task, 1.0)
    assert task.episode_s == 0.0


def test_an_object_that_rests_on_the_mark_is_a_success(world: World) -> None:
    task = begun(world)
    world.set_object(task.target, *world.mark_position)
    assert run(world, task, 2.0)
    assert task.state is TaskState.SUCCEEDED
    assert (task.attempts, task.successes) == (1, 1)
    assert 0.3 <= task.last_success_s < 1.0


def test_an_object_beside_the_mark_is_none(world: World) -> None:
    task = begun(world)
    x, y = world.mark_position
    world.set_object(task.target, x + world.style.mark_radius + 0.005, y)
    assert not run(world, task, 2.0)


def test_the_wrong_object_on_the_mark_is_none(world: World) -> None:
    task = begun(world)
    world.set_object(next(name for name in scene.OBJECTS if name != task.target), *world.mark_position)
    assert not run(world, task, 2.0)


def test_an_object_still_between_the_fingers_is_none(world: World) -> None:
    task = begun(world)
    arm = ArmKinematics(scene.SHOULDER_HEIGHT, scene.UPPER_ARM, scene.FOREARM, scene.TOOL)
    joints = arm.inverse(tool_above(0.2, 0.0, 0.01))
    assert joints is not None
    world.teleport_arm(np.append(joints, 0.9))
    x, y, _ = world.tool_position
    world.set_mark(x, y)
    world.set_object(task.target, x, y)
    world.step(np.append(joints, 0.2), 1)
    assert not run(world, task, 2.0)
    assert world.is_touched(task.target)


def test_an_episode_that_takes_too_long_has_failed(world: World) -> None:
    task = begun(world, timeout_s=1.0)
    assert run(world, task, 1.5)
    assert task.state is TaskState.TIMED_OUT
    assert (task.attempts, task.successes) == (1, 0)
    assert math.isnan(task.last_success_s)


def test_the_same_seed_gives_the_same_episodes() -> None:
    def episodes() -> list[tuple[str, float]]:
        world = World()
        task = PlaceTask(world, seed=9)
        found = []
        for _ in range(5):
            task.prepare()
            found.append((task.target, float(world.mark_position[0])))
        return found

    assert episodes() == episodes()


def test_an_instruction_of_somebody_else_is_judged_if_it_names_one_object(world: World) -> None:
    task = begun(world)
    assert task.adopt("please put the Blue Cube on the mark")
    assert task.target == "blue_cube"
    assert task.state is TaskState.WAITING
    assert not task.adopt("dance")
    assert task.target == "blue_cube"


def test_a_stalled_camera_gives_no_frames() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    assert Faults(camera_stall=True).frame(image, np.random.default_rng(0)) is None
    assert Faults().frame(image, np.random.default_rng(0)) is image


def test_an_arm_that_is_stuck_stays_where_it_was_told_to_be_and_one_that_sags_rests_below() -> None:
    faults, command = Faults(), np.full(6, 0.3)
    assert (faults.command(command) == command).all()
    faults.arm_stuck = True
    assert (faults.command(np.full(6, 0.7)) == command).all()
    faults.arm_stuck, faults.arm_sag = False, 0.05
    assert faults.command(command) == pytest.approx([0.25] * 5 + [0.3])
    assert (command == 0.3).all()


def test_camera_noise_has_the_strength_that_was_asked_for() -> None:
    image = np.full((100, 100, 3), 128, dtype=np.uint8)
    noisy = Faults(camera_noise=10.0).frame(image, np.random.default_rng(0))
    assert noisy is not None
    assert noisy.astype(float).std() == pytest.approx(10.0, rel=0.1)


def test_the_hand_reaches_in_and_goes_again(world: World) -> None:
    faults = Faults(hand=True)
    for _ in range(round(REACH_S / 0.02) + 1):
        faults.step(world, 0.02)
        world.step(steps=5)
    assert "hand" in {one.name for one in world.annotations()}
    faults.hand = False
    for _ in range(round(REACH_S / 0.02) + 1):
        faults.step(world, 0.02)
        world.step(steps=5)
    assert "hand" not in {one.name for one in world.annotations()}
