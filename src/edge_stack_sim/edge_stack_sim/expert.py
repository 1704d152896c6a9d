# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The scripted expert that demonstrates the task: it knows the simulator's truth and plays a chunk ahead from any state.

Its unit of work is one glance: where the joints, the object and the mark are. What it does next follows from that glance
alone (`stage_of`); it remembers nothing. So whatever state a learner gets itself into, the expert has an answer that can be
learned from a single picture, as data aggregation (DAgger, Ross et al. 2011) needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.robot import Robot
from edge_stack_policy.visual_servo.kinematics import DOWN, ArmKinematics, ToolPose, tool_above
from edge_stack_policy.visual_servo.motion import Goal, Motion, MotionLimits, axes_of, sideways_distance, step
from edge_stack_sim.world import World

HOVER_HEIGHT, GRASP_HEIGHT, RELEASE_HEIGHT = 0.085, 0.009, 0.011  # m
OPEN, CLOSED = 0.90, 0.20  # rad
GRIPPING = (
    0.36,
    0.72,
)  # rad; a gripper between these beside an object holds it, or is about to (a cube held by its edges)
BESIDE = 0.03  # m from the tool to the middle of what it holds
ON_MARK = 0.022  # m from the mark's centre
RESTS_HEIGHT = 0.022  # m; the middle of an object on the table is below
ABOVE_OBJECT, ABOVE_MARK = 0.009, 0.012  # m sideways from which the tool comes down
STILL_NEAR, STILL_LOW = 0.035, 0.06  # m; the tool has not left what it has put down
TILTED = 0.15  # rad
LAG_S = 0.09  # the arm follows its commands as a first-order lag of about this


class Stage(Enum):
    """What the expert does in a state."""

    REACH = "reach"  # above the object
    DESCEND = "descend"
    CLOSE = "close"
    CARRY = "carry"  # up, and above the mark
    LOWER = "lower"
    OPEN = "open"
    RETREAT = "retreat"
    HOME = "home"


@dataclass(frozen=True)
class Glance:
    """joints: measured [6], rad. thing: middle of the object [3], m. mark: its centre on the table [2], m."""

    joints: NDArray[np.float64]
    thing: NDArray[np.float64]
    mark: NDArray[np.float64]


def glance(world: World, target: str) -> Glance:
    """Look at the simulator's truth."""
    return Glance(world.joint_positions, world.object_pose(target)[:3].copy(), world.mark_position.copy())


class Expert:
    """Puts an object on the mark. Needs a robot with the geometry of `ArmKinematics`."""

    def __init__(self, robot: Robot, step_s: float = 1.0 / 24.0) -> None:
        self.arm = ArmKinematics.of(robot)
        self.step_s = step_s
        self._limits = MotionLimits(robot.position_min, robot.position_max, 0.95 * robot.velocity_max)
        self._home = Goal(self.arm.forward(robot.home), float(robot.home[5]))
        self._follow = 1.0 - math.exp(-step_s / LAG_S)

    def stage_of(self, seen: Glance) -> Stage:
        """Say what to do in a state."""
        return self._decide(seen)[0]

    def advance(self, motion: Motion, seen: Glance) -> Stage:
        """Move a motion on by one step; its `joints` are what to command next."""
        stage, goal = self._decide(seen)
        step(motion, goal, self.step_s, self.arm, self._limits)
        return stage

    def towards(self, motion: Motion, goal: Goal) -> None:
        """Move a motion on by one step towards a goal of somebody else's."""
        step(motion, goal, self.step_s, self.arm, self._limits)

    def start(self, joints: NDArray[np.float64]) -> Motion:
        """Return a motion that rests at joint positions [6]."""
        return Motion.at_rest(joints, self.arm)

    def resume(self, before: NDArray[np.float64], now: NDArray[np.float64]) -> Motion:
        """Return the motion of somebody else's last two commands [6], a step apart."""
        old, new = (axes_of(self.arm.forward(joints), float(joints[5])) for joints in (before, now))
        return Motion(new, (new - old) / self.step_s, np.array(now, dtype=np.float64))

    def chunk(self, motion: Motion, seen: Glance, horizon: int) -> NDArray[np.float64]:
        """Return the commands [horizon, 6] of the coming steps, taking it that all goes well. Leaves the motion alone."""
        motion = motion.copy()
        joints, thing = seen.joints.copy(), seen.thing.copy()
        chunk = np.empty((horizon, 6))
        for index in range(horizon):
            self.advance(motion, Glance(joints, thing, seen.mark))
            chunk[index] = motion.joints
            tool = self.arm.forward(joints).xyz
            beside = bool(np.linalg.norm(thing - tool) < BESIDE)
            following = joints + self._follow * (motion.joints - joints)
            if beside:  # the fingers close on the object, not through it
                following[5] = max(following[5], min(joints[5], 0.5))
            joints = following
            if beside and joints[5] < GRIPPING[1]:
                thing = thing + (self.arm.forward(joints).xyz - tool)
            else:
                thing[2] = min(thing[2], 0.015)
        return chunk

    def _decide(self, seen: Glance) -> tuple[Stage, Goal]:
        pose, gripper = self.arm.forward(seen.joints), float(seen.joints[5])
        above_thing, above_mark = _above(seen.thing), _above(seen.mark)
        placed = math.dist(seen.thing[:2], seen.mark) < ON_MARK and seen.thing[2] < RESTS_HEIGHT
        here = ToolPose(pose.bearing, pose.radius, max(pose.height, GRASP_HEIGHT))
        beside = np.linalg.norm(seen.thing - pose.xyz) < BESIDE
        if beside and GRIPPING[0] < gripper < GRIPPING[1]:
            if sideways_distance(pose, above_mark) > ABOVE_MARK and not (placed and pose.height < BESIDE):
                return Stage.CARRY, _goal(above_mark, HOVER_HEIGHT, CLOSED)
            if pose.height > RELEASE_HEIGHT + 0.006:
                return Stage.LOWER, _goal(above_mark, RELEASE_HEIGHT, CLOSED)
            return Stage.OPEN, Goal(here, OPEN)
        if placed:
            if sideways_distance(pose, above_thing) >= STILL_NEAR or pose.height >= STILL_LOW:
                return Stage.HOME, self._home
            if gripper < OPEN - 0.2:
                return Stage.OPEN, Goal(here, OPEN)
            return Stage.RETREAT, _goal(here, HOVER_HEIGHT, OPEN)
        tilted = abs(pose.roll) > TILTED or abs(pose.pitch - DOWN) > TILTED
        if sideways_distance(pose, above_thing) > ABOVE_OBJECT or tilted:
            return Stage.REACH, _goal(above_thing, HOVER_HEIGHT, OPEN)
        if pose.height > GRASP_HEIGHT + 0.006:
            is_open = gripper > OPEN - 0.15
            return Stage.DESCEND, _goal(
                above_thing, GRASP_HEIGHT if is_open else max(pose.height, 0.045), OPEN
            )
        return Stage.CLOSE, _goal(above_thing, GRASP_HEIGHT, CLOSED)


def _above(place: NDArray[np.float64]) -> ToolPose:
    return tool_above(float(place[0]), float(place[1]), 0.0)


def _goal(above: ToolPose, height: float, gripper: float) -> Goal:
    return Goal(ToolPose(above.bearing, above.radius, height), gripper)
