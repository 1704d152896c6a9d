# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the installed files of a package of the workspace, or its source's, so that logic runs where no ROS is."""

from __future__ import annotations

from pathlib import Path

from edge_stack_core.errors import ConfigurationError

_SOURCES = Path(__file__).resolve().parents[2]


def find_yaml(what: str, name: str, *folders: Path) -> Path:
    """
    Return a file of a kind: a .yaml file itself, or NAME.yaml in the first of the folders that has it.

    what: the kind, in words. ConfigurationError names the known ones if there is none.
    """
    for candidate in (Path(name), *(folder / f"{name}.yaml" for folder in folders)):
        if candidate.suffix in (".yaml", ".yml") and candidate.is_file():
            return candidate.resolve()
    known = ", ".join(sorted({p.stem for folder in folders for p in folder.glob("*.yaml")})) or "none"
    raise ConfigurationError(
        f"there is no {what} '{name}'; known are {known}, or give the path of a .yaml file"
    )


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
