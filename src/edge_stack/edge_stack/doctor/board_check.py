# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
`doctor --board`: whether a board reads as it should, and a file about it that can be sent.

It watches the board for a while and says of six checks what it saw; for what it did not see it says how to let it happen
while it watches. The file has the board's files as they are, so that a test can be made of it; it names no person and no
single machine.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_stack.doctor.findings import Finding, Level
from edge_stack.doctor.report import print_table, to_json
from edge_stack_core.board import BoardState, open_reader
from edge_stack_core.board.fields import board_fields, unpublished_fields
from edge_stack_core.board.files import BoardFiles, board_folder
from edge_stack_core.board.limits import BoardLimits
from edge_stack_core.board.snapshot import board_files
from edge_stack_core.errors import ConfigurationError
from edge_stack_supervisor.governor import load_settings

PERIOD_S = 1.0
WARM_C = 75.0
IDLE_LOAD, IDLE_S = 0.05, 30.0
_TEGRASTATS_S = 2.0
_VDD_IN = re.compile(r"(?:VDD_IN|VIN) (\d+)mW")
_ZONES = "/sys/class/thermal"


@dataclass
class BoardWatch:
    """What was seen of a board. sources: in order, which reader told. tegrastats_w: that program's; None: not there."""

    states: list[BoardState] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    limits: BoardLimits | None = None
    tegrastats_w: float | None = None

    def most(self, name: str) -> float | None:
        """Return the highest value of a field; None if it was never told."""
        return max((v for state in self.states if (v := getattr(state, name)) is not None), default=None)


def run(root: str, seconds: float, output: Path, say: Callable[[str], None]) -> list[Finding]:
    """
    Watch the board below root for some seconds and write the file; returns a finding for each check.

    Raises ConfigurationError for a root that is not there, OSError for a file that cannot be written.
    """
    folder = board_folder(root)
    watched = watch(root, seconds, say)
    findings = list(checks(watched, BoardFiles(folder)))
    about = {
        "board": watched.limits.name if watched.limits else "unknown",
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "seconds": seconds,
        "checks": json.loads(to_json(findings)),
        "states": [_as_json(state) for state in watched.states],
    }
    text = json.dumps({"about": about, "files": board_files(folder)}, indent=1)
    output.write_text(text + "\n", encoding="utf-8")
    return findings


def watch(root: str, seconds: float, say: Callable[[str], None]) -> BoardWatch:
    """Read a board once a second."""
    reader = open_reader(root)
    watched = BoardWatch(limits=reader.limits)
    try:
        if os.path.realpath(root) == "/":
            watched.tegrastats_w = _tegrastats_w()
        count = max(2, math.ceil(seconds / PERIOD_S))
        for number in range(count):
            state = reader.read(time.monotonic())
            watched.states.append(state)
            if not watched.sources or watched.sources[-1] != state.source:
                watched.sources.append(state.source)
            hottest = state.max_temperature_c
            say(f"{number + 1} of {count}: " + ("no temperature" if hottest is None else f"{hottest:.1f} C"))
            if number + 1 < count:
                time.sleep(PERIOD_S)
    finally:
        reader.close()
    return watched


def checks(watched: BoardWatch, files: BoardFiles) -> Iterator[Finding]:
    """Say of each of the six checks what was seen."""
    last = watched.states[-1]
    yield _trips(watched, files)
    yield _reading(watched, last)
    yield _warmth(watched)
    yield _service(watched)
    yield _sleep(watched)
    yield _over_current(watched)


def _trips(watched: BoardWatch, files: BoardFiles) -> Finding:
    """1: where the kernel throttles, and what its other trips are for."""
    throttle_c = watched.states[-1].throttle_temperature_c
    passive = sorted(
        {c for zone in files.names(_ZONES, "thermal_zone") for c in _passive_c(files, f"{_ZONES}/{zone}")}
    )
    if throttle_c is None:
        remedy = "a file for this board (board_file), or limit_c in governor.yaml, says how hot it may get"
        return Finding("1 throttle point", Level.NOTE, "nobody tells it: heat lowers no rate", remedy)
    others = [f"{c:g}" for c in passive if c != throttle_c]
    fact = f"{throttle_c:g} C" + (
        f"; passive trips that hold no clock down: {', '.join(others)} C" if others else ""
    )
    if watched.limits is not None and abs(watched.limits.throttle_c - throttle_c) > 0.5:
        remedy = f"{watched.limits.file.name} says {watched.limits.throttle_c:g} C: send the file, one of the two is wrong"
        return Finding("1 throttle point", Level.NOTE, fact, remedy)
    return Finding("1 throttle point", Level.GOOD, fact)


def _passive_c(files: BoardFiles, zone: str) -> Iterator[float]:
    for name in files.names(zone, "trip_point_"):
        if name.endswith("_type") and files.text(f"{zone}/{name}") == "passive":
            value = files.number(f"{zone}/{name.removesuffix('_type')}_temp", 0.0, 200.0, 1e-3)
            if value:
                yield value


def _reading(watched: BoardWatch, last: BoardState) -> Finding:
    """2: the figures of a reading, and the power against tegrastats."""
    name = watched.limits.name if watched.limits else "not known"
    told = [f"board {name}", f"reader {last.source}"]
    told += [
        f"{what} {value}" for what, value in (("mode", last.power_mode), ("power", _watts(last))) if value
    ]
    told += [f"{what} -" for what in ("gpu_load", "memory_pressure") if getattr(last, what) is None]
    fact = ", ".join(told)
    said_w = watched.tegrastats_w
    if said_w is not None and last.total_power_w is not None:
        fact += f"; tegrastats says {said_w:.2f} W"
        if abs(said_w - last.total_power_w) > max(1.0, 0.25 * said_w):
            return Finding("2 reading", Level.NOTE, fact, "the two differ: send the file")
    if last.lost:
        return Finding("2 reading", Level.NOTE, f"{fact}; lost: {', '.join(last.lost)}", "send the file")
    if watched.limits is None:
        return Finding(
            "2 reading", Level.NOTE, fact, "no file of boards/ names this board: send the file, or write one"
        )
    return Finding("2 reading", Level.GOOD, fact)


def _warmth(watched: BoardWatch) -> Finding:
    """3: nothing is given up at 75 C."""
    settings = load_settings()
    hottest = watched.most("max_temperature_c")
    if hottest is None:
        return Finding("3 warm board", Level.NOTE, "no temperature is told", "send the file")
    strained = [s for s in watched.states if settings.strained(s)]
    if hottest < WARM_C:
        remedy = f"hold the fan until {WARM_C:g} C and run it again: nothing may be given up there"
        return Finding("3 warm board", Level.NOTE, f"not seen: at most {hottest:.1f} C", remedy)
    if not strained:
        return Finding("3 warm board", Level.GOOD, f"{hottest:.1f} C, and the governor gives nothing up")
    signals = ", ".join(f"{name} {value:.2f}" for name, value in settings.signals(strained[-1]).items())
    return Finding(
        "3 warm board",
        Level.NOTE,
        f"{hottest:.1f} C: {signals}",
        "the governor would give way: see docs/governor.md",
    )


def _service(watched: BoardWatch) -> Finding:
    """4: jtop.service comes back after a restart."""
    subject = "4 jtop.service"
    if "jetson_stats" not in watched.sources:
        return Finding(subject, Level.GOOD, "not in use: the files tell nearly as much")
    if watched.sources[-1] != "jetson_stats":
        return Finding(subject, Level.NOTE, "it went and did not come back", "systemctl status jtop")
    if len(watched.sources) == 1:
        remedy = (
            "sudo systemctl restart jtop while this runs (--seconds 90): it has to be back within a minute"
        )
        return Finding(subject, Level.NOTE, "in use; no restart was seen", remedy)
    return Finding(subject, Level.GOOD, "it went and came back")


def _sleep(watched: BoardWatch) -> Finding:
    """5: an idle GPU that goes to sleep is no loss."""
    loads = [state.gpu_load for state in watched.states]
    lost = sorted({name for state in watched.states for name in state.lost})
    if lost:
        return Finding("5 idle GPU", Level.NOTE, f"lost: {', '.join(lost)}", "send the file")
    if all(load is None for load in loads):
        return Finding("5 idle GPU", Level.GOOD, "nothing is lost; the board tells no load")
    idle = sum(load is not None and load <= IDLE_LOAD for load in loads) * PERIOD_S
    if idle < IDLE_S:
        remedy = f"let the GPU idle for {IDLE_S:g} s while this runs"
        return Finding("5 idle GPU", Level.NOTE, f"nothing is lost; idle for {idle:g} s", remedy)
    return Finding("5 idle GPU", Level.GOOD, f"idle for {idle:g} s, nothing is lost")


def _over_current(watched: BoardWatch) -> Finding:
    """6: over-current events, and whether the power was near the limit meanwhile."""
    events = [s.over_current_events for s in watched.states if s.over_current_events is not None]
    if not events:
        return Finding("6 over-current", Level.GOOD, "the board counts no events")
    most_w, limit_w = watched.most("total_power_w"), watched.states[-1].power_limit_w
    fact = f"{events[-1] - events[0]} events in {(len(watched.states) - 1) * PERIOD_S:g} s ({events[-1]} since boot)"
    if most_w is not None and limit_w:
        fact += f", at most {most_w:.1f} of {limit_w:.1f} W"
        if events[-1] > events[0] and most_w >= 0.85 * limit_w:
            return Finding(
                "6 over-current",
                Level.NOTE,
                fact,
                "a lower power mode, or less work: the board slows itself down",
            )
    return Finding("6 over-current", Level.GOOD, fact)


def _watts(state: BoardState) -> str:
    if state.total_power_w is None:
        return ""
    budget = "" if state.power_budget_w is None else f" of {state.power_budget_w:.0f}"
    return f"{state.total_power_w:.2f}{budget} W"


def _tegrastats_w() -> float | None:
    """Return the power that tegrastats tells; None where it is not there, or tells none."""
    program = shutil.which("tegrastats")
    if program is None:
        return None
    try:  # it goes on until it is ended
        said = subprocess.run(
            [program, "--interval", "500"], capture_output=True, timeout=_TEGRASTATS_S
        ).stdout
    except subprocess.TimeoutExpired as ended:
        said = ended.stdout or b""
    except OSError:
        return None
    match = _VDD_IN.search(said.decode("utf-8", "replace"))
    return None if match is None else int(match[1]) * 1e-3


def _as_json(state: BoardState) -> dict[str, Any]:
    told = {**board_fields(state), **unpublished_fields(state)}
    told.pop("memory_by_pid_mb", None)
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in told.items()}


def to_terminal(line: str) -> None:
    """Show progress on one line of the terminal; nothing where there is none."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main(root: str, seconds: float, output: Path, as_json: bool) -> int:
    """Run the check and print its findings; 1 where the board or the file cannot be had."""
    try:
        findings = run(root, seconds, output, to_terminal)
    except (ConfigurationError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if as_json:
        print(to_json(findings))
    else:
        print_table(findings)
        print(
            f"\nWritten: {output}. It names no person and no single machine; send it where the board reads wrong."
        )
    return 0
