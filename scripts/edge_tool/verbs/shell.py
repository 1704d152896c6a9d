# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge shell`: the user's shell with everything sourced; `./edge shell -- command` runs one command there."""

from __future__ import annotations

import os
import shutil

from edge_tool import building, execution
from edge_tool.renamed import renamed_module
from edge_tool.terminal import EdgeError, say
from edge_tool.workspace import Workspace

_HELP = """usage: edge shell [-- command [arguments]]

Start a shell, or run one command, with ROS, the venv and the workspace sourced. Plain `colcon build` in it does what
`./edge build` does."""


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become the shell or the command."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(_HELP)
        return 0
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    underlay, variables = execution.ready(workspace)
    variables.setdefault("COLCON_DEFAULTS_FILE", str(building.colcon_defaults(workspace, underlay)))
    if arguments:
        moved = renamed_module(arguments)
        if moved is not None:
            raise EdgeError(f"{moved[0]} is now {moved[1]}", moved[1], code=2)
        program = shutil.which(arguments[0], path=variables["PATH"])
        if program is None:
            raise EdgeError(f"there is no program {arguments[0]}", code=127)
        os.execve(program, arguments, variables)
    shell = os.environ.get("SHELL") or "/bin/bash"
    say(f"a shell with {underlay.title}; leave it with exit")
    if os.path.basename(shell) == "bash":
        # ~/.bashrc may put other Pythons and another ROS before ours, so ours goes in after it.
        rc = workspace.state / "bashrc"
        rc.write_text(_bashrc(variables), encoding="utf-8")
        os.execve(shell, [shell, "--rcfile", str(rc), "-i"], variables)
    os.execve(shell, [shell], variables)
    return 0


def _bashrc(variables: dict[str, str]) -> str:
    """Return what an interactive bash reads: the user's own file, then our paths once more."""
    names = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "ROS_DISTRO")
    lines = ["[ -f ~/.bashrc ] && . ~/.bashrc"]
    lines += [f"export {name}={_quoted(variables[name])}" for name in names if name in variables]
    return "\n".join([*lines, 'PS1="(edge) $PS1"', ""])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
