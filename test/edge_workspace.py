# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A small workspace and a pretended ROS for the tests of `./edge`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from edge_tool.interpreters import Interpreter  # noqa: E402
from edge_tool.underlay import Underlay  # noqa: E402
from edge_tool.workspace import Workspace  # noqa: E402

WHEELS = Underlay("jazzy", None)
PYTHON = Interpreter(Path("/usr/bin/python3.12"), (3, 12, 3), headers=True, venv=True)


def fake_ros(root: Path, distro: str, python: str = "3.12", *, rclpy: bool = True) -> Path:
    prefix = root / distro
    package = prefix / "lib" / f"python{python}" / "site-packages" / "rclpy"
    package.mkdir(parents=True)
    if not rclpy:
        package.rmdir()
    (prefix / "setup.bash").write_text("export ROS_DISTRO=" + distro)
    return prefix


def make_workspace(root: Path) -> Workspace:
    """Make a workspace with one Python and one message package, and requirement files."""
    workspace = Workspace(root)
    for name in ("ros-jazzy", "build", "cmake", "runtime", "sim", "test", "constraints", "ultralytics"):
        write(workspace.requirements / f"{name}.txt", f"# {name}\n")
    write(workspace.requirements / "ultralytics-alone.txt", "")
    for name in ("logic", "messages"):
        write(workspace.src / name / "package.xml", f"<package><name>{name}</name></package>")
    write(workspace.src / "logic" / "setup.py", "entry_points = []")
    write(workspace.src / "logic" / "logic" / "__init__.py", "")
    write(workspace.src / "logic" / "config" / "robot.yaml", "a: 1")
    write(workspace.src / "messages" / "CMakeLists.txt", "")
    write(workspace.src / "messages" / "msg" / "A.msg", "int32 a")
    for name in ("tf2_msgs", "vision_msgs"):
        write(workspace.src / name / name / "package.xml", f"<package><name>{name}</name></package>")
    return workspace


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
