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

# Python itself would answer Ctrl-C during the imports with a traceback.
_QUIET_START = (
    "import os, runpy, signal\n"
    "if signal.getsignal(signal.SIGINT) is signal.default_int_handler:\n"
    "    signal.signal(signal.SIGINT, lambda *_: os._exit(130))\n"
    "runpy.run_module('{module}', run_name='__main__', alter_sys=True)"
)


def ready(workspace: Workspace) -> tuple[Underlay, dict[str, str]]:
    """Set up, build, and return the underlay and the environment to run in."""
    underlay = installation.ensure(workspace)
    building.ensure(workspace, underlay)
    return underlay, environment.run_environment(workspace, underlay)


def become_module(
    workspace: Workspace, module: str, arguments: Sequence[str], *, handles_ctrl_c: bool = False
) -> int:
    """
    Replace this process by a Python module of the workspace.

    handles_ctrl_c: the module says itself what Ctrl-C does; until its imports are done, Ctrl-C just ends it.
    """
    _, variables = ready(workspace)
    sys.stdout.flush()
    sys.stderr.flush()
    start = ["-c", _QUIET_START.format(module=module)] if handles_ctrl_c else ["-m", module]
    os.execve(workspace.python, [str(workspace.python), *start, *arguments], variables)
    return 0
