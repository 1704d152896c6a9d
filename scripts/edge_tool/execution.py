# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Becomes a program of the workspace: set up, built, with the environment it needs. Signals then reach it directly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from edge_tool import building, environment, installation
from edge_tool.underlay import Underlay
from edge_tool.workspace import Workspace


def ready(workspace: Workspace) -> tuple[Underlay, dict[str, str]]:
    """Set up, build, and return the underlay and the environment to run in."""
    underlay = installation.ensure(workspace)
    building.ensure(workspace, underlay)
    return underlay, environment.run_environment(workspace, underlay)


def become_module(workspace: Workspace, module: str, arguments: Sequence[str]) -> int:
    """Replace this process by a Python module of the workspace."""
    _, variables = ready(workspace)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(workspace.python, [str(workspace.python), "-m", module, *arguments], variables)
    return 0
