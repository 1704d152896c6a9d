# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Motion of the tool: limits, arrival, and travelling above the table."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.visual_servo.kinematics import ArmKinematics, tool_above
from edge_stack_policy.visual_servo.motion import (
    COLUMN,
    SAFE_HEIGHT,
    Goal,
    Motion,
    MotionLimits,
    sideways_distance,
    step,
)

ROBOT = load_robot(find_robot("so101_sim"))
ARM = ArmKinematics.of(ROBOT)
LIMITS = MotionLimits(ROBOT.position_min, ROBOT.position_max, ROBOT.velocity_max)
STEP_S = 1.0 / 24.0

places = st.tuples(st.floats(0.16, 0.27), st.floats(-0.9, 0.9), st.floats(0.01, 0.09), st.floats(-1.0, 1.0))


def at(place: tuple[float, ...], gripper: float = 0.5) -> Goal:
    radius, bearing, height, roll = place
    return Goal(tool_above(radius * math.cos(bearing), radius * math.sin(bearing), height, roll), gripper)


def starting(place: tuple[float, ...]) -> Motion:
    solution = ARM.inverse(at(place).pose)
    assert solution is not None
    return Motion.at_rest(np.append(solution, 0.5), ARM)


@settings(deadline=None)
@given(places, places, st.floats(0.0, 1.0))
def test_a_motion_arrives_within_a_few_seconds(start: tuple, end: tuple, gripper: float) -> None:
    motion, goal = starting(start), at(end, gripper)
    for _ in range(120):
        step(motion, goal, STEP_S, ARM, LIMITS)
    reached = ARM.forward(motion.joints)
    assert np.linalg.norm(reached.xyz - goal.pose.xyz) < 1e-3
    assert abs(reached.roll - goal.pose.roll) < 1e-2
    assert abs(motion.joints[5] - gripper) < 1e-2


@settings(deadline=None)
@given(places, places, places)
def test_joint_limits_hold_even_when_the_goal_changes_on_the_way(
    start: tuple, first: tuple, second: tuple
) -> None:
    motion = starting(start)
    before = motion.joints.copy()
    for index in range(60):
        step(motion, at(first if index < 10 else second), STEP_S, ARM, LIMITS)
        assert (np.abs(motion.joints - before) <= ROBOT.velocity_max * STEP_S + 1e-9).all()
        assert (motion.joints >= ROBOT.position_min).all()
        assert (motion.joints <= ROBOT.position_max).all()
        before = motion.joints.copy()


@settings(deadline=None)
@given(places, places)
def test_the_tool_travels_sideways_only_above_the_objects(start: tuple, end: tuple) -> None:
    motion, goal = starting(start), at(end)
    for _ in range(120):
        before = motion.pose
        step(motion, goal, STEP_S, ARM, LIMITS)
        low = before.height < SAFE_HEIGHT and motion.pose.height < SAFE_HEIGHT
        if low and sideways_distance(before, goal.pose) > COLUMN:
            assert sideways_distance(before, motion.pose) < 1e-3


@settings(deadline=None)
@given(places, places)
def test_a_motion_does_not_shoot_past_its_goal(start: tuple, end: tuple) -> None:
    motion, goal = starting(start), at(end)
    for _ in range(120):
        step(motion, goal, STEP_S, ARM, LIMITS)
        low, high = sorted((start[1], end[1]))
        assert low - 1e-6 <= motion.pose.bearing <= high + 1e-6


def test_out_of_reach_the_arm_stays_and_the_gripper_moves() -> None:
    motion = starting((0.25, 0.0, 0.08, 0.0))
    for _ in range(100):
        step(motion, Goal(tool_above(0.6, 0.0, 0.08), 0.9), STEP_S, ARM, LIMITS)
    assert ARM.forward(motion.joints).radius < 0.35
    assert motion.joints[5] > 0.85
