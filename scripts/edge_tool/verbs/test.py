# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge test`: linters, types, then every test; its last line is pytest's own summary."""

from __future__ import annotations

import subprocess

from edge_tool import execution
from edge_tool.terminal import say
from edge_tool.workspace import Workspace

_HELP = """usage: edge test [--no-lint] [pytest arguments]

Without arguments: ruff, mypy and every test, two at a time. Arguments go to pytest: ./edge test -k fusion,
./edge test src/edge_stack_core/test/test_stack_config.py, ./edge test -n 0 (one by one)."""

_CHECKS = (
    ("ruff check", ["-m", "ruff", "check", "--quiet", "."]),
    ("ruff format", ["-m", "ruff", "format", "--check", "--quiet", "."]),
    ("mypy", ["-m", "mypy", "--no-error-summary"]),
)


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Run the checks, then the tests, and return pytest's code, or 1 if only a check failed."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(_HELP)
        return 0
    lint = "--no-lint" not in arguments
    arguments = [argument for argument in arguments if argument != "--no-lint"]
    _, variables = execution.ready(workspace)
    python = str(workspace.python)
    failed = []
    for name, command in _CHECKS if lint else ():
        say(name)
        if subprocess.run([python, *command], cwd=workspace.root, env=variables, check=False).returncode != 0:
            failed.append(name)
    parallel = (
        [] if any(a.startswith(("-n", "--numprocesses", "--pdb", "-p")) for a in arguments) else ["-n", "2"]
    )
    # Files stay together: each has its own processes and its own DDS domain. Their order is that of testpaths, the longest
    # first, so that no worker has a long file left when the other is done.
    command = [python, "-m", "pytest", *parallel, "--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    if failed:
        say(f"failed: {', '.join(failed)} (see above); that makes this run fail, whatever the tests say")
    code = subprocess.run(command, cwd=workspace.root, env=variables, check=False).returncode
    return code or (1 if failed else 0)
