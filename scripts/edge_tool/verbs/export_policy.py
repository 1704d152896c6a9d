# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge export-policy CHECKPOINT [--out DIR]`: a LeRobot SmolVLA as ONNX graphs, checked against it."""

from __future__ import annotations

from edge_tool import execution
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the export."""
    return execution.become_module(workspace, "edge_stack_policy.smolvla.export", arguments)
