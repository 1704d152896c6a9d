# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a node's modules are imported: in processes of their own, with SIGINT held back as launch does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_stack_core.process_environment import LAUNCH_VARIABLE

SOURCES = Path(__file__).resolve().parents[2]
NODES = sorted(
    path.parent.parent.name for path in SOURCES.glob("*/*/ros/__init__.py") if "early_end" in path.read_text()
)
# What a node's process does first, a signal that came before, and an import that takes long.
CODE = """
import importlib, os, signal, sys
os.kill(os.getpid(), signal.SIGINT)
importlib.import_module(sys.argv[1])
print("imported")
"""


def run(package: str, *, launched: bool, held: bool) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != LAUNCH_VARIABLE}
    if launched:
        environment[LAUNCH_VARIABLE] = "1-x"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if held else set())
    try:
        return subprocess.run(
            [sys.executable, "-c", CODE, package],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            check=False,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_every_package_of_robot_yaml_has_it() -> None:
    assert {
        "edge_stack_control",
        "edge_stack_perception",
        "edge_stack_policy",
        "edge_stack_supervisor",
    } <= set(NODES)


@pytest.mark.parametrize("package", NODES)
def test_a_ctrl_c_before_a_node_is_imported_ends_it_at_once_and_quietly(package: str) -> None:
    done = run(f"{package}.ros", launched=True, held=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_somebody_else_s_process_keeps_its_signals() -> None:
    held = run("edge_stack_core.early_end", launched=False, held=True)
    assert (held.returncode, held.stdout) == (0, "imported\n")
    free = run("edge_stack_core.early_end", launched=True, held=False)
    assert "KeyboardInterrupt" in free.stderr
