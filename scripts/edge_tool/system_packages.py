# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What only the system's package manager can bring: the compiler, Python's headers and venv, software rendering."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_tool.interpreters import Interpreter
from edge_tool.terminal import NEEDS_SOMETHING, EdgeError, Step, run_logged, tail
from edge_tool.underlay import Underlay
from edge_tool.workspace import Workspace

# What the workspace needs of a ROS in /opt/ros; all are in ros-base.
ROS_PACKAGES = (
    "ament_cmake",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rosidl_default_generators",
    "sensor_msgs",
    "trajectory_msgs",
    "visualization_msgs",
)


@dataclass(frozen=True)
class Missing:
    """Something that is not there. packages: the Debian or Ubuntu packages that bring it."""

    what: str
    packages: tuple[str, ...]


def missing(interpreter: Interpreter, underlay: Underlay) -> list[Missing]:
    """Return all that is missing for setting up, building and rendering."""
    found = []
    if underlay.prefix is not None:
        lacking = [name for name in ROS_PACKAGES if not (underlay.prefix / "share" / name).is_dir()]
        packages = tuple(f"ros-{underlay.distro}-{name.replace('_', '-')}" for name in lacking)
        found += [Missing(f"ROS packages ({', '.join(lacking)})", packages)] if lacking else []
        if shutil.which("cmake") is None or shutil.which("make") is None:
            found.append(Missing("CMake", ("cmake", "make")))
    if shutil.which("g++") is None and shutil.which("c++") is None:
        found.append(Missing("a C++ compiler", ("g++",)))
    if not interpreter.headers:
        found.append(
            Missing(f"the headers of {interpreter.executable}", (_python_package(interpreter, "dev"),))
        )
    if not interpreter.venv:
        found.append(Missing(f"venv for {interpreter.executable}", (_python_package(interpreter, "venv"),)))
    lacking = [library for library in ("libEGL.so.1", "libGL.so.1") if not loads(library)]
    if lacking or not has_egl_driver():
        found.append(Missing("rendering without a screen (EGL)", ("libegl1", "libgl1", "libgl1-mesa-dri")))
    return found


def loads(library: str) -> bool:
    """Return whether a shared library can be loaded."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_egl_driver() -> bool:
    """Return whether an EGL vendor is registered: Mesa's or a GPU's."""
    folders = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
    return any(list(Path(folder).glob("*.json")) for folder in folders)


def install_line(packages: list[str]) -> str:
    """Return the one line that installs packages."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {' '.join(packages)}"


def ensure(workspace: Workspace, lacking: list[Missing], *, install: bool) -> None:
    """Install what is missing if that is wanted and possible; else say the one line that does. EdgeError, code 2."""
    if not lacking:
        return
    packages = list(dict.fromkeys(package for item in lacking for package in item.packages))
    problem = f"missing on this machine: {', '.join(item.what for item in lacking)}"
    if not install:
        raise EdgeError(problem, install_line(packages), NEEDS_SOMETHING)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EdgeError(
            f"{problem}; --system needs root and apt-get", install_line(packages), NEEDS_SOMETHING
        )
    log = workspace.log_file("apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Step(f"installing {', '.join(packages)}") as step:
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            if run_logged(["apt-get", *arguments], log, environment=environment, on_line=step.progress) != 0:
                raise EdgeError(
                    f"apt-get {arguments[0]} failed:\n{tail(log)}", install_line(packages), NEEDS_SOMETHING
                )


def _python_package(interpreter: Interpreter, kind: str) -> str:
    """Return the package that completes an interpreter; the plain name for the distribution's default Python."""
    default = Path("/usr/bin/python3").resolve().name
    name = "python3" if interpreter.name == default else interpreter.name
    return f"lib{name}-dev" if kind == "dev" else f"{name}-{kind}"


def compiler_version() -> str:
    """Return the first line that the C++ compiler says of itself; empty if there is none."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        return ""
    answer = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[0] if answer.stdout else compiler
