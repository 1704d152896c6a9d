# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge bench NAME`: a benchmark; without a name, their list. The arguments after the name are the benchmark's own."""

from __future__ import annotations

from edge_tool import execution
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the benchmark, or list them."""
    return execution.become_module(workspace, "edge_stack_bench.command", arguments)
