# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge test`: linters, types, walls, then every test; its last line is pytest's own summary."""

from __future__ import annotations

import subprocess

from edge_tool import execution
from edge_tool.terminal import EdgeError, say
from edge_tool.workspace import Workspace

_HELP = """usage: edge test [--no-lint] [--packages NAME...] [pytest arguments]

Without arguments: ruff, mypy, import-linter and every test, two at a time. --packages: only the tests of these packages,
for example ./edge test --packages edge_stack_control edge_stack_policy -x. Arguments go to pytest: ./edge test -k fusion,
./edge test src/edge_stack_core/test/test_stack_config.py, ./edge test -n 0 (one by one)."""

_CHECKS = (
    ("ruff check", ["-m", "ruff", "check", "--quiet", "."]),
    ("ruff format", ["-m", "ruff", "format", "--check", "--quiet", "."]),
    ("mypy", ["-m", "mypy", "--no-error-summary"]),
    # The cache would be one more folder for 2 s of work.
    (
        "import-linter",
        ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo", "--no-cache"],
    ),
)


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Run the checks, then the tests, and return pytest's code, or 1 if only a check failed."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(_HELP)
        return 0
    lint = "--no-lint" not in arguments
    arguments = with_packages(workspace, [argument for argument in arguments if argument != "--no-lint"])
    _, variables = execution.ready(workspace)
    python = str(workspace.python)
    failed = []
    for name, command in _CHECKS if lint else ():
        say(name)
        answer = subprocess.run(
            [python, *command],
            cwd=workspace.root,
            env=variables,
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        if answer.returncode != 0:
            print(answer.stdout)
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


def with_packages(workspace: Workspace, arguments: list[str]) -> list[str]:
    """Return pytest's arguments with the test folders of the packages that follow --packages in place of them."""
    if "--packages" not in arguments:
        return arguments
    begin = arguments.index("--packages")
    end = next((i for i in range(begin + 1, len(arguments)) if arguments[i].startswith("-")), len(arguments))
    known = sorted(folder.parent.name for folder in workspace.src.glob("*/test") if folder.is_dir())
    names = arguments[begin + 1 : end]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        problem = f"no tests of a package {', '.join(unknown)}" if unknown else "--packages without a name"
        raise EdgeError(f"{problem}; there are {', '.join(known)}", code=2)
    folders = [str((workspace.src / name / "test").relative_to(workspace.root)) for name in names]
    return [*arguments[:begin], *folders, *arguments[end:]]
