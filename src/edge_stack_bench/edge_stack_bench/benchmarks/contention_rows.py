# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rows of the benchmark `contention`: what a way of sharing is, and how it is measured, on whatever device.

Its unit of work is one row. The processes of a row are children that say when they are ready and are told when to begin.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_bench.benchmarks import contention_models
from edge_stack_core.admission.page import DIRECTORY_VARIABLE
from edge_stack_core.runtime import process

RATE_HZ = 24.0
PERIOD_S = 1.0 / RATE_HZ


@dataclass(frozen=True)
class Config:
    """
    One way of sharing.

    background: "" none, "short" YOLO models, "long" the model longer than the slack. priority: "fifo": critical SCHED_FIFO,
    background 10 nicer; "nice": background 19 nicer; "stream": the critical one's CUDA stream is urgent. partition: cores or
    multiprocessors of its own for the critical one. mps: processes share the GPU through MPS. admission: "": none;
    "whole" or "sliced": inferences are admitted. beside: how many may run beside the critical inference; None:
    admission's default. times: in each round. extra: measured only if asked for by name.
    """

    name: str
    critical: bool = True
    background: str = "short"
    priority: str = ""
    partition: bool = False
    mps: bool = False
    admission: str = ""
    co_run: int | None = None
    times: int = 1
    extra: bool = False


class Bench:
    """The models and the measurements of one run."""

    def __init__(self, arguments: argparse.Namespace, short: Sequence[Path], folder: Path) -> None:
        """Make or copy the models into a folder, where admission lives, too."""
        self._seconds, self._rounds = arguments.seconds, arguments.rounds
        self._slice_ms = arguments.slice_ms
        self._folder = folder
        self._cores = sorted(os.sched_getaffinity(0))
        self.notes: list[str] = []
        self.figures: dict[str, Any] = {
            "rate_hz": RATE_HZ,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
        }
        self._make_models(arguments, short)

    def _make_models(self, arguments: argparse.Namespace, short: Sequence[Path]) -> None:
        folder = self._folder
        self._critical, figures = contention_models.policy_model(folder, arguments.critical_ms)
        self.figures["critical_model"] = figures
        if arguments.long is None:
            self._oversize, figures = contention_models.long_model(folder, 1.5e3 * PERIOD_S)
            self.figures["long_model"] = figures
        else:
            # Its slices are written beside it.
            self._oversize = Path(shutil.copy(arguments.long, folder))
            self.figures["long_model"] = {"file": arguments.long.name}
        # One more than there are cores: the cores stay busy while one waits.
        self._long_jobs = len(self._cores)
        self._short = [short[index % len(short)] for index in range(len(self._cores) + 1)]
        self.figures["background_models"] = [path.name for path in self._short]

    def rows(self, configs: Sequence[Config]) -> list[dict[str, Any]]:
        """Measure the configurations in turn, round by round, and return a row of each."""
        possible = [config for config in configs if self._is_possible(config)]
        results: dict[str, list[dict[str, Any]]] = {config.name: [] for config in possible}
        for number in range(self._rounds):
            for config in possible:
                print(f"round {number + 1}: {config.name}", file=sys.stderr, flush=True)
                results[config.name] += self._measure(config)
            # Those that matter most once more, at another time.
            for config in possible:
                if config.times == 2:
                    print(f"round {number + 1}: {config.name} again", file=sys.stderr, flush=True)
                    results[config.name] += self._measure(config)
        rows = [self._row(config, results[config.name]) for config in possible]
        self._add_share_of_slack(rows)
        return rows

    def _is_possible(self, config: Config) -> bool:
        if config.partition and len(self._cores) < 2:
            self.notes.append("partition: needs two cores")
            return False
        if config.priority == "fifo" and not process.rights().realtime:
            self.notes.append(
                f"{config.name}: no right to SCHED_FIFO here; measured with nice values instead"
            )
        return True

    def _measure(self, config: Config) -> list[dict[str, Any]]:
        """Run the processes of a configuration once and return what they report."""
        admission = Path(tempfile.mkdtemp(dir=self._folder))
        environment = {**os.environ, DIRECTORY_VARIABLE: str(admission), **self._variables(config)}
        children: list[subprocess.Popen[str]] = []
        try:
            for spec in self._specs(config):
                command = [
                    sys.executable,
                    "-m",
                    "edge_stack_bench.benchmarks.contention",
                    "--child",
                    json.dumps(spec),
                ]
                pipe = subprocess.PIPE
                children.append(
                    subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
                )
            for child in children:
                if _line(child) != "ready\n":
                    raise RuntimeError(f"{config.name}: a process of the benchmark did not start")
            start = time.monotonic_ns() + 300_000_000
            for child in children:
                _tell(child, f"{start} {start + int(self._seconds * 1e9)}\n")
            return [json.loads(_line(child)) for child in children]
        finally:
            for child in children:
                child.kill()
                child.communicate()

    def _variables(self, config: Config) -> dict[str, str]:
        """Return further environment variables of the processes."""
        return {}

    def _specs(self, config: Config) -> list[dict[str, Any]]:
        """Say what each process does."""
        common_part = {
            "device": "cpu",
            "admission": config.admission,
            "limit": len(self._cores),
            "beside": config.co_run,
            "period_s": PERIOD_S,
            "slice_ms": self._slice_ms,
            "fifo": config.priority == "fifo",
            "cores": [],
            "nice": None,
        }
        specs = []
        if config.critical:
            cores = self._cores[:1] if config.partition else []
            specs.append({**common_part, "role": "critical", "model": str(self._critical), "cores": cores})
        models = {"": [], "short": self._short, "long": [self._oversize] * self._long_jobs}[config.background]
        for index, model in enumerate(models):
            spec = {**common_part, "role": "background", "name": f"{model.stem} {index}", "model": str(model)}
            spec["cores"] = self._cores[1:] if config.partition else []
            more = {"fifo": 10, "nice": 19}.get(config.priority)
            spec["nice"] = None if more is None else min(19, os.getpriority(os.PRIO_PROCESS, 0) + more)
            specs.append(spec)
        return specs

    def _row(self, config: Config, results: list[dict[str, Any]]) -> dict[str, Any]:
        row: dict[str, Any] = {"config": config.name, "background": config.background}
        critical = [result for result in results if result["role"] == "critical"]
        background = [result for result in results if result["role"] == "background"]
        if critical:
            latencies = np.concatenate([result["latencies_ms"] for result in critical])
            quantiles = np.percentile(latencies, (50, 99, 99.9, 100))
            names = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
            row["critical"] = {
                name: round(float(value), 3) for name, value in zip(names, quantiles, strict=True)
            }
            row["critical"]["misses"] = sum(result["misses"] for result in critical)
            row["critical"]["n"] = sum(result["n"] for result in critical)
            if config.admission:
                row["critical"]["began_beside_background"] = sum(result["disturbed"] for result in critical)
        if background:
            done = sum(result["n"] for result in background)
            measured_s = self._seconds * self._rounds * config.times
            row["background_per_s"] = round(done / measured_s, 2)
            cpu_ms = 1e3 * sum(result["cpu_s"] for result in background) / max(1, done)
            row["background_cpu_ms_each"] = round(cpu_ms, 3)
            row["background_by_job"] = {}
            for result in background:
                counts = row["background_by_job"]
                counts[result["name"]] = counts.get(result["name"], 0) + result["n"]
            row["least_per_s_of_a_job"] = round(min(row["background_by_job"].values()) / measured_s, 2)
            if config.admission:
                row["refused"] = sum(result["refused"] for result in background)
                row["admission"] = {result["name"]: result["admission"] for result in background}
        self.notes += [note for result in results for note in result["notes"] if note not in self.notes]
        return row

    def _add_share_of_slack(self, rows: list[dict[str, Any]]) -> None:
        """Compare each background rate with that of the background alone times the idle share of the critical job."""
        by_name = {row["config"]: row for row in rows}
        if "alone" not in by_name:
            return
        idle = 1.0 - by_name["alone"]["critical"]["p50_ms"] * 1e-3 / PERIOD_S
        self.figures["idle_share"] = round(idle, 3)
        for row in rows:
            alone = by_name.get(
                "background_alone_long" if row["background"] == "long" else "background_alone"
            )
            if alone is not None and "critical" in row and row["background"]:
                row["of_slack"] = round(row["background_per_s"] / (alone["background_per_s"] * idle), 3)


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def _tell(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.flush()
