# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies: from observations to action chunks. Plain Python over numpy, no ROS."""

from edge_stack_policy.base import Policy
from edge_stack_policy.registry import make_policy, policy_names
from edge_stack_policy.settings import PolicySettings

__all__ = ["Policy", "PolicySettings", "make_policy", "policy_names"]
