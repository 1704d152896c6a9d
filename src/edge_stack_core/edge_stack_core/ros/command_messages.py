# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads joint targets out of the command messages that the stack can send.

Its unit of work is one message. It knows nothing of limits; what it cannot read it refuses with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

FORMATS = {
    "joint_state": JointState,
    "joint_trajectory": JointTrajectory,
    "float64_multi_array": Float64MultiArray,
}


def read_command(message: Any, joints: Sequence[str], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint targets [A] of a command; joints that it does not name keep their last target. ValueError says what is wrong.

    A trajectory's last point is taken: its controller would reach it too.
    """
    if isinstance(message, Float64MultiArray):
        names, values = list(joints), message.data
    elif isinstance(message, JointTrajectory):
        if not message.points:
            raise ValueError("the trajectory has no points")
        names, values = message.joint_names, message.points[-1].positions
    else:
        names, values = message.name, message.position
    targets = np.asarray(values, dtype=np.float64)
    if len(names) != len(targets):
        raise ValueError(f"{len(names)} joints but {len(targets)} positions")
    if not np.isfinite(targets).all():
        raise ValueError("a position is not finite")
    command = last.copy()
    for name, target in zip(names, targets, strict=True):
        if name not in joints:
            raise ValueError(f"unknown joint '{name}'; known are: {', '.join(joints)}")
        command[joints.index(name)] = target
    return command
