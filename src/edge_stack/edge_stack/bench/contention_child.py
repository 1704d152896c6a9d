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
from typing import Any

from edge_stack.bench.contention_models import feeds_of
from edge_stack.gate import Accelerator, BackgroundJob, CriticalJob, Refused
from edge_stack.gate.status import read_status
from edge_stack.runtime import process
from edge_stack.runtime.linux import AbsoluteSleeper
from edge_stack.segmentation import SegmentedModel
from edge_stack.segmentation.build import open_session

# The accelerator of the processor cores; the gate's folder is the benchmark's own.
_NAME = "cpu"
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


def main(spec: dict[str, Any]) -> int:
    """Do what the benchmark asks of one process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    accelerator = Accelerator(_NAME, limit=spec["limit"], beside=spec["beside"]) if spec["gate"] else None
    work = _critical if spec["role"] == "critical" else _background
    result = work(spec, accelerator)
    print(json.dumps(result), flush=True)
    return 0


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


def _critical(spec: dict[str, Any], accelerator: Accelerator | None) -> dict[str, Any]:
    session = open_session(Path(spec["model"]), 1)
    feeds = feeds_of(session)
    for _ in range(5):
        session.run(None, feeds)
    period = round(spec["period_s"] * 1e9)
    job = CriticalJob(accelerator, "policy", spec["period_s"]) if accelerator else None
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
        session.run(None, feeds)
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
        disturbed = read_status(_NAME).critical[0].disturbed
    return {
        "role": "critical",
        "latencies_ms": [round(latency * 1e-6, 4) for latency in latencies],
        "misses": misses,
        "n": len(latencies),
        "disturbed": disturbed,
        "notes": notes,
    }


def _background(spec: dict[str, Any], accelerator: Accelerator | None) -> dict[str, Any]:
    path = Path(spec["model"])
    whole = open_session(path, 1)
    feeds = feeds_of(whole)
    segmented = SegmentedModel.open(path, max_ms=spec["segment_ms"]) if spec["gate"] == "segmented" else None
    policy = "split" if segmented else "refuse"
    job = BackgroundJob(accelerator, spec["name"], policy) if accelerator else None
    for _ in range(3):
        (segmented.run(feeds) if segmented else whole.run(None, feeds))
    if segmented and job:
        segmented.prime(job)
    start, end, notes = _begin(spec)
    AbsoluteSleeper().sleep_until(start)
    cpu_s = time.process_time()
    count = refused = 0
    while True:
        try:
            if segmented:
                segmented.run(feeds, job)
            elif job:
                with job.admitted():
                    whole.run(None, feeds)
            else:
                whole.run(None, feeds)
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
        status = next(one for one in read_status(_NAME).background if one.name == spec["name"])
        result["gate"] = {
            "expected_ms": status.expected_ms,
            "shared_ms": status.shared_ms,
            "delayed": status.delayed,
            "delay_p50_ms": status.delay_p50_ms,
            "delay_p99_ms": status.delay_p99_ms,
            "overran": status.overran,
            "overlapped": status.overlapped,
        }
    return result
