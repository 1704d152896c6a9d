# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
`./edge run`, or `ros2 run edge_stack run`: the stack in the foreground, until Ctrl-C.

The first Ctrl-C asks the nodes to end, the second one kills them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_stack.runner.output import LogFollower
from edge_stack.runner.stack import StackProcesses
from edge_stack.shipped import shipped_config
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.process_environment import process_environment
from edge_stack_core.stack_config import load_config

_POLL_S = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stack until it is told to end; 2 if its configuration is wrong."""
    options = _arguments(argv)
    stop = threading.Event()
    stack: StackProcesses | None = None

    def ask_to_end(_number: int, _frame: Any) -> None:
        if stop.is_set() and stack is not None:
            stack.group.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_end)
    os.environ.update(process_environment(os.environ))
    with tempfile.TemporaryDirectory(prefix="edge_run_") as folder:
        run_folder = Path(options.log_dir or folder)
        try:
            stack = StackProcesses(
                load_config(options.config or shipped_config(), robot=options.robot).switch_on(
                    options.enable
                ),
                sim=options.sim,
                disabled=options.disable,
                namespace=options.namespace,
                log_level=options.log_level,
                run_folder=run_folder,
            )
            follower = LogFollower({node.name: stack.group.log_path(node.name) for node in stack.nodes})
            if not stop.is_set():
                stack.start()
        except ConfigurationError as error:
            print(f"run: {error}", file=sys.stderr)
            return 2
        try:
            # No stop.wait(): it holds a lock for a moment, which stop.set() in a signal handler would wait for forever.
            while not stop.is_set():
                _show(follower)
                time.sleep(_POLL_S)
        finally:
            stack.stop()
            _show(follower)
    return 0


def _show(follower: LogFollower) -> None:
    for name, line in follower.poll():
        print(f"[{name}] {line}", flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="edge run", description="Run the stack of a robot.yaml in the foreground."
    )
    parser.add_argument("config", nargs="?", help="robot.yaml; the shipped one if left out")
    parser.add_argument("--sim", action="store_true", help="with the simulated robot instead of the real one")
    parser.add_argument("--robot", help="another robot: a name or a .yaml file")
    parser.add_argument("--namespace", default="", help="namespace of the whole stack")
    parser.add_argument("--disable", action="append", default=[], metavar="NODE", help="leave a node out")
    parser.add_argument(
        "--enable", action="append", default=[], metavar="NODE", help="run a node that the file switches off"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warn", "error", "fatal"))
    parser.add_argument("--log-dir", metavar="FOLDER", help="keep parameters and output of every node here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
