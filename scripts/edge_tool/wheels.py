# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Mends what the ROS wheels carry from the machine that built them: include folders in their CMake exports."""

from __future__ import annotations

import re
import subprocess

from edge_tool.terminal import EdgeError
from edge_tool.workspace import Workspace

_PYTHON_INCLUDE = re.compile(rb"/opt/python/cp\d+-cp\d+\w*/include/python3\.\d+\w*")
_NUMPY_INCLUDE = re.compile(
    rb"/opt/python/cp\d+-cp\d+\w*/lib/python3\.\d+\w*/site-packages/numpy/_?core/include"
)
_QUESTION = "import sysconfig, numpy; print(sysconfig.get_paths()['include']); print(numpy.get_include())"


def rewrite_build_machine_paths(workspace: Workspace) -> int:
    """Replace those folders by this interpreter's and return how many files changed. Harmless to repeat."""
    answer = subprocess.run(
        [str(workspace.python), "-I", "-c", _QUESTION],
        capture_output=True,
        text=True,
        check=False,
        env={"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"},
    )
    if answer.returncode != 0:
        raise EdgeError(f"numpy cannot be imported from {workspace.venv}:\n{answer.stderr}")
    python_include, numpy_include = (line.encode() for line in answer.stdout.split("\n")[:2])
    changed = 0
    for path in (workspace.venv / "share").glob("*/cmake/*.cmake"):
        before = path.read_bytes()
        after = _NUMPY_INCLUDE.sub(lambda _: numpy_include, before)
        after = _PYTHON_INCLUDE.sub(lambda _: python_include, after)
        if after != before:
            path.write_bytes(after)
            changed += 1
    return changed
