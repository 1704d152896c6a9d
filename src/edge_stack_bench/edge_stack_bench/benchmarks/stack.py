# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The whole demo, idle and beside another program that keeps every core busy, with real-time rights and without.

Its unit is one row: one run of the demo and its report. Without rights: the demo's processes start with the limits and
capabilities of an ordinary user (no SCHED_FIFO, no negative nice value, no locked memory), so that everything in them falls
back as it would on such a machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_stack_bench.benchmarks import common
from edge_stack_core.runtime import process

CONFIGS = ("with_rights", "without_rights")
LOADS = ("idle", "saturated")
MODELS = ("detect", "segment", "pose", "obb", "classify")
PER_CORE = 2
_PR_CAPBSET_DROP = 24
_CAP_IPC_LOCK, _CAP_SYS_NICE, _CAP_SYS_RESOURCE = 14, 23, 24
# What an ordinary user may lock, bytes.
_MEMLOCK = 8 * 1024 * 1024
_QUESTION = (
    "import json; from edge_stack_core.runtime import process; print(json.dumps(process.rights().as_dict()))"
)


def run(
    seconds: float, per_core: int, configs: Sequence[str] = CONFIGS, loads: Sequence[str] = LOADS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the demo in every configuration under every load; return the rows and what could not be measured."""
    rows, notes = [], []
    for config in configs:
        rights = rights_of(config)
        if config == "with_rights" and not rights.realtime:
            notes.append(f"with_rights: this user has no real-time rights; {process.REMEDY}")
        if config == "without_rights" and (rights.realtime or rights.min_nice < 0):
            notes.append("without_rights: not measured, this process cannot give its rights away")
            continue
        for load in loads:
            print(f"{config}, {load}", file=sys.stderr, flush=True)
            busy = common.busy_cores(per_core) if load == "saturated" else contextlib.nullcontext(0)
            stolen_before_s = common.stolen_s()
            with busy:
                report = _demo(seconds, config)
            stolen_ms = round(1e3 * (common.stolen_s() - stolen_before_s))
            row = {"config": config, "load": load, "rights": rights.as_dict(), "stolen_ms": stolen_ms}
            rows.append({**row, **_figures(report)})
    return rows, notes


def rights_of(config: str) -> process.Rights:
    """Return which rights the processes of a configuration have, asked in one of them."""
    command = [sys.executable, "-c", _QUESTION]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, preexec_fn=_before_exec(config))
    return process.Rights(**json.loads(done.stdout))


def give_rights_away() -> None:
    """
    Take from this process and all that it starts whatever rights to the scheduler and to memory it has.

    The bounding set limits what a program has after exec, also one of root; the capabilities of the process itself stay
    until then. Without the capability to change the set there is none to drop either: the limits say all.
    """
    libc = ctypes.CDLL(None)
    for capability in (_CAP_IPC_LOCK, _CAP_SYS_NICE, _CAP_SYS_RESOURCE):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_MEMLOCK, _MEMLOCK),
    ):
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def _before_exec(config: str) -> Any:
    return give_rights_away if config == "without_rights" else None


def _demo(seconds: float, config: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
        path = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "edge_stack_bench.ros.demo",
            "--headless",
            "--duration",
            str(seconds),
        ]
        command += ["--report", str(path)]
        limit_s = seconds + 180.0
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, timeout=limit_s, preexec_fn=_before_exec(config)
        )
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return report


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    control, models = report["control"], report["models"]
    return {
        "control": {
            k: control[k] for k in ("rate_hz", "lateness_ms", "max_gap_ms", "commands", "deadline_misses")
        },
        "models_per_s": round(sum(models[name]["rate_hz"] for name in MODELS), 2),
        "models_wanted_per_s": round(sum(models[name]["target_hz"] for name in MODELS), 2),
        "models": {name: models[name] for name in MODELS},
        "task": report["task"],
        "startup_s": report["startup_s"],
        "rss_total_mb": report["rss_total_mb"],
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench stack", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run (default: 60)")
    parser.add_argument(
        "--per-core", type=int, default=PER_CORE, help=f"busy programs on each core (default: {PER_CORE})"
    )
    parser.add_argument("--config", choices=CONFIGS, action="append", help="only this one")
    parser.add_argument("--load", choices=LOADS, action="append", help="only this one")
    options = parser.parse_args(argv)
    rows, notes = run(options.seconds, options.per_core, options.config or CONFIGS, options.load or LOADS)
    notes.append(
        f"saturated: {options.per_core} programs that never wait on each core, each in a session of its own"
    )
    return common.report(options, "stack", rows, notes, load_per_core=options.per_core)


if __name__ == "__main__":
    sys.exit(main())
