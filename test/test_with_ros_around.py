# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The workspace beside what a ROS installation brings: pytest plugins that need an older pytest, and colcon by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A hook with an argument that pytest does not know any more, as launch_testing 3.4.3 has one.
PLUGIN = "def pytest_pycollect_makemodule(path, parent):\n    return None\n"


@pytest.mark.parametrize("name", ["launch_testing", "launch_ros", "launch_pytest"])
def test_tests_start_beside_the_plugins_of_ros(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}_hooks.py").write_text(PLUGIN)
    package = tmp_path / f"{name}_of_ros-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-of-ros\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[pytest11]\n{name} = {name}_hooks\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", str(ROOT / "test" / "test_docs.py")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120.0,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_plain_colcon_finds_the_packages_and_runs_nothing_else() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "colcon", "list", "--names-only"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120.0,
    )
    assert "ERROR" not in run.stderr
    assert set(run.stdout.split()) >= {"edge_stack", "edge_stack_msgs", "edge_stack_ultralytics"}
