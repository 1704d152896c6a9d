# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads the imports of Python files, wherever in a file they stand.

An import inside a function, under TYPE_CHECKING or by importlib.import_module("...") counts like one at the top: it
couples the same two modules.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# ament_index_python is not in it: logic asks it for folders, and works without it (edge_stack_core.package_files).
_ROS = {
    "cv_bridge",
    "domain_coordinator",
    "launch",
    "launch_ros",
    "rclpy",
    "ros2cli",
    "rosbag2_py",
    "rosidl_runtime_py",
    "std_srvs",
    "tf2_ros",
}


@dataclass(frozen=True)
class Import:
    """
    One import.

    module: the module that the statement names. name: what `from module import name` takes from it; it may be a module
    too. place: file and line, for messages.
    """

    module: str
    name: str
    place: str

    @property
    def top(self) -> str:
        """The package or library that is imported."""
        return self.module.partition(".")[0]

    @property
    def full(self) -> str:
        """The longest name that may be a module."""
        return f"{self.module}.{self.name}" if self.name else self.module


def is_workspace_package(top: str) -> bool:
    """Return whether a top-level name is a package of this workspace."""
    return top == "edge_stack" or top.startswith("edge_stack_")


def is_ros(top: str) -> bool:
    """Return whether a top-level name is a part of ROS, messages included."""
    return top in _ROS or top.endswith(("_msgs", "_interfaces"))


def is_third_party(top: str) -> bool:
    """Return whether a top-level name is neither Python's own nor of this workspace nor of ROS."""
    return top not in sys.stdlib_module_names and not is_workspace_package(top) and not is_ros(top)


def modules_of(folder: Path) -> dict[str, Path]:
    """Return the modules of the package that is in a folder of its own name, by their dotted names."""
    modules = {}
    for file in sorted((folder / folder.name).rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def imports_of(file: Path, folder: Path) -> Iterator[Import]:
    """Find the imports of one file; folder: whose relative paths name modules and places."""
    path = file.relative_to(folder)
    package = path.parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", place)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, place)
        elif isinstance(node, ast.Call):
            name = _dynamic(node)
            if name:
                yield Import(name, "", place)


def _dynamic(call: ast.Call) -> str:
    """Return the module that import_module("...") or __import__("...") names; empty for other calls."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
        return str(first.value) if isinstance(first.value, str) else ""
    return ""
