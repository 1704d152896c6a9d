# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge clean`: remove what was built, and with --all what was installed."""

from __future__ import annotations

import argparse
import shutil

from edge_tool import building
from edge_tool.terminal import say
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Remove build/, install/ and log/; --all: .edge/ too."""
    parser = argparse.ArgumentParser(prog="edge clean", description="Remove build/, install/ and log/.")
    parser.add_argument(
        "--all", action="store_true", help="also .edge/: the next start installs everything again"
    )
    options = parser.parse_args(arguments)
    with workspace.lock():
        building.clean(workspace)
        if options.all:
            shutil.rmtree(workspace.state, ignore_errors=True)
    say("removed .edge/, build/, install/ and log/" if options.all else "removed build/, install/ and log/")
    return 0
