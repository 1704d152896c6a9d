# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the installed files of a package of the workspace."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from edge_stack.errors import ConfigurationError


def share_folder(package: str) -> Path:
    """Return share/<package> of an installed package; ConfigurationError if it is not installed or not sourced."""
    try:
        return Path(get_package_share_directory(package))
    except PackageNotFoundError as error:
        raise ConfigurationError(
            f"package {package} is not found; build the workspace and source its setup"
        ) from error
