# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the installed files of a package of the workspace, or its source's, so that logic runs where no ROS is."""

from __future__ import annotations

from pathlib import Path

from edge_stack_core.errors import ConfigurationError

_SOURCES = Path(__file__).resolve().parents[2]


def share_folder(package: str) -> Path:
    """
    Return share/<package> of an installed package, or the folder that it is installed from, beside this package's own.

    ConfigurationError if it is neither installed (or not sourced) nor there as source.
    """
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory(package))
    except (ImportError, LookupError, OSError):  # no ROS, not in it, or none sourced
        source = _SOURCES / package
    if (source / "package.xml").is_file():
        return source
    raise ConfigurationError(f"package {package} is not found; build the workspace and source its setup")
