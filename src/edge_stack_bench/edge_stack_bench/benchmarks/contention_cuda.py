# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `contention --device cuda`: the ways in which processes can share a GPU, on the same models and statistics.

Its unit of work is one row. The critical model is calibrated to a third of the period on the GPU at hand; every model is
captured as CUDA graphs. What cannot be measured here is a row with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_stack_bench.benchmarks import contention_models
from edge_stack_bench.benchmarks.contention_rows import PERIOD_S, Bench, Config
from edge_stack_inference.cuda import mps

CONFIGS = (
    Config("alone", background="", priority="stream", times=2),
    Config("background_alone", critical=False),
    Config("uncoordinated"),
    Config("priority", priority="stream"),
    Config("partition", priority="stream", partition=True),
    Config("mps", mps=True),
    Config("mps_priority", priority="stream", mps=True),
    Config("admission", priority="stream", admission="whole", times=2),
    Config("background_alone_long", critical=False, background="long"),
    Config("uncoordinated_long", background="long"),
    Config("admission_whole_long", background="long", priority="stream", admission="whole"),
    Config("admission_sliced", background="long", priority="stream", admission="sliced", times=2),
)
# Enough to saturate the GPU, where they take turns.
_SHORT_JOBS, _LONG_JOBS = 3, 1
_TIME_LIMIT_S = 300.0


def run(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str], dict[str, Any]]:
    """
    Measure, and return rows, notes and figures. arguments: of the benchmark contention.

    Raises:
        SystemExit: there is no GPU to measure on, or no such configuration; its text says what is missing.
    """
    names = [config.name for config in CONFIGS]
    wanted = arguments.configs.split(",") if arguments.configs else names
    if unknown := set(wanted) - set(names):
        raise SystemExit(f"contention --device cuda: no such configuration: {', '.join(sorted(unknown))}")
    short = arguments.background or contention_models.yolo_models()
    if not short:
        raise SystemExit(
            "contention --device cuda: no YOLO models found; name them with --background or in"
            f" {contention_models.MODELS_VARIABLE}"
        )
    with contextlib.ExitStack() as stack:
        in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=in_memory)))
        bench = CudaBench(arguments, short, folder)
        why_not, daemon = mps.missing(), {}
        if not why_not and any("mps" in name for name in wanted):
            try:
                daemon = stack.enter_context(mps.private_daemon(folder))
            except RuntimeError as error:
                why_not = str(error)
        return bench.measured([c for c in CONFIGS if c.name in wanted], daemon, why_not)


class CudaBench(Bench):
    """The measurements on one GPU. Each process opens it for itself; this one never does."""

    _device: str
    _daemon: dict[str, str]
    _no_mps: str

    def measured(
        self, configs: Sequence[Config], daemon: dict[str, str], no_mps: str
    ) -> tuple[list[dict[str, Any]], list[str], dict[str, Any]]:
        """Return rows, notes and figures. daemon: variables of processes under MPS. no_mps: why there is none."""
        self._daemon, self._no_mps = daemon, no_mps
        rows = self.rows(configs)
        if no_mps:
            rows += [{"config": config.name, "skipped": no_mps} for config in configs if config.mps]
        return rows, self.notes, self.figures

    def _make_models(self, arguments: argparse.Namespace, short: Sequence[Path]) -> None:
        size = contention_models.FOR_GPUS
        self._device = arguments.device
        first = self._time(short[0])  # before anything is written: says whether there is a GPU at all
        self.figures["gpu"] = first["gpu"]
        self._critical, figures = contention_models.policy_model(
            self._folder, arguments.critical_ms, self._ms, size
        )
        self.figures["critical_model"] = figures
        if arguments.long is None:
            self._oversize, figures = contention_models.long_model(
                self._folder, 1.5e3 * PERIOD_S, self._ms, size
            )
        else:
            # Not beside the user's file: slices are written there.
            self._oversize = self._folder / arguments.long.name
            self._oversize.write_bytes(arguments.long.read_bytes())
            figures = {"file": arguments.long.name, "ms": round(self._ms(self._oversize), 2)}
        self.figures["long_model"] = figures
        self._long_jobs = _LONG_JOBS
        self._short = [short[index % len(short)] for index in range(_SHORT_JOBS)]
        self.figures["background_models"] = [path.name for path in self._short]

    def _is_possible(self, config: Config) -> bool:
        if config.mps and self._no_mps:
            self.notes.append(f"{config.name}: skipped: {self._no_mps}")
            return False
        return True

    def _variables(self, config: Config) -> dict[str, str]:
        return self._daemon if config.mps else mps.without()

    def _specs(self, config: Config) -> list[dict[str, Any]]:
        specs = super()._specs(config)
        for spec in specs:
            urgent = spec["role"] == "critical" and config.priority == "stream"
            spec.update(
                device=self._device,
                limit=1,
                # The processor is not what is compared: the critical process gets it first in every row.
                fifo=True,
                cores=[],
                stream="high" if urgent else "low",
                partition=config.partition,
            )
        return specs

    def _ms(self, path: Path) -> float:
        return float(self._time(path)["ms"])

    def _time(self, path: Path) -> dict[str, Any]:
        """Have a process time a model."""
        spec = {
            "role": "time",
            "device": self._device,
            "model": str(path),
            "stream": "high",
            "partition": False,
        }
        command = [
            sys.executable,
            "-m",
            "edge_stack_bench.benchmarks.contention",
            "--child",
            json.dumps(spec),
        ]
        answer = subprocess.run(
            command,
            env={**os.environ, **mps.without()},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_TIME_LIMIT_S,
        )
        if answer.returncode != 0:
            raise SystemExit(f"contention --device cuda: {path.name} does not run (see above)")
        result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        if "error" in result:
            raise SystemExit(f"contention --device cuda: {result['error']}")
        if result["note"] and (note := f"{path.name}: not captured: {result['note']}") not in self.notes:
            self.notes.append(note)
        return result
