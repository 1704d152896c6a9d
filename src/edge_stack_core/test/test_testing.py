# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of every package share, tried on a made-up pair of packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = (
    "from edge_stack_core.testing import pytest_configure, pytest_runtest_protocol, pytest_sessionfinish\n"
)
TEST = """
import pytest

@pytest.mark.exclusive
def test_alone() -> None:
    pass

def test_together() -> None:
    pass
"""


def test_exclusive_tests_of_several_packages_in_a_parallel_run_wait_for_others_and_not_for_themselves(
    tmp_path: Path,
) -> None:
    pytest.importorskip("xdist")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (tmp_path / name / f"test_{name}.py").write_text(TEST, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
    ]
    environment = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
