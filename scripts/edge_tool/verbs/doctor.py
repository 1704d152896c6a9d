# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge doctor`: what is there, what is missing, and what to do about it. It installs and changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from edge_stack.doctor import machine, rights
from edge_stack.doctor.findings import Finding
from edge_stack.doctor.report import report
from edge_tool import execution
from edge_tool.checks import software
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Print the table; 0 unless the demo cannot run."""
    parser = argparse.ArgumentParser(prog="edge doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--board",
        action="store_true",
        help="watch the board and write a file about it to send (--board --help says more)",
    )
    if "--board" in arguments:  # it reads with the stack's own readers: the executable of the package does it
        return execution.become_module(workspace, "edge_stack.doctor.__main__", arguments)
    options = parser.parse_args(arguments)
    findings = list(_findings(workspace))
    return report(findings, as_json=options.json, what="The demo", command="./edge demo")


def _findings(workspace: Workspace) -> Iterator[Finding]:
    yield from machine.board()
    yield from software.ros_and_python(workspace)
    yield from software.in_the_venv(workspace)
    yield from software.weights(workspace)
    yield from machine.gpu()
    yield from machine.cameras()
    yield from rights.scheduling()
    yield from rights.shared_memory()
    yield from rights.discovery()
