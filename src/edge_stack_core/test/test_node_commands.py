# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Joint targets out of command messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from edge_stack_core.ros.command_messages import read_command

JOINTS = ("a", "b")
LAST = np.array((1.0, 2.0))


@pytest.mark.parametrize(
    ("message", "targets"),
    [
        (JointState(name=["b", "a"], position=[0.2, 0.1]), (0.1, 0.2)),
        (JointState(name=["b"], position=[0.2]), (1.0, 0.2)),
        (Float64MultiArray(data=[0.1, 0.2]), (0.1, 0.2)),
        (
            JointTrajectory(
                joint_names=["a", "b"],
                points=[
                    JointTrajectoryPoint(positions=[9.0, 9.0]),
                    JointTrajectoryPoint(positions=[0.1, 0.2]),
                ],
            ),
            (0.1, 0.2),
        ),
    ],
    ids=["joint state in another order", "one joint", "array", "trajectory"],
)
def test_targets_are_read(message: object, targets: tuple[float, ...]) -> None:
    np.testing.assert_array_equal(read_command(message, JOINTS, LAST), targets)
    np.testing.assert_array_equal(LAST, (1.0, 2.0))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (JointState(name=["c"], position=[0.2]), "unknown joint 'c'"),
        (JointState(name=["a", "b"], position=[0.2]), "2 joints but 1 positions"),
        (JointState(name=["a"], position=[math.nan]), "not finite"),
        (Float64MultiArray(data=[0.1]), "2 joints but 1 positions"),
        (JointTrajectory(joint_names=["a"]), "no points"),
    ],
)
def test_a_command_that_cannot_be_read_says_why(message: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_command(message, JOINTS, LAST)
