# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Runs the simulated board without ROS: `python -m edge_stack_sim.board --load 1.0 1.0 --ambient 35 --time-scale 60`.

Its files are below --root until it ends; tegrastats lines go to the terminal.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from dataclasses import replace

from edge_stack_core.board.files import SIMULATED, board_folder
from edge_stack_sim.board.live import BoardSurroundings, LiveBoard, log_to
from edge_stack_sim.board.plant import Load, Plant
from edge_stack_sim.board.spec import COOLINGS, ORIN_NANO_SUPER

PERIOD_S = 0.1


def main(argv: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM, or for --duration; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edge_stack_sim.board", description=__doc__)
    add = parser.add_argument
    add("--root", default=SIMULATED, help="folder of the files (default: where the stack looks for them)")
    add("--load", type=float, nargs=2, metavar=("CPU", "GPU"), default=(0.0, 0.0), help="busy shares, 0..1")
    add("--ambient", type=float, default=25.0, help="temperature of the room, degrees Celsius")
    add("--mode", choices=sorted(ORIN_NANO_SUPER.modes), default=ORIN_NANO_SUPER.default_mode)
    add("--cooling", choices=sorted(COOLINGS), default=ORIN_NANO_SUPER.cooling.name)
    add("--fan-failed", action="store_true", help="the fan stands still")
    add("--time-scale", type=float, default=1.0, help="simulated seconds in one real one")
    add("--duration", type=float, default=float("inf"), help="real seconds until it ends")
    add("--log", help="write tegrastats lines to this file, not to the terminal")
    arguments = parser.parse_args(argv)

    around = BoardSurroundings(
        ambient_c=arguments.ambient,
        fan_failed=arguments.fan_failed,
        power_mode=arguments.mode,
        time_scale=arguments.time_scale,
    )
    spec = replace(ORIN_NANO_SUPER, cooling=COOLINGS[arguments.cooling])
    plant = Plant(spec, ambient_c=around.ambient_c, power_mode=around.power_mode)
    root = board_folder(arguments.root)
    try:
        board = LiveBoard(plant, root, log_to(arguments.log) if arguments.log else _print)
    except OSError as error:
        parser.error(str(error))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"the board's files are below {root}", file=sys.stderr)
    load = Load(*arguments.load)
    began_s = last_s = time.monotonic()
    try:
        while last_s - began_s < arguments.duration and not stop.wait(PERIOD_S):
            now_s = time.monotonic()
            state = board.advance(now_s - last_s, load, around)
            last_s = now_s
            if state.shut_down:
                print("the board shut down: it reached its critical temperature", file=sys.stderr)
                return 1
    finally:
        board.close()
    return 0


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
