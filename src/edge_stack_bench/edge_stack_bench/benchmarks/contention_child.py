# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One process of the contention benchmark: the critical inference on its grid, or a background inference in a loop.

Its unit of work is one row of one round. It reads what to do from its arguments and when to do it from its input, and prints
what it measured.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from edge_stack_bench.benchmarks.contention_models import feeds_of
from edge_stack_core.admission import AdmissionDevice, BackgroundJob, CriticalJob, Refused
from edge_stack_core.admission.status import read_status
from edge_stack_core.runtime import process
from edge_stack_core.runtime.linux import AbsoluteSleeper
from edge_stack_inference.splitting import SlicedModel
from edge_stack_inference.splitting.build import open_session

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


def main(spec: dict[str, Any]) -> int:
    """Do what the benchmark asks of one process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if spec["role"] == "time":
        from edge_stack_bench.benchmarks import contention_gpu

        print(json.dumps(contention_gpu.time_model(spec)), flush=True)
        return 0
    # Admission's folder is the benchmark's own.
    name = spec["device"]
    device = AdmissionDevice(name, limit=spec["limit"], co_run=spec["beside"]) if spec["admission"] else None
    work = _critical if spec["role"] == "critical" else _background
    result = work(spec, device)
    print(json.dumps(result), flush=True)
    return 0


class ContendingModel(Protocol):
    """What the processes run again and again."""

    def run(self, job: BackgroundJob | None = None) -> None:
        """Run one inference, in slices if it is cut; each is admitted if there is a job. Raises Refused."""

    def prime(self, job: BackgroundJob) -> None:
        """Tell a job how long the slices take."""


class _ModelOnCores:
    def __init__(self, spec: dict[str, Any]) -> None:
        path = Path(spec["model"])
        self._whole = open_session(path, 1)
        self._feeds = feeds_of(self._whole)
        self._sliced_model = SlicedModel.open(path, max_ms=spec["slice_ms"]) if _is_sliced(spec) else None

    def run(self, job: BackgroundJob | None = None) -> None:
        if self._sliced_model:
            self._sliced_model.run(self._feeds, job)
        elif job:
            with job.admitted():
                self._whole.run(None, self._feeds)
        else:
            self._whole.run(None, self._feeds)

    def prime(self, job: BackgroundJob) -> None:
        if self._sliced_model:
            self._sliced_model.prime(job)


def _is_sliced(spec: dict[str, Any]) -> bool:
    return bool(spec["admission"] == "sliced" and spec["role"] == "background")


def _open_model(spec: dict[str, Any]) -> ContendingModel:
    if spec["device"] == "cpu":
        return _ModelOnCores(spec)
    from edge_stack_bench.benchmarks import contention_gpu

    return contention_gpu.ModelOnGpu(spec, spec["slice_ms"] if _is_sliced(spec) else 0.0)


def _settings(spec: dict[str, Any]) -> list[str]:
    fifo = spec["fifo"] and spec["role"] == "critical"
    realtime = process.rights().realtime
    return process.apply_process_settings(
        process.ProcessSettings(
            cpu_affinity=tuple(spec["cores"]),
            scheduling_policy="fifo" if fifo and realtime else None,
            scheduling_priority=50,
            nice=spec["nice"],
        )
    )


def _begin(spec: dict[str, Any]) -> tuple[int, int, list[str]]:
    """Say that this process is ready and learn when to begin and end, monotonic ns."""
    notes = _settings(spec)
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    start, end = (int(word) for word in sys.stdin.readline().split())
    return start, end, notes


def _critical(spec: dict[str, Any], device: AdmissionDevice | None) -> dict[str, Any]:
    model = _open_model(spec)
    for _ in range(5):
        model.run()
    period = round(spec["period_s"] * 1e9)
    job = CriticalJob(device, "policy", spec["period_s"]) if device else None
    sleeper = AbsoluteSleeper()
    release, end, notes = _begin(spec)
    latencies: list[int] = []
    misses = 0
    if job:
        job.announce(release * 1e-9)
    while release < end:
        sleeper.sleep_until(release)
        if job:
            job.begin()
        model.run()
        if job:
            job.end()
        done = time.monotonic_ns()
        latencies.append(done - release)
        # A miss: it ended after its period, or was skipped since the one before was not over.
        periods = (done - release) // period
        misses += periods
        release += (periods + 1) * period
    disturbed = 0
    if job:
        job.withdraw()
        disturbed = read_status(spec["device"]).critical[0].disturbed
    return {
        "role": "critical",
        "latencies_ms": [round(latency * 1e-6, 4) for latency in latencies],
        "misses": misses,
        "n": len(latencies),
        "disturbed": disturbed,
        "notes": notes,
    }


def _background(spec: dict[str, Any], device: AdmissionDevice | None) -> dict[str, Any]:
    model = _open_model(spec)
    policy = "split" if _is_sliced(spec) else "refuse"
    job = BackgroundJob(device, spec["name"], policy) if device else None
    for _ in range(3):
        model.run()
    if job:
        model.prime(job)
    start, end, notes = _begin(spec)
    AbsoluteSleeper().sleep_until(start)
    cpu_s = time.process_time()
    count = refused = 0
    while True:
        try:
            model.run(job)
        except Refused as refusal:
            refused += 1
            if refusal.reason != "timeout":
                time.sleep(0.05)
        else:
            if time.monotonic_ns() <= end:
                count += 1
        if time.monotonic_ns() >= end:
            break
    cpu_s = time.process_time() - cpu_s
    result = {
        "role": "background",
        "name": spec["name"],
        "n": count,
        "refused": refused,
        "notes": notes,
        "cpu_s": cpu_s,
    }
    if job:
        status = next(one for one in read_status(spec["device"]).background if one.name == spec["name"])
        result["admission"] = {
            "expected_ms": status.expected_ms,
            "shared_ms": status.shared_ms,
            "delayed": status.delayed,
            "delay_p50_ms": status.delay_p50_ms,
            "delay_p99_ms": status.delay_p99_ms,
            "overran": status.overran,
            "overlapped": status.overlapped,
        }
    return result
