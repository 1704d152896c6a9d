# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Modes: named sets of nodes, classes and rates, the rules that switch between them, and how a switch goes; logic without ROS.

ModeMachine decides what goes out when; RuleBook decides when to ask it; Needs decides what fits.
"""

from edge_stack_supervisor.modes.adopt import candidates, found_mode
from edge_stack_supervisor.modes.config import load_modes
from edge_stack_supervisor.modes.machine import ModeMachine, Seen, SwitchOutcome
from edge_stack_supervisor.modes.needs import Needs
from edge_stack_supervisor.modes.plan import Wave, plan
from edge_stack_supervisor.modes.rules import RuleBook
from edge_stack_supervisor.modes.types import (
    Battery,
    CallTrigger,
    Detection,
    Instruction,
    Mode,
    ModeFigures,
    ModeRule,
    ModesConfig,
    NodeTarget,
    PublishText,
    SetParameters,
    TimeOut,
)

__all__ = [
    "Battery",
    "CallTrigger",
    "Detection",
    "ModeFigures",
    "Instruction",
    "Mode",
    "ModeMachine",
    "ModesConfig",
    "Needs",
    "NodeTarget",
    "SwitchOutcome",
    "PublishText",
    "ModeRule",
    "RuleBook",
    "Seen",
    "SetParameters",
    "TimeOut",
    "Wave",
    "candidates",
    "found_mode",
    "load_modes",
    "plan",
]
