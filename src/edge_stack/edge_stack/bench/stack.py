# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The whole demo, idle and beside another program that keeps every core busy, with the runtime and without it.

Its unit is one row: one run of the demo and its report. Without: the control tick has no real-time policy, only a short
time slice, as on a machine that does not permit one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge_stack.bench import common

CONFIGS: dict[str, tuple[str, ...]] = {
    "without": ("fusion.control_priority=0", "fusion.companion_priority=0"),
    "runtime": (),
}
MODELS = ("detect", "segment", "pose", "obb", "classify")
_COLUMNS = (
    "config", "load", "Hz", "late p50", "p99", "max ms", "gap max ms", "missed", "models per s", "of", "task",
)  # fmt: skip


def run(seconds: float, per_core: int) -> list[dict[str, Any]]:
    """Run the demo in every configuration under every load."""
    rows = []
    for load in ("idle", "saturated"):
        for config, settings in CONFIGS.items():
            print(f"{config}, {load}", file=sys.stderr, flush=True)
            busy = common.busy_cores(per_core) if load == "saturated" else contextlib.nullcontext()
            with busy:
                report = _demo(seconds, settings)
            rows.append({"config": config, "load": load, **_figures(report)})
    return rows


def _demo(seconds: float, settings: tuple[str, ...]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, "-m", "edge_stack.tools.demo", "--headless", "--duration", str(seconds)]
        command += ["--report", str(path), *(f"--set={setting}" for setting in settings)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=seconds + 180.0)
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
    parser.add_argument("--json", help="write the result to this file")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run (default: 60)")
    parser.add_argument("--per-core", type=int, default=2, help="busy processes on each core (default: 2)")
    options = parser.parse_args(argv)
    rows = run(options.seconds, options.per_core)
    common.write_json(options.json, "stack", rows, load_per_core=options.per_core)
    common.print_table("The whole demo", _COLUMNS, [_line(row) for row in rows])
    return 0


def _line(row: dict[str, Any]) -> list[Any]:
    control = row["control"]
    late = control["lateness_ms"]
    return [
        row["config"],
        row["load"],
        control["rate_hz"],
        *(late[q] for q in ("p50", "p99", "max")),
        control["max_gap_ms"],
        control["deadline_misses"],
        row["models_per_s"],
        row["models_wanted_per_s"],
        f"{row['task']['successes']}/{row['task']['attempts']}",
    ]


if __name__ == "__main__":
    sys.exit(main())
