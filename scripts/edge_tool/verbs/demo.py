# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge demo`: the stack on the simulated robot; the arguments are the demo's own."""

from __future__ import annotations

from edge_tool import execution
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the demo."""
    return execution.become_module(workspace, "edge_stack_bench.ros.demo", arguments, handles_ctrl_c=True)
