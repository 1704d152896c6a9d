# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge run`: the stack of a robot.yaml in the foreground; the arguments are the runner's own."""

from __future__ import annotations

from edge_tool import execution
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the process runner."""
    return execution.become_module(workspace, "edge_stack.runner", arguments, handles_ctrl_c=True)
