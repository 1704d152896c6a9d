# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge build`: build what changed."""

from __future__ import annotations

import argparse

from edge_tool import building, installation
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Set up and build."""
    parser = argparse.ArgumentParser(prog="edge build", description="Build the packages that changed.")
    parser.add_argument("--clean", action="store_true", help="build everything afresh")
    options = parser.parse_args(arguments)
    underlay = installation.ensure(workspace)
    if options.clean:
        building.clean(workspace)
    building.ensure(workspace, underlay)
    return 0
