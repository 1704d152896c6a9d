# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The environment in which things of the workspace run: underlay, venv and install sourced, and what every process gets.

Sourcing setup scripts takes most of a second, so what they change is worked out once after a build and remembered.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from edge_tool.terminal import EdgeError
from edge_tool.underlay import Underlay
from edge_tool.workspace import Workspace

STAMP = "environment"
_LISTS = {
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PKG_CONFIG_PATH",
    "PYTHONPATH",
}
_BASE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}
_NOISE = {"_", "SHLVL", "PWD", "OLDPWD", "HOME"}


def underlay_environment(workspace: Workspace, underlay: Underlay) -> dict[str, str]:
    """Return the environment to build in: the user's own, with the underlay and the venv before it."""
    return _applied(dict(os.environ), _changes(workspace, underlay, install=False), workspace)


def remember(workspace: Workspace, underlay: Underlay) -> None:
    """Work out what sourcing everything changes, and remember it."""
    workspace.write_stamp(STAMP, _changes(workspace, underlay, install=True))


def run_environment(workspace: Workspace, underlay: Underlay) -> dict[str, str]:
    """Return the environment to run in: the user's own, everything sourced, and what every process of the stack gets."""
    changes = workspace.read_stamp(STAMP)
    if not changes:
        remember(workspace, underlay)
        changes = workspace.read_stamp(STAMP)
    environment = _applied(dict(os.environ), changes, workspace)
    environment["EDGE_WORKSPACE"] = str(workspace.root)
    # One source for the transport, the allocator and the thread counts: the package that starts the processes.
    from edge_stack_core.process_environment import process_environment

    return process_environment(environment)


def _changes(workspace: Workspace, underlay: Underlay, *, install: bool) -> dict[str, str]:
    """Return what sourcing sets: for lists of paths what comes before the present value, else the new value."""
    before = dict(_BASE)
    script = ""
    if underlay.prefix is None:
        before.update(_wheels_variables(workspace))
    else:
        script += f'. "{underlay.prefix}/setup.bash"\n'
    if install and (workspace.install / "local_setup.bash").exists():
        script += f'. "{workspace.install}/local_setup.bash"\n'
    answer = subprocess.run(
        ["/bin/bash", "--norc", "-c", f"{script}env -0"],
        capture_output=True,
        text=True,
        check=False,
        env=before,
    )
    if answer.returncode != 0:
        raise EdgeError(f"the workspace's setup cannot be sourced:\n{answer.stderr}")
    after = dict(entry.split("=", 1) for entry in answer.stdout.split("\0") if "=" in entry)
    changes = {}
    for name, value in after.items():
        if name in _LISTS:
            base = _BASE.get(name, "")
            changes[name] = value[: -len(base)].rstrip(":") if base and value.endswith(base) else value
        elif name not in _NOISE:
            changes[name] = value
    return changes


def _applied(environment: dict[str, str], changes: dict[str, str], workspace: Workspace) -> dict[str, str]:
    """Return an environment with the changes; applied twice, paths do not pile up."""
    for name, value in changes.items():
        if name in _LISTS:
            new = [path for path in value.split(":") if path]
            old = [path for path in environment.get(name, "").split(":") if path and path not in new]
            environment[name] = ":".join([*new, *old])
        else:
            environment[name] = value
    environment.pop("PYTHONHOME", None)
    bin_folder = str(workspace.venv / "bin")
    rest = [path for path in environment["PATH"].split(":") if path != bin_folder]
    environment.update(PATH=":".join([bin_folder, *rest]), VIRTUAL_ENV=str(workspace.venv))
    return environment


def _wheels_variables(workspace: Workspace) -> dict[str, str]:
    """Return what a setup.bash would set, which the wheels do not have."""
    prefix = str(workspace.venv)
    return {
        "AMENT_PREFIX_PATH": prefix,
        "CMAKE_PREFIX_PATH": prefix,
        "LD_LIBRARY_PATH": ":".join([f"{prefix}/lib", *map(str, _library_folders(workspace))]),
        "PATH": f"{prefix}/bin:{_BASE['PATH']}",
        "ROS_DISTRO": "jazzy",
        "ROS_VERSION": "2",
        "ROS_PYTHON_VERSION": "3",
        # Each Python would start itself a second time only to set LD_LIBRARY_PATH.
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }


def _library_folders(workspace: Workspace) -> list[Path]:
    return sorted(workspace.venv.glob("lib/python3*/site-packages/ros_*.libs"))
