# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The governor: from the board's state, missed deadlines and admission delays to a rate for every model node.

Background nodes give way first, then essential ones down to their floor, critical ones never; docs/governor.md says
how.
"""

from edge_stack_supervisor.governor.governor import CONTROLLERS, StackGovernor, open_governor
from edge_stack_supervisor.governor.interface import Allocation, Governor, NodeDemand, RateController, Target
from edge_stack_supervisor.governor.settings import GovernorSettings, load_settings

__all__ = [
    "Allocation",
    "CONTROLLERS",
    "RateController",
    "Governor",
    "GovernorSettings",
    "NodeDemand",
    "StackGovernor",
    "Target",
    "load_settings",
    "open_governor",
]
