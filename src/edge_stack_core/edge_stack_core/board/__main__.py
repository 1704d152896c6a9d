# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Shows what this computer tells about itself, and how long a reading takes: `python -m edge_stack_core.board`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping
from typing import Any

from edge_stack_core.board.limits import find_limits
from edge_stack_core.board.reader import READERS, open_reader
from edge_stack_core.errors import ConfigurationError

PAUSE_S = 0.5  # between two readings: a load needs two


def main(argv: list[str] | None = None) -> int:
    """Read twice and print the second; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edge_stack_core.board", description=__doc__)
    parser.add_argument("--root", default="/", help="folder of the board's files, or: simulated")
    parser.add_argument("--reader", default="auto", choices=READERS)
    arguments = parser.parse_args(argv)
    try:
        reader = open_reader(arguments.root, arguments.reader)
        limits = find_limits(arguments.root)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    reader.read(time.monotonic())
    time.sleep(PAUSE_S)
    began_s = time.perf_counter()
    state = reader.read(time.monotonic())
    took_ms = (time.perf_counter() - began_s) * 1e3
    reader.close()
    for name, value in dataclasses.asdict(state).items():
        print(f"{name:<26}{_shown(value)}")
    print(
        f"{'limits':<26}{'none known' if limits is None else f'{limits.name}: throttles at {limits.throttle_c:g} C'}"
    )
    print(f"{'read in':<26}{took_ms:.1f} ms")
    return 0


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) or "-"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
