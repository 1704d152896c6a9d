# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the arm, and the way from pixels to the table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.visual_servo.kinematics import (
    DOWN,
    ArmKinematics,
    ToolPose,
    pixel_to_plane,
    point_to_pixel,
    tool_above,
)

ROBOT = load_robot(find_robot("so101_sim"))
ARM = ArmKinematics.of(ROBOT)
CAMERA = ROBOT.cameras["table"]


def within_limits(index: int) -> st.SearchStrategy[float]:
    joint = ROBOT.joints[index]
    low = max(joint.position_min, 0.02) if joint.name == "elbow_flex" else joint.position_min
    return st.floats(low, joint.position_max)


joints = st.tuples(*(within_limits(index) for index in range(5)))
places = st.tuples(st.floats(0.16, 0.27), st.floats(-0.9, 0.9), st.floats(0.0, 0.09))


@given(joints)
def test_inverse_gives_back_the_joints_that_forward_took(values: tuple[float, ...]) -> None:
    solution = ARM.inverse(ARM.forward(values))
    assert solution is not None
    np.testing.assert_allclose(solution, values, atol=1e-6)


@given(places)
def test_every_place_of_the_workspace_is_reached_pointing_down_within_the_limits(
    place: tuple[float, ...],
) -> None:
    radius, bearing, height = place
    pose = tool_above(radius * math.cos(bearing), radius * math.sin(bearing), height)
    solution = ARM.inverse(pose)
    assert solution is not None
    assert (solution >= ROBOT.position_min[:5]).all()
    assert (solution <= ROBOT.position_max[:5]).all()
    assert ARM.forward(solution).pitch == pytest.approx(DOWN)
    np.testing.assert_allclose(ARM.forward(solution).xyz, pose.xyz, atol=1e-9)


@given(st.floats(0.55, 5.0), st.floats(-3.0, 3.0))
def test_a_place_out_of_reach_has_no_solution(radius: float, bearing: float) -> None:
    assert ARM.inverse(ToolPose(bearing, radius, 0.05)) is None
    assert not ARM.reaches(ToolPose(bearing, radius, 0.05))


def test_the_rest_pose_points_down() -> None:
    assert ARM.forward(ROBOT.home).pitch == pytest.approx(DOWN, abs=1e-3)


@given(st.floats(0.0, 0.3), st.floats(-0.25, 0.25), st.floats(0.0, 0.05))
def test_a_point_on_a_plane_is_found_again_from_its_pixel(x: float, y: float, height: float) -> None:
    pixel = point_to_pixel(CAMERA, (x, y, height))
    assert pixel is not None
    found = pixel_to_plane(CAMERA, *pixel, height)
    assert found is not None
    np.testing.assert_allclose(found, (x, y), atol=1e-9)


def test_a_pixel_above_the_horizon_shows_no_point_of_the_table() -> None:
    level = replace(CAMERA, rotation=np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))
    assert pixel_to_plane(level, 160.0, 10.0) is None
    assert pixel_to_plane(level, 160.0, 120.0) is None
    assert pixel_to_plane(level, 160.0, 230.0) is not None


def test_a_point_behind_the_camera_has_no_pixel() -> None:
    assert point_to_pixel(CAMERA, (2.0, 0.0, 2.0)) is None


def test_missing_lengths_are_named() -> None:
    with pytest.raises(ConfigurationError, match="forearm"):
        ArmKinematics.of(replace(ROBOT, geometry={"shoulder_height": 0.1, "upper_arm": 0.1, "tool": 0.1}))
