# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Shows what the board reader sees on this computer, or in a copy of a board's files, and the limits that it knows."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from edge_stack_core.board.fields import board_fields, unpublished_fields
from edge_stack_core.board.limits import UNKNOWN, BoardLimits
from edge_stack_core.board.reader import READERS, open_reader
from edge_stack_core.errors import ConfigurationError

PAUSE_S = 0.5  # between two readings: a load needs two


def main(argv: list[str] | None = None) -> int:
    """Read twice and print the second; returns the exit code."""
    parser = argparse.ArgumentParser(prog="edge board", description=__doc__)
    parser.add_argument("--root", default="/", help="folder of the board's files, or: simulated")
    parser.add_argument("--reader", default="auto", choices=READERS)
    parser.add_argument(
        "--json", action="store_true", help="for programs; null is what the board does not tell"
    )
    arguments = parser.parse_args(argv)
    try:
        reader = open_reader(arguments.root, arguments.reader)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    reader.read(time.monotonic())
    time.sleep(PAUSE_S)
    began_s = time.perf_counter()
    state = reader.read(time.monotonic())
    took_ms = (time.perf_counter() - began_s) * 1e3
    limits = reader.limits
    reader.close()
    fields, more = board_fields(state), unpublished_fields(state)
    if arguments.json:
        print(json.dumps(_as_json(fields, more, limits, took_ms), indent=1))
        return 0
    for name, value in {**fields, **more}.items():
        print(f"{name:<26}{_shown(value)}")
    print(f"{'limits':<26}{_limits_line(limits)}")
    print(f"{'read in':<26}{took_ms:.1f} ms")
    return 0


def _as_json(
    fields: Mapping[str, Any], more: Mapping[str, Any], limits: BoardLimits | None, took_ms: float
) -> dict[str, Any]:
    """Return board_state: the message's fields; unpublished: what the message has no field for; limits: null if none."""
    known = None if limits is None else {**dataclasses.asdict(limits), "file": str(limits.file)}
    return {
        "board_state": {name: _finite(value) for name, value in fields.items()},
        "unpublished": dict(more),
        "limits": known,
        "read_ms": round(took_ms, 3),
    }


def _limits_line(limits: BoardLimits | None) -> str:
    if limits is None:
        return f"none known: {UNKNOWN}"
    return f"{limits.name}: throttles at {limits.throttle_c:g} C ({limits.file})"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(one) for one in value) or "-"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
