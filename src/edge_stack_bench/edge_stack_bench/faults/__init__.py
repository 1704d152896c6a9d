# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Faults on demand: what to break in a running stack, when, and for how long."""

from edge_stack_bench.faults.kinds import KINDS, Kind
from edge_stack_bench.faults.runner import FaultRunner, Stack
from edge_stack_bench.faults.schedule import ScheduledFault, load_scenario, parse_fault

__all__ = ["KINDS", "ScheduledFault", "FaultRunner", "Kind", "Stack", "load_scenario", "parse_fault"]
