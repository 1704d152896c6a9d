# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The scripted expert does the task from wherever it is, and shows how."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_stack_core.robot import load_robot
from edge_stack_sim.expert import OPEN, Expert, Glance, Stage, glance
from edge_stack_sim.learning.closed_loop import ClosedLoop
from edge_stack_sim.learning.demonstrations import HORIZON, IMAGE_SIDE, demonstrate, follow
from edge_stack_sim.learning.drivers import ExpertDriver
from edge_stack_sim.learning.evaluate import evaluate
from edge_stack_sim.scene import HOME, OBJECTS
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World


def test_it_succeeds_on_nearly_every_scene(robot_file: Path, world: World) -> None:
    robot = load_robot(robot_file)
    outcome = evaluate(ExpertDriver(robot), robot, range(200_000, 200_040))
    assert outcome.successes >= 38, f"failed on {outcome.failed}"
    assert outcome.low < outcome.successes / 40 <= outcome.high


def test_the_stages_follow_from_what_is_seen(robot_file: Path) -> None:
    expert = Expert(load_robot(robot_file))
    far, mark, on_mark = np.array((0.2, 0.1, 0.015)), np.array((0.2, -0.1)), np.array((0.2, -0.1, 0.015))
    home = np.array(HOME)

    def above(x: float, y: float, height: float, gripper: float) -> np.ndarray:
        from edge_stack_policy.visual_servo.kinematics import tool_above

        joints = expert.arm.inverse(tool_above(x, y, height))
        assert joints is not None
        return np.append(joints, gripper)

    held = np.array((0.2, 0.1, 0.085))
    assert expert.stage_of(Glance(home, far, mark)) is Stage.REACH
    assert expert.stage_of(Glance(above(0.2, 0.1, 0.08, OPEN), far, mark)) is Stage.DESCEND
    assert expert.stage_of(Glance(above(0.2, 0.1, 0.010, OPEN), far, mark)) is Stage.CLOSE
    assert expert.stage_of(Glance(above(0.2, 0.1, 0.085, 0.5), held, mark)) is Stage.CARRY
    assert (
        expert.stage_of(Glance(above(0.2, -0.1, 0.08, 0.5), np.array((0.2, -0.1, 0.08)), mark)) is Stage.LOWER
    )
    assert expert.stage_of(Glance(above(0.2, -0.1, 0.012, 0.5), on_mark, mark)) is Stage.OPEN
    assert expert.stage_of(Glance(above(0.2, -0.1, 0.012, OPEN), on_mark, mark)) is Stage.RETREAT
    assert expert.stage_of(Glance(home, on_mark, mark)) is Stage.HOME


def test_a_chunk_keeps_the_speed_limits_and_does_not_move_the_motion(robot_file: Path, world: World) -> None:
    robot = load_robot(robot_file)
    expert = Expert(robot)
    motion = expert.start(world.joint_positions)
    before = motion.joints.copy()
    chunk = expert.chunk(motion, glance(world, OBJECTS[0]), 60)
    assert np.array_equal(motion.joints, before)
    speed = np.abs(np.diff(np.vstack((before, chunk)), axis=0)) * 24.0
    assert (speed <= robot.velocity_max + 1e-6).all()


def test_demonstrations_repeat_and_show_frame_state_and_chunk(robot_file: Path, world: World) -> None:
    robot = load_robot(robot_file)
    one, two = (demonstrate(robot, 5, 12) for _ in range(2))
    assert one.images.shape == (12, IMAGE_SIDE, IMAGE_SIDE, 3) and one.chunks.shape == (12, HORIZON, 6)
    assert np.array_equal(one.states, two.states) and np.array_equal(one.chunks, two.chunks)
    assert len(np.unique(one.images.reshape(12, -1), axis=0)) == 12
    assert np.abs(one.chunks[:, 0] - one.states).max() < 0.6


def test_a_learner_is_corrected_where_it_went(robot_file: Path, world: World) -> None:
    robot = load_robot(robot_file)
    stays = np.tile(np.array(HOME), (HORIZON, 1))
    samples = follow(robot, lambda frame, state, task, now_s: stays, 3, 20)
    assert len(samples) == 20
    assert np.abs(samples.states[-1] - HOME).max() < 0.1  # it did as the learner wanted
    assert np.abs(samples.chunks[:, -1] - stays[-1]).max() > 0.3  # and the expert would not have


def test_a_policy_that_stays_at_home_fails(robot_file: Path, world: World) -> None:
    stays = np.tile(np.array(HOME), (HORIZON, 1))
    loop = ClosedLoop(world, load_robot(robot_file), lambda frame, state, task, now_s: stays)
    task = PlaceTask(world, seed=1, timeout_s=2.0)
    task.prepare()
    assert loop.run(task) is TaskState.TIMED_OUT
