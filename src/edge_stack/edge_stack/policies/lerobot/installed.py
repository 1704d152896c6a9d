# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the installed lerobot, and is the one place that knows how its versions differ."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from edge_stack.errors import ConfigurationError

OLDEST = (0, 4)
# What a kind of policy needs beside lerobot itself: package to import, and the package's name.
NEEDS = {
    "smolvla": ("transformers", "transformers"),
    "diffusion": ("diffusers", "diffusers"),
    "dataset": ("datasets", "datasets"),
}


def lerobot_version() -> tuple[int, ...] | None:
    """Return the installed version, or None if there is none. Imports nothing."""
    try:
        return tuple(int(part) for part in version("lerobot").split(".")[:2])
    except PackageNotFoundError:
        return None


def require_lerobot(kind: str = "") -> None:
    """Raise ConfigurationError with the remedy if lerobot, or what a kind of policy needs beside it, is not installed."""
    have = lerobot_version()
    if have is None:
        raise ConfigurationError("LeRobot is not installed; install it by ./edge setup --with lerobot")
    if have < OLDEST:
        raise ConfigurationError(
            f"LeRobot {version('lerobot')} is too old; {OLDEST[0]}.{OLDEST[1]} or later is needed:"
            " ./edge setup --with lerobot"
        )
    module, package = NEEDS.get(kind, ("", ""))
    if module and find_spec(module) is None:
        raise ConfigurationError(
            f"LeRobot's {kind} needs {package}; install it by ./edge setup --with lerobot"
        )
