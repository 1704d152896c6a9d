# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The verbs of `./edge` and how one is called.

A verb is a program of a package (programs.py), or one of the tool's own: the module of its name in verbs/.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edge_tool import renamed
from edge_tool.programs import PROGRAMS
from edge_tool.terminal import EdgeError, say, say_error
from edge_tool.workspace import Workspace

# The tool's own verbs.
VERBS = {
    "test": "set up, build, and run linters, types and every test; --packages NAME...; more goes to pytest",
    "doctor": "report what this machine has, what it lacks, and what to do about it",
    "setup": "install what is needed, nothing if it is there; --with ultralytics or cuda, --system",
    "build": "build what changed",
    "shell": "a shell, or a command after --, with everything sourced",
    "clean": "remove what was built; --all also what was installed",
}


class Verb(Protocol):
    """A module in verbs/, or a program."""

    def run(self, workspace: Workspace, arguments: list[str]) -> int:
        """Do it and return the exit code."""


def main(arguments: list[str]) -> int:
    """Call a verb; 0 = done, 1 = failed, 2 = wrong arguments or the machine lacks something, 130 = interrupted."""
    os.environ.setdefault("EDGE_STARTED_S", repr(time.monotonic()))
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    name = arguments[0]
    if name not in VERBS and name not in PROGRAMS:
        say_error(_unknown(name))
        return 2
    verb: Verb
    if name in PROGRAMS:
        verb = PROGRAMS[name]
    else:
        verb = importlib.import_module(f"edge_tool.verbs.{name}")  # type: ignore[assignment]
    try:
        return verb.run(Workspace(Path(__file__).resolve().parents[2]), arguments[1:])
    except EdgeError as error:
        say_error(error)
        return error.code
    except KeyboardInterrupt:
        say(f"interrupted; ./edge {name} goes on where this stopped")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _unknown(name: str) -> EdgeError:
    """Return the refusal of a verb that does not exist, with the one that is meant where that is clear."""
    known = [*PROGRAMS, *VERBS]
    now = renamed.VERBS.get(name) or next((verb for verb in known if verb == name.replace("_", "-")), None)
    if now:
        return EdgeError(f"'{name}' is now '{now}'", f"./edge {now}")
    near = difflib.get_close_matches(name, known, 1)
    return EdgeError(
        f"there is no '{name}'", f"./edge {near[0]}, or ./edge --help" if near else "./edge --help"
    )


def _help() -> str:
    width = max(map(len, [*PROGRAMS, *VERBS])) + 2

    def listed(verbs: Mapping[str, str]) -> str:
        return "\n".join(f"  {name:{width}}{what}" for name, what in verbs.items())

    return f"""usage: ./edge VERB [arguments]

Sets up and runs edge_stack. Nothing is installed or built again unless it changed.

{listed({name: program.what for name, program in PROGRAMS.items()})}

The workspace itself:
{listed(VERBS)}

./edge VERB --help has more. A verb of the upper list is also an executable: ros2 run PACKAGE VERB, with _ for -.
The first thing to try: ./edge demo"""
