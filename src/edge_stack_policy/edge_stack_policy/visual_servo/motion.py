# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Smooth motion of the tool in cylinder coordinates: limited speed and acceleration, never sweeping low over the table.

Its unit of work is one step of time. Six axes: bearing, radius, height, pitch, roll (see `ToolPose`) and the gripper.
A goal may change at any step; the motion goes on from its present speed. It plans no way around things: it lifts the
tool, travels above them, and comes down where the goal is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.visual_servo.kinematics import ArmKinematics, ToolPose

SPEED_MAX = (1.3, 0.24, 0.24, 1.5, 2.5, 2.4)
"""rad/s, m/s, m/s, rad/s, rad/s, rad/s."""
ACCELERATION_MAX = (5.0, 1.2, 1.2, 6.0, 10.0, 20.0)
"""rad/s^2, m/s^2, m/s^2, rad/s^2, rad/s^2, rad/s^2."""

SAFE_HEIGHT = 0.065
"""Height of the tool from which it may travel sideways, m."""
COLUMN = 0.012
"""Sideways distance below which the tool may be lower than that, m."""

_HEIGHT = 2
_SIDEWAYS = (0, 1)


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the tool should be, and the gripper's angle (rad)."""

    pose: ToolPose
    gripper: float


@dataclass(slots=True)
class Motion:
    """Position and speed [6] of the axes, and the joint positions [6] that were last commanded."""

    position: NDArray[np.float64]
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    joints: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))

    @classmethod
    def at_rest(cls, joints: NDArray[np.float64], arm: ArmKinematics) -> Motion:
        """Start from joint positions [6]."""
        return cls(
            axes_of(arm.forward(joints), float(joints[5])), np.zeros(6), np.array(joints, dtype=np.float64)
        )

    @property
    def pose(self) -> ToolPose:
        """Pose of the tool."""
        return ToolPose(*(float(value) for value in self.position[:5]))

    def copy(self) -> Motion:
        """Copy, so that a plan can be tried."""
        return Motion(self.position.copy(), self.speed.copy(), self.joints.copy())


def axes_of(pose: ToolPose, gripper: float) -> NDArray[np.float64]:
    """Axis values [6] of a pose and a gripper angle."""
    return np.array((pose.bearing, pose.radius, pose.height, pose.pitch, pose.roll, gripper))


def sideways_distance(pose: ToolPose, other: ToolPose) -> float:
    """Level distance between two tool positions, m."""
    return math.hypot(
        pose.radius * math.cos(pose.bearing) - other.radius * math.cos(other.bearing),
        pose.radius * math.sin(pose.bearing) - other.radius * math.sin(other.bearing),
    )


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Limits of the joints [6]: positions (rad) and speeds (rad/s)."""

    position_min: NDArray[np.float64]
    position_max: NDArray[np.float64]
    velocity_max: NDArray[np.float64]


def step(motion: Motion, goal: Goal, step_s: float, arm: ArmKinematics, limits: MotionLimits) -> None:
    """Advance a motion towards a goal by one step of time; its `joints` are what to command then."""
    # Plain floats: for six values numpy costs ten times as much.
    pose = goal.pose
    wanted = [pose.bearing, pose.radius, pose.height, pose.pitch, pose.roll, goal.gripper]
    position, speed = motion.position.tolist(), motion.speed.tolist()
    if sideways_distance(motion.pose, pose) > COLUMN:
        wanted[_HEIGHT] = max(wanted[_HEIGHT], SAFE_HEIGHT + 0.01)
        if position[_HEIGHT] < SAFE_HEIGHT:
            for axis in _SIDEWAYS:
                wanted[axis] = position[axis]
    for axis, target in enumerate(wanted):
        acceleration = ACCELERATION_MAX[axis]
        distance = target - position[axis]
        # The highest speed from which the axis still stops in time when it brakes from the next step on.
        braking = acceleration * (math.sqrt(step_s**2 + 2.0 * abs(distance) / acceleration) - step_s)
        best = math.copysign(min(SPEED_MAX[axis], braking, abs(distance) / step_s), distance)
        change = acceleration * step_s
        speed[axis] = min(max(best, speed[axis] - 1.5 * change), speed[axis] + change)
        position[axis] += speed[axis] * step_s
    motion.position, motion.speed = np.array(position), np.array(speed)
    solution = arm.inverse(motion.pose)
    if solution is None:  # stretched beyond reach: keep the arm where it is, the gripper still moves
        solution = motion.joints[:5]
    joints = np.append(solution, motion.position[5])
    reach = limits.velocity_max * step_s
    joints = np.clip(joints, motion.joints - reach, motion.joints + reach)
    motion.joints = np.clip(joints, limits.position_min, limits.position_max)
