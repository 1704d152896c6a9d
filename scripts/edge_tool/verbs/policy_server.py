# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge policy-server`: serves a policy to robots elsewhere; the arguments are the server's own."""

from __future__ import annotations

from edge_tool import execution
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the server."""
    return execution.become_module(
        workspace, "edge_stack_policy.remote.server", arguments, handles_ctrl_c=True
    )
