# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Prints findings as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

from edge_stack.doctor.findings import Finding, Level

_COLOURS = {Level.GOOD: "32", Level.NOTE: "33", Level.BAD: "31"}


def report(findings: Sequence[Finding], *, as_json: bool, what: str, command: str) -> int:
    """
    Print the findings and return the exit code: 1 if one of them keeps the stack from running.

    what: what can or cannot run, with a capital letter. command: how it is started.
    """
    lacking = [finding.subject for finding in findings if finding.level is Level.BAD]
    if as_json:
        print(to_json(findings))
    else:
        print_table(findings)
        print()
        print(f"{what} cannot run: {', '.join(lacking)}." if lacking else f"{what} can run: {command}")
    return 1 if lacking else 0


def to_json(findings: Sequence[Finding]) -> str:
    """Return the findings for programs."""
    return json.dumps([{**vars(f), "level": f.level.value} for f in findings], indent=1)


def print_table(findings: Sequence[Finding]) -> None:
    """Print the findings for people."""
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
