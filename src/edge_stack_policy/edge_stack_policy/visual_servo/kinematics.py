# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Closed-form kinematics of a pan, lift, elbow, wrist, roll arm, and the way from pixels to the table.

Its unit of work is one pose or one pixel. A pose of the tool is written in cylinder coordinates around the pan axis
(`ToolPose`): they map one to one onto the five joints while the elbow is up, so that a motion planned in them never
needs a search. It knows no limits of speed and no obstacles.

Joint zero: upper arm, forearm and tool in one line straight up, bearing along +x. Positive lift, elbow and wrist lean
forward. The tool points down where lift + elbow + wrist = pi.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import FixedCamera, Robot

DOWN = math.pi
"""Pitch of a tool that points straight down."""


@dataclass(frozen=True, slots=True)
class ToolPose:
    """Where the point between the fingertips is and how the tool stands.

    bearing: around the pan axis from +x towards +y, rad. radius: from the pan axis, m. height: above the base frame's
    origin, m. pitch: 0 straight up, pi straight down, rad. roll: of the gripper around the tool's axis, rad.
    """

    bearing: float
    radius: float
    height: float
    pitch: float = DOWN
    roll: float = 0.0

    @property
    def xyz(self) -> NDArray[np.float64]:
        """Position [3] in the base frame, m."""
        return np.array(
            (self.radius * math.cos(self.bearing), self.radius * math.sin(self.bearing), self.height),
            dtype=np.float64,
        )


@dataclass(frozen=True, slots=True)
class ArmKinematics:
    """Lengths of the arm, m: table to lift axis, lift to elbow, elbow to wrist, wrist to the point between fingertips."""

    shoulder_height: float
    upper_arm: float
    forearm: float
    tool: float

    @classmethod
    def of(cls, robot: Robot) -> ArmKinematics:
        """Take the lengths from a robot's geometry; ConfigurationError names what is missing."""
        names = ("shoulder_height", "upper_arm", "forearm", "tool")
        missing = [name for name in names if name not in robot.geometry]
        if missing:
            raise ConfigurationError(f"robot {robot.name}: geometry lacks {', '.join(missing)} (lengths, m)")
        return cls(*(float(robot.geometry[name]) for name in names))

    def forward(self, joints: Sequence[float] | NDArray[np.float64]) -> ToolPose:
        """Pose of the tool for pan, lift, elbow, wrist, roll (more values are ignored), rad."""
        pan, lift, elbow, wrist, roll = (float(value) for value in joints[:5])
        pitch = lift + elbow + wrist
        radius = (
            self.upper_arm * math.sin(lift)
            + self.forearm * math.sin(lift + elbow)
            + self.tool * math.sin(pitch)
        )
        height = (
            self.shoulder_height
            + self.upper_arm * math.cos(lift)
            + self.forearm * math.cos(lift + elbow)
            + self.tool * math.cos(pitch)
        )
        return ToolPose(pan, radius, height, pitch, roll)

    def inverse(self, pose: ToolPose) -> NDArray[np.float64] | None:
        """Joints [5] (elbow up) that bring the tool to a pose, or None where it is out of reach. Limits aren't checked."""
        wrist_radius = pose.radius - self.tool * math.sin(pose.pitch)
        wrist_height = pose.height - self.tool * math.cos(pose.pitch) - self.shoulder_height
        squared = wrist_radius**2 + wrist_height**2
        cosine = (squared - self.upper_arm**2 - self.forearm**2) / (2.0 * self.upper_arm * self.forearm)
        if not -1.0 <= cosine <= 1.0 or squared < 1e-12:
            return None
        elbow = math.acos(cosine)
        towards = math.atan2(wrist_radius, wrist_height)
        lift = towards - math.atan2(
            self.forearm * math.sin(elbow), self.upper_arm + self.forearm * math.cos(elbow)
        )
        return np.array((pose.bearing, lift, elbow, pose.pitch - lift - elbow, pose.roll), dtype=np.float64)

    def reaches(self, pose: ToolPose) -> bool:
        """Whether the arm is long enough for a pose."""
        return self.inverse(pose) is not None


def tool_above(x: float, y: float, height: float, roll: float = 0.0) -> ToolPose:
    """Pose of a tool that points down at a place of the base frame, m."""
    return ToolPose(math.atan2(y, x), math.hypot(x, y), height, DOWN, roll)


def pixel_ray(camera: FixedCamera, u: float, v: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origin [3] and unit direction [3] in the base frame of what a pixel sees."""
    matrix = camera.intrinsics()
    local = np.array(((u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1], 1.0))
    direction = camera.rotation @ local
    return camera.position_m, direction / np.linalg.norm(direction)


def pixel_to_plane(
    camera: FixedCamera, u: float, v: float, height: float = 0.0
) -> NDArray[np.float64] | None:
    """Point [2] (x, y in the base frame, m) that a pixel sees on the level plane at a height; None beyond the horizon."""
    origin, direction = pixel_ray(camera, u, v)
    if abs(direction[2]) < 1e-9:
        return None
    distance = (height - origin[2]) / direction[2]
    if distance <= 0.0:
        return None
    point: NDArray[np.float64] = (origin + distance * direction)[:2]
    return point


def point_to_pixel(
    camera: FixedCamera, point: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Pixel [2] in which a point of the base frame [3] appears; None behind the camera."""
    local = camera.rotation.T @ (np.asarray(point, dtype=np.float64) - camera.position_m)
    if local[2] <= 1e-9:
        return None
    matrix = camera.intrinsics()
    return np.array(
        (matrix[0, 0] * local[0] / local[2] + matrix[0, 2], matrix[1, 1] * local[1] / local[2] + matrix[1, 2])
    )
