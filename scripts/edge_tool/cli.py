# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The verbs of `./edge` and how one is called; each is the module of its name in verbs/, _ for -."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Protocol

from edge_tool.terminal import EdgeError, say, say_error
from edge_tool.workspace import Workspace

VERBS = {
    "demo": "set up, build, and run the stack on the simulated robot with a live view",
    "test": "set up, build, and run linters, types and every test; arguments go to pytest",
    "run": "run the stack of a robot.yaml in the foreground",
    "export-policy": "turn a LeRobot SmolVLA into ONNX graphs that run without torch, and check them",
    "bench": "run a benchmark; without a name, list them",
    "policy-server": "serve a policy to robots elsewhere over gRPC",
    "doctor": "say what this machine has, what it lacks, and what to do about it",
    "setup": "install what is needed, nothing if it is there; --with ultralytics or cuda, --system",
    "build": "build what changed",
    "shell": "a shell, or a command after --, with everything sourced",
    "clean": "remove what was built; --all also what was installed",
}


class Verb(Protocol):
    """A module in verbs/."""

    def run(self, workspace: Workspace, arguments: list[str]) -> int:
        """Do it and return the exit code."""


def main(arguments: list[str]) -> int:
    """Call a verb; 0 = done, 1 = failed, 2 = wrong arguments or the machine lacks something, 130 = interrupted."""
    os.environ.setdefault("EDGE_STARTED_S", repr(time.monotonic()))
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    name = arguments[0]
    if name not in VERBS:
        say_error(EdgeError(f"there is no '{name}'", "./edge --help"))
        return 2
    verb: Verb = importlib.import_module(f"edge_tool.verbs.{name.replace('-', '_')}")  # type: ignore[assignment]
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


def _help() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {name:{width}}{what}" for name, what in VERBS.items())
    return f"""usage: ./edge VERB [arguments]

Sets up and runs edge_stack. Nothing is installed or built again unless it changed.

{verbs}

./edge VERB --help says more. The first thing to try: ./edge demo"""
