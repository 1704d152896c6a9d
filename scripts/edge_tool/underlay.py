# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS 2 the workspace stands on: one in /opt/ros, one that is sourced already, or the wheels in .edge/venv."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge_tool.terminal import NEEDS_SOMETHING, EdgeError
from edge_tool.workspace import machine

# Newest first.
DISTROS = ("lyrical", "kilted", "jazzy", "humble")
WHEELS_DISTRO = "jazzy"
WHEELS_MACHINES = ("x86_64",)


@dataclass(frozen=True)
class Underlay:
    """
    A ROS 2 install.

    prefix: its folder with setup.bash; None for the wheels. python: the (major, minor) that it was built for; None: any.
    """

    distro: str
    prefix: Path | None
    python: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """Name it for the user."""
        return f"ROS 2 {self.distro.capitalize()} " + (
            f"in {self.prefix}" if self.prefix else "from wheels, in .edge/venv"
        )

    def has(self, package: str) -> bool:
        """Return whether a package need not be built."""
        return self.prefix is not None and (self.prefix / "share" / package).is_dir()


def find_underlay(ros_root: Path = Path("/opt/ros")) -> Underlay:
    """
    Find the underlay: the sourced one, $ROS_DISTRO, the newest known one in /opt/ros, or the wheels.

    EdgeError where there is no ROS and the wheels do not run either.
    """
    distro = os.environ.get("ROS_DISTRO", "")
    in_our_shell = "EDGE_WORKSPACE" in os.environ
    names = [distro] if distro and not in_our_shell and (ros_root / distro).is_dir() else list(DISTROS)
    for name in names:
        found = _read_prefix(ros_root / name, name)
        if found is not None:
            return found
    if distro and not in_our_shell:
        for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(":"):
            # A merged install has its setup.bash beside lib/; one folder a package has it one level up.
            for prefix in (Path(entry), Path(entry).parent):
                found = _read_prefix(prefix, distro, Path(entry)) if entry else None
                if found is not None:
                    return found
    if machine() not in WHEELS_MACHINES:
        raise EdgeError(
            f"there is no ROS 2 in {ros_root}, and its wheels exist for {', '.join(WHEELS_MACHINES)} only, not {machine()}",
            "install ROS 2 Jazzy (Ubuntu 24.04) or Humble (Ubuntu 22.04): sudo apt-get install -y ros-jazzy-ros-base",
            NEEDS_SOMETHING,
        )
    return Underlay(WHEELS_DISTRO, None)


def _read_prefix(prefix: Path, distro: str, package_prefix: Path | None = None) -> Underlay | None:
    """Return the underlay in a prefix if it has setup.bash and rclpy."""
    if not (prefix / "setup.bash").is_file():
        return None
    for folder in ("lib", "local/lib"):
        for rclpy in (package_prefix or prefix).glob(f"{folder}/python3.*/*-packages/rclpy"):
            version = re.search(r"python3\.(\d+)", str(rclpy))
            if version:
                return Underlay(distro, prefix, (3, int(version[1])))
    return None
