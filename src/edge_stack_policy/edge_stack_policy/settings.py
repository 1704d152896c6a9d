# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy is made from, by options as a user gives them: the vla node's parameters, a server's command line.

Its unit is one PolicySettings. Files are read here; nothing is loaded or connected.
"""

from __future__ import annotations

from typing import Any

from edge_stack_core.robot import load_robot
from edge_stack_policy.base import PolicySettings
from edge_stack_policy.contract import load_contract

NO_CONTRACT = "none"
"""In place of a contract: the policy's features are the robot's joints in rad and its cameras by name."""


def policy_settings(robot_file: str, contract: str, rate_hz: float, **options: Any) -> PolicySettings:
    """
    Return what a policy is made from.

    contract: a file, or a shipped one's name; NO_CONTRACT: the robot's joints in rad and its cameras by name. rate_hz: of actions, where
    there is no contract that says it. options: further fields of PolicySettings. ConfigurationError names what is wrong.
    """
    robot = load_robot(robot_file)
    features = load_contract(contract, robot) if contract != NO_CONTRACT else None
    step_s = 1.0 / (features.rate_hz if features else rate_hz)
    return PolicySettings(robot, step_s=step_s, contract=features, **options)
