# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy is made from, by options as a user gives them: the policy node's parameters, a server's command line.

Its unit is one PolicySettings. Files are read here; nothing is loaded or connected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_stack_core.device import parse_device
from edge_stack_core.robot import Robot, load_robot
from edge_stack_policy.contract import PolicyContract, load_contract
from edge_stack_policy.remote.settings import RemoteSettings


@dataclass(frozen=True)
class PolicySettings:
    """What every policy is made from.

    robot: joints, limits, cameras and geometry. camera: the camera whose pixels the detections are in. step_s: time
    between two actions. horizon: actions in a chunk. path: weights, for policies that have some. contract: what its
    features are on this robot; None: the robot's joints in rad and its cameras by name. device: what it runs on, cpu or
    cuda:N (edge_stack_core.device); empty: the CPU, and for a torch policy a GPU if there is one. threads: of one inference
    on the CPU. address, off_board: for policies that a server computes.
    """

    robot: Robot
    camera: str = ""
    step_s: float = 1.0 / 24.0
    horizon: int = 24
    path: str = ""
    address: str = ""
    contract: PolicyContract | None = None
    device: str = ""
    threads: int = 1
    remote: RemoteSettings = field(default_factory=RemoteSettings)


NO_CONTRACT = "none"
"""In place of a contract: the policy's features are the robot's joints in rad and its cameras by name."""


def policy_settings(robot_file: str, contract: str, rate_hz: float, **options: Any) -> PolicySettings:
    """
    Return what a policy is made from.

    contract: a file, or a shipped one's name; NO_CONTRACT: the robot's joints in rad and its cameras by name.
    rate_hz: of actions, where there is no contract that says it. options: further fields of PolicySettings.
    ConfigurationError names what is wrong.
    """
    robot = load_robot(robot_file)
    features = load_contract(contract, robot) if contract != NO_CONTRACT else None
    if options.get("device"):
        options["device"] = parse_device(options["device"])
    step_s = 1.0 / (features.rate_hz if features else rate_hz)
    return PolicySettings(robot, step_s=step_s, contract=features, **options)
