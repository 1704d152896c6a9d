# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run edge_stack doctor`: what this robot has, what it lacks, and what to do about it. It changes nothing."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_stack.doctor import machine, rights, software
from edge_stack.doctor.findings import Finding, Level
from edge_stack.doctor.report import report

_ENGINES_REMEDY = "pip install onnxruntime"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 unless the stack cannot run."""
    parser = argparse.ArgumentParser(prog="doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--board", action="store_true", help="watch the board and write a file about it to send"
    )
    parser.add_argument("--root", default="/", help="with --board: folder of its files, or: simulated")
    parser.add_argument("--seconds", type=float, default=40.0, help="with --board: how long (default: 40)")
    parser.add_argument("--output", default="board.json", help="with --board: the file (default: board.json)")
    options = parser.parse_args(argv)
    if options.board:
        # Only here: without it the standard library is enough, so that it says what is missing.
        from edge_stack.doctor import board_check

        return board_check.main(options.root, options.seconds, Path(options.output), options.json)
    command = "ros2 launch edge_stack robot.launch.py"
    return report(list(findings()), as_json=options.json, what="The stack", command=command)


def findings() -> Iterator[Finding]:
    """Look at everything that a robot needs."""
    yield from machine.board()
    yield from software.ros()
    yield from software.packages()
    yield from _engines()
    yield from machine.gpu()
    yield from machine.cameras()
    yield from rights.scheduling()
    yield from rights.shared_memory()
    yield from rights.state()
    yield from rights.discovery()


def _engines() -> Iterator[Finding]:
    try:
        facts = software.ask(sys.executable, software.ENGINES_QUESTION, os.environ)
    except (subprocess.SubprocessError, ValueError) as error:
        yield Finding("ONNX Runtime", Level.BAD, f"cannot be tried: {error}", _ENGINES_REMEDY)
        return
    yield from software.engines(facts, _ENGINES_REMEDY)


if __name__ == "__main__":
    sys.exit(main())
