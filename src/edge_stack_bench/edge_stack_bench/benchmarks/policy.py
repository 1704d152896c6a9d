# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `policy`: SmolVLA on the CPU, LeRobot in torch against the exported graphs, part by part, time and peak memory.

Its unit of work is one policy on one engine, in a process of its own, so that its peak memory is its own. Every chunk has
new images, so nothing is reused. A tiny SmolVLA and the 450M one are built with random weights, two cameras each, and kept
in --work where it is given, for the next time; building the large one takes minutes. One thread everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.policy_child import PARTS
from edge_stack_core.errors import ConfigurationError

SIZES = {"tiny": 200, "450m": 3}
"""Chunks that are measured, by size."""
TORCH = "torch (LeRobot)"
ONNX = "ONNX Runtime"


def run(
    sizes: dict[str, int], folders: list[Path], work: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """
    Measure and return the rows.

    sizes: chunks by size, of policies that are built. folders: exported policies beside them. work: for what is built.
    """
    rows: list[dict[str, Any]] = []
    for size, count in sizes.items():
        checkpoint, exported = work / size / "checkpoint", work / size / "exported"
        if not (exported / "policy.json").is_file():
            say(f"{size}: building and exporting; the large one takes minutes")
            _child("build", size=size, checkpoint=str(checkpoint), exported=str(exported))
        for engine, folder in ((TORCH, checkpoint), (ONNX, exported)):
            say(f"{size}: {engine}")
            found = _child("torch" if engine == TORCH else "onnx", folder=str(folder), count=count)
            rows += _rows(f"smolvla {size}", engine, found, rows)
    for folder in folders:
        say(f"{folder}: {ONNX}")
        rows += _rows(folder.name, ONNX, _child("onnx", folder=str(folder), count=SIZES["tiny"]), rows)
    return rows


def _rows(
    policy: str, engine: str, found: dict[str, Any], before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row for each part. times_torch: how many times faster than torch in this run, of the middle."""
    baseline = {
        row["part"]: row["ms"]["p50"] for row in before if row["policy"] == policy and row["engine"] == TORCH
    }
    rows = []
    for part in PARTS:
        samples = np.array(found["ms"][part])
        p50, p99 = np.percentile(samples, (50, 99))
        rows.append(
            {
                "policy": policy,
                "engine": engine,
                "device": "cpu",
                "part": part,
                "ms": {
                    "p50": round(float(p50), 3),
                    "p99": round(float(p99), 3),
                    "max": round(float(samples.max()), 3),
                    "count": len(samples),
                },
                "peak_mb": round(found["peak_mb"]),
                "parity_max_abs": found["parity_max_abs"],
                "times_torch": round(baseline[part] / float(p50), 2)
                if baseline.get(part) and p50 > 0
                else None,
            }
        )
    return rows


def _child(what: str, **spec: Any) -> dict[str, Any]:
    """Run one step in a process of its own and return what it found. ConfigurationError with its last words if it fails."""
    command = [sys.executable, "-m", "edge_stack_bench.benchmarks.policy_child", what, json.dumps(spec)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(f"{what} {spec.get('folder') or spec.get('size')}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench policy", description=__doc__)
    common.add_output_options(parser)
    parser.add_argument("--quick", action="store_true", help="without the 450M policy")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep what is built there, or use what is (4 GB)"
    )
    parser.add_argument(
        "--policy",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="an exported policy to measure, too",
    )
    arguments = parser.parse_args(argv)
    sizes = {size: count for size, count in SIZES.items() if not (arguments.quick and size == "450m")}
    missing = []
    try:
        importlib.metadata.version("lerobot")
    except importlib.metadata.PackageNotFoundError:
        missing = ["torch is not measured: LeRobot is not installed (./edge setup --with lerobot)"]
        sizes = {}
        if not arguments.policy:
            print(
                "LeRobot is not installed, so no policy can be built to measure: ./edge setup --with lerobot, or name an"
                " exported one by --policy DIR",
                file=sys.stderr,
            )
            return 2
    with contextlib.ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            rows = run(sizes, arguments.policy, work, lambda text: print(text, file=sys.stderr, flush=True))
        except ConfigurationError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    notes = [*missing, "one thread; two cameras where the policy was built here; new images for every chunk"]
    return common.report(arguments, "policy", rows, notes)


if __name__ == "__main__":
    sys.exit(main())
