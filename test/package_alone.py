# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Imports every module of one package and makes its nodes, in a process that finds only what the package depends on.

Called by test_packages_alone.py: `python package_alone.py PACKAGE`. Prints JSON: the packages of the workspace that were
looked for and are not there, the modules that could not be imported and why, and the nodes that were made.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Unfound:
    """The last finder: only what no other finder found gets here, so it notes what is missing."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in sys.modules and name.startswith("edge_stack"):
            self.names.append(name)
        return None


def main(package: str) -> int:
    unfound = Unfound()
    sys.meta_path.append(unfound)
    failed, modules = import_all(package)
    made = make_nodes([module for module in modules if ".ros." in module.__name__])
    print(json.dumps({"unfound": sorted(set(unfound.names)), "failed": failed, "made": made}))
    return 0


def import_all(package: str) -> tuple[dict[str, str], list[ModuleType]]:
    """Import every module; return what failed, with the module that was missing, and the modules."""
    failed, modules = {}, []
    top = importlib.import_module(package)
    for info in pkgutil.walk_packages(top.__path__, f"{package}."):
        try:
            modules.append(importlib.import_module(info.name))
        except ImportError as error:
            failed[info.name] = error.name or str(error)
        except BaseException as error:
            if type(error).__name__ != "Skipped":  # pytest.importorskip in a module of test helpers
                raise
            failed[info.name] = str(error)
    return failed, modules


def make_nodes(modules: list[ModuleType]) -> dict[str, str]:
    """Make each node of these modules, configure it, and return the state that it has then."""
    made: dict[str, str] = {}
    if not modules:
        return made
    import rclpy

    from edge_stack_core.ros.base import StackNode

    for module in modules:
        for kind in vars(module).values():
            own = (
                isinstance(kind, type) and kind.__module__ == module.__name__ and issubclass(kind, StackNode)
            )
            if not own or not hasattr(module, "main"):
                continue
            rclpy.init()
            node = kind()
            try:
                node.trigger_configure()  # without parameters most refuse, with a reason
                made[f"{module.__name__}.{kind.__name__}"] = node.state_label
            finally:
                node.close()
                node.destroy_node()
                rclpy.shutdown()
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
