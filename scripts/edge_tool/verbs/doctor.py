# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge doctor`: what is there, what is missing, and what to do about it. It installs and changes nothing."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator

from edge_tool.checks import Finding, Level, hardware, rights, software
from edge_tool.workspace import Workspace

_COLOURS = {Level.GOOD: "32", Level.NOTE: "33", Level.BAD: "31"}


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Print the table; 0 unless the demo cannot run."""
    parser = argparse.ArgumentParser(prog="edge doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    findings = list(_findings(workspace))
    if options.json:
        print(json.dumps([{**vars(f), "level": f.level.value} for f in findings], indent=1))
    else:
        _print(findings)
    return 1 if any(finding.level is Level.BAD for finding in findings) else 0


def _findings(workspace: Workspace) -> Iterator[Finding]:
    yield from hardware.board()
    yield from software.ros_and_python(workspace)
    yield from software.in_the_venv(workspace)
    yield from software.weights(workspace)
    yield from hardware.gpu()
    yield from hardware.cameras()
    yield from rights.scheduling(workspace)
    yield from rights.shared_memory()
    yield from rights.discovery(workspace)


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    columns = max(shutil.get_terminal_size((110, 24)).columns, 60)
    indent = " " * (width + 9)
    for finding in findings:
        mark = f"{finding.level.value:5}"
        if sys.stdout.isatty():
            mark = f"\033[{_COLOURS[finding.level]}m{mark}\033[0m"
        text = textwrap.wrap(finding.fact, columns - len(indent)) or [""]
        print(f"{finding.subject:{width}}  {mark}  {text[0]}")
        for line in text[1:]:
            print(indent + line)
        if finding.remedy:
            # Not broken up: it is there to be copied.
            print(f"{indent}-> {finding.remedy}")
    lacking = [finding.subject for finding in findings if finding.level is Level.BAD]
    print()
    print(f"The demo cannot run: {', '.join(lacking)}." if lacking else "The demo can run: ./edge demo")
