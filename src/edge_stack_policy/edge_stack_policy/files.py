# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where a policy's files are: from the name in a parameter to a path.

Its unit of work is one name. It looks whether something is there and never into it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edge_stack_core.errors import ConfigurationError

DEMO = "demo"
"""The name that stands for the demo's own policy."""
_DEMO_PACKAGE = "edge_stack_sim"
_PACKAGE_SCHEME = "package://"


def find_policy(name: str) -> Path:
    """
    Return the path that a name stands for.

    name: "demo"; ``package://<package>/<path below its share folder>``; or a path, ``~`` allowed. ConfigurationError where
    the name is empty, the package is not installed, or nothing is there of it.
    """
    if not name:
        raise ConfigurationError(f"policy_path: is empty; name a policy's folder, or {DEMO}")
    if name == DEMO:
        spec = importlib.util.find_spec(_DEMO_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigurationError(
                f"the demo's policy is in the package {_DEMO_PACKAGE}, which is not installed; build it, or name another"
            )
        path = Path(next(iter(spec.submodule_search_locations))) / "policy"
    elif name.startswith(_PACKAGE_SCHEME):
        from edge_stack_core.package_files import share_folder

        package, _, rest = name[len(_PACKAGE_SCHEME) :].partition("/")
        path = share_folder(package) / rest
    else:
        return Path(name).expanduser()  # who reads it says best what is wrong with it
    if not path.exists():
        raise ConfigurationError(f"policy_path: {path}: no such file or folder")
    return path
