# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge setup`: install what is needed into .edge/venv."""

from __future__ import annotations

import argparse

from edge_tool import installation
from edge_tool.terminal import say
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Set up."""
    parser = argparse.ArgumentParser(prog="edge setup", description="Install what the workspace needs.")
    parser.add_argument(
        "--with",
        dest="extras",
        action="append",
        default=[],
        choices=installation.EXTRAS,
        help="also install: ultralytics and torch (AGPL-3.0, large) for .pt files, export, training; cuda for models on"
        " an NVIDIA GPU; lerobot and torch (large; Python 3.11 to 3.13) for LeRobot's policies and datasets;"
        " triton (small) for models on a Triton Inference Server",
    )
    parser.add_argument("--system", action="store_true", help="as root: also install missing system packages")
    options = parser.parse_args(arguments)
    underlay = installation.ensure(workspace, options.extras, system=options.system)
    say(f"ready: {underlay.title}")
    return 0
