# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Each package runs with its own dependencies and no other package of the workspace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack_core.walls import read_manifest
from edge_stack_core.walls.imports import is_workspace_package

SRC = Path(__file__).resolve().parents[1] / "src"
PACKAGES = sorted(path.parent.name for path in SRC.glob("*/setup.py"))
# How many nodes a package has.
NODES = {
    "edge_stack_control": 1,
    "edge_stack_perception": 2,
    "edge_stack_policy": 1,
    "edge_stack_sim": 3,
    "edge_stack_supervisor": 1,
}
_PATHS = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


def needed_by(package: str) -> set[str]:
    """Return the packages of the workspace that a package needs, those of the needed ones too, and itself."""
    needed, ahead = {package}, [package]
    while ahead:
        folder = SRC / ahead.pop()
        if not (folder / "setup.py").exists():
            continue  # messages
        new = {name for name in read_manifest(folder).runtime if is_workspace_package(name)} - needed
        needed |= new
        ahead += new
    return needed


def environment_of(package: str) -> dict[str, str]:
    """Return this environment without the folders of the packages that are not needed."""
    needed = needed_by(package)
    environment = dict(os.environ)
    for name in _PATHS:
        paths = [path for path in environment.get(name, "").split(os.pathsep) if path]
        environment[name] = os.pathsep.join(path for path in paths if not _of_others(path, needed))
    return environment


def _of_others(path: str, needed: set[str]) -> bool:
    found = re.search(r"/(?:build|install|src)/(edge_stack\w*)(?:/|$)", path)
    return found is not None and found[1] not in needed


def run_alone(package: str, environment: dict[str, str]) -> dict[str, Any]:
    program = Path(__file__).with_name("package_alone.py")
    answer = subprocess.run(
        [sys.executable, str(program), package],
        capture_output=True,
        text=True,
        timeout=240.0,
        check=False,
        env=environment,
        cwd="/",
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    told: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_runs_with_its_dependencies_alone(package: str, domain: int) -> None:
    told = run_alone(package, environment_of(package))
    needed = [SRC / name for name in needed_by(package) if (SRC / name / "setup.py").exists()]
    optional = {name for folder in needed for name in read_manifest(folder).optional_packages}
    missed = {name for name in told["unfound"] if name.partition(".")[0] not in optional}
    assert missed == set()
    missing = {why.partition(".")[0] for why in told["failed"].values()}
    assert {name for name in missing if is_workspace_package(name)} <= optional
    assert len(told["made"]) == NODES.get(package, 0), told


def test_a_package_that_is_not_needed_is_not_found(domain: int) -> None:
    """Without this the test above would pass whatever a package imports."""
    environment = environment_of("edge_stack_core")
    code = "import edge_stack_core, edge_stack_msgs.msg; import edge_stack_inference"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd="/"
    )
    assert answer.returncode == 1
    assert "No module named 'edge_stack_inference'" in answer.stderr
