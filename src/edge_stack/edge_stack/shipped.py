# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the shipped configuration is, for the launch files, the process runner, the demo and the benchmarks.

Only the bring-up package knows it: every node is told its files by parameters.
"""

from __future__ import annotations

from pathlib import Path

from edge_stack_core.package_files import share_folder


def shipped_config() -> Path:
    """Return the shipped robot.yaml; ConfigurationError if the package is not found."""
    return share_folder("edge_stack") / "config" / "robot.yaml"
