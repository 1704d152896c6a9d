# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Samples to learn from: what the camera and the joints show in a state, and what the expert would command from there.

Its unit of work is one sample. States come from the expert itself, pushed off its way now and then (`demonstrate`), or from
a policy that is being trained (`follow`: data aggregation, Ross et al. 2011); the chunk is the expert's in both. Frames are
drawn only where a sample is taken, so that a thousand samples take some eight seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_stack_core.robot import Robot
from edge_stack_policy.visual_servo.kinematics import DOWN, ToolPose
from edge_stack_policy.visual_servo.motion import Goal, Motion
from edge_stack_sim.expert import Expert, Stage, glance
from edge_stack_sim.learning.closed_loop import EPISODE, ClosedLoop, Predict
from edge_stack_sim.scene import OBJECTS
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World

IMAGE_SIDE = 160
"""Side of the square that a frame is scaled to, px; both of its sides, whatever their ratio."""
HORIZON = 30
POINTS = (*OBJECTS, "mark", "tool")
"""What `Samples.points` says the place of."""

_EVERY = 6  # control steps between two samples, about
_AGE_MAX = 2  # control steps
_PUSHES_PER_S = 0.6
_HAND_SHARE, _PLACED_SHARE, _HOME_SHARE, _ANYWHERE_SHARE = 0.08, 0.12, 0.45, 0.15
_DONE_S = 0.7  # at home, before the next episode


@dataclass(frozen=True)
class Samples:
    """
    Samples in rows.

    images: uint8 [N, side, side, 3] RGB. states: float32 [N, 6], rad. chunks: float32 [N, HORIZON, 6], rad. targets: uint8
    [N], index in OBJECTS. points: float32 [N, 6, 3], m, of POINTS; the camera's lens is none of their business.
    """

    images: NDArray[np.uint8]
    states: NDArray[np.float32]
    chunks: NDArray[np.float32]
    targets: NDArray[np.uint8]
    points: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.states)

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all."""
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez(unfinished, **{field.name: getattr(self, field.name) for field in fields(self)})
        unfinished.replace(path)

    @classmethod
    def load(cls, *paths: Path) -> Samples:
        """Read one or more files, one after another."""
        parts = [np.load(path) for path in paths]
        return cls(*(np.concatenate([part[field.name] for part in parts]) for field in fields(cls)))


class _Collector:
    def __init__(self, count: int) -> None:
        self.rows = 0
        self.samples = Samples(
            np.empty((count, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8),
            np.empty((count, 6), np.float32),
            np.empty((count, HORIZON, 6), np.float32),
            np.empty(count, np.uint8),
            np.empty((count, len(POINTS), 3), np.float32),
        )

    @property
    def full(self) -> bool:
        return self.rows >= len(self.samples)

    def add(
        self,
        world: World,
        target: str,
        image: NDArray[np.uint8],
        state: NDArray[np.float64],
        chunk: NDArray[np.float64],
    ) -> bool:
        """Add a row, scaled; return whether there was room for it."""
        if self.full:
            return False
        row, into = self.rows, self.samples
        into.images[row], into.states[row], into.chunks[row] = image, state, chunk
        into.targets[row] = OBJECTS.index(target)
        into.points[row, :4] = [world.object_pose(name)[:3] for name in OBJECTS]
        into.points[row, 4] = (*world.mark_position, 0.0)
        into.points[row, 5] = world.tool_position
        self.rows += 1
        return True


def scaled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a frame as the policy sees it: the contract's `resize`."""
    small = cv2.resize(frame, (IMAGE_SIDE, IMAGE_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def demonstrate(
    robot: Robot, seed: int, count: int, progress: Callable[[int], None] | None = None
) -> Samples:
    """Let the expert do episode after episode and push it off its way now and then."""
    rng, world, expert = np.random.default_rng(seed), World(seed=seed), Expert(robot)
    into = _Collector(count)
    motion = expert.start(world.joint_positions)
    try:
        while not into.full:
            share = rng.random()
            if share < _HOME_SHARE + _ANYWHERE_SHARE:
                joints = (
                    np.array(robot.home) + rng.normal(0.0, 0.03, 6)
                    if share < _HOME_SHARE
                    else _anywhere(expert, robot, rng)
                )
                world.teleport_arm(joints)
                motion = expert.start(world.joint_positions)
            target = _new_scene(world, rng)
            due, age = int(rng.integers(_AGE_MAX, _EVERY + _AGE_MAX)), int(rng.integers(0, _AGE_MAX + 1))
            for number in _episode(world, expert, motion, target, rng):
                if number == due - age:  # frames are older than joint positions, as in the stack
                    frame = scaled(world.render())
                if number == due:
                    seen = glance(world, target)
                    chunk = expert.chunk(motion, seen, HORIZON)
                    if into.add(world, target, frame, seen.joints, chunk) and progress is not None:
                        progress(into.rows)
                    due, age = due + int(rng.integers(3, 2 * _EVERY - 2)), int(rng.integers(0, _AGE_MAX + 1))
                if into.full:
                    break
    finally:
        world.close()
    return into.samples


def follow(
    robot: Robot, predict: Predict, seed: int, count: int, progress: Callable[[int], None] | None = None
) -> Samples:
    """Let a policy do episode after episode and note what the expert would have done instead."""
    rng, world, expert = np.random.default_rng(seed), World(seed=seed), Expert(robot)
    into = _Collector(count)
    loop = ClosedLoop(world, robot, predict)

    def note(frame: NDArray[np.uint8], state: NDArray[np.float64], task: PlaceTask) -> None:
        motion = expert.resume(loop.last_command, loop.command)
        chunk = expert.chunk(motion, glance(world, task.target), HORIZON)
        if into.add(world, task.target, scaled(frame), state, chunk) and progress is not None:
            progress(into.rows)

    loop.observer = note
    try:
        while not into.full:
            if rng.random() < 0.5:
                world.reset()
            _hand(world, rng)
            task = PlaceTask(
                world, seed=int(rng.integers(1 << 30)), timeout_s=float(rng.choice((6.0, 9.0, 14.0)))
            )
            task.prepare()
            loop.latency_s = float(rng.uniform(0.03, 0.12))
            loop.period_s = float(rng.choice((0.2, 0.2, 0.3)))
            loop.frame_age_s = float(rng.uniform(0.0, 0.12))
            loop.run(task)
            if task.state is TaskState.SUCCEEDED and rng.random() < 0.5:
                loop.go_on(task, 1.0)  # withdraws, and stays at home
    finally:
        world.close()
    return into.samples


def _episode(
    world: World, expert: Expert, motion: Motion, target: str, rng: np.random.Generator
) -> Iterator[int]:
    """Play an episode; yields the number of each control step before it is made."""
    pushed, at_home_s = 0, 0.0
    push: Goal | None = None
    end_s = world.time_s + rng.uniform(3.2, 6.5)
    for number in range(10_000):
        if world.time_s >= end_s or at_home_s > _DONE_S:
            return
        yield number
        if pushed <= 0 and rng.random() < _PUSHES_PER_S * expert.step_s:
            pushed, push = int(rng.integers(4, 16)), _push(motion, rng)
        if pushed > 0 and push is not None:
            pushed -= 1
            expert.towards(motion, push)
        elif expert.advance(motion, glance(world, target)) is Stage.HOME:
            at_home_s += expert.step_s
        world.step(motion.joints, EPISODE.physics_steps(number))


def _push(motion: Motion, rng: np.random.Generator) -> Goal:
    """Somewhere near that the expert would not go; in a third of all cases with the gripper anyhow."""
    pose = motion.pose
    gripper = rng.uniform(0.2, 0.95) if rng.random() < 0.35 else motion.position[5]
    return Goal(
        ToolPose(
            pose.bearing + rng.normal(0.0, 0.25),
            float(np.clip(pose.radius + rng.normal(0.0, 0.04), 0.13, 0.30)),
            float(np.clip(pose.height + rng.normal(0.01, 0.04), 0.008, 0.20)),
            pose.pitch,
            pose.roll + rng.normal(0.0, 0.1),
        ),
        float(gripper),
    )


def _anywhere(expert: Expert, robot: Robot, rng: np.random.Generator) -> NDArray[np.float64]:
    pose = ToolPose(
        rng.uniform(-1.0, 1.0),
        rng.uniform(0.14, 0.29),
        rng.uniform(0.03, 0.20),
        DOWN + rng.normal(0.0, 0.08),
        rng.normal(0.0, 0.15),
    )
    joints = expert.arm.inverse(pose)
    return np.array(robot.home) if joints is None else np.append(joints, rng.uniform(0.2, 0.95))


def _new_scene(world: World, rng: np.random.Generator) -> str:
    """Place everything anew and return the object that is asked for; now and then it lies on the mark already."""
    _hand(world, rng)
    world.place_objects(rng)
    target = OBJECTS[rng.integers(len(OBJECTS))]
    if rng.random() < _PLACED_SHARE:
        x, y = world.mark_position + rng.normal(0.0, 0.012, 2)
        world.set_object(target, x, y, rng.uniform(-3.0, 3.0))
    world.step(None, 1)
    return target


def _hand(world: World, rng: np.random.Generator) -> None:
    if rng.random() < _HAND_SHARE:
        world.set_hand(
            rng.uniform(0.05, 0.45), rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.3), rng.uniform(-1.0, 1.0)
        )
    else:
        world.hide_hand()
