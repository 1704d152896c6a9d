# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `admission`: what it costs to ask admission, alone and with others, and how soon one that waits is woken.

Its unit of work is one row: one configuration in processes of its own, on admission of its own in a temporary folder. The
admitted work is empty, so that only admission is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_stack_bench.benchmarks import common
from edge_stack_core.admission import AdmissionDevice, BackgroundJob, CriticalJob
from edge_stack_core.admission.page import DIRECTORY_VARIABLE

PROCESSES = (2, 4, 8, 16)
_NAME = "bench"


def measure_critical(count: int) -> dict[str, Any]:
    """Time begin() and end() of a critical job with nobody else there."""
    job = CriticalJob(_NAME, "critical", period_s=1000.0)
    samples = []
    for _ in range(count):
        start = time.perf_counter_ns()
        job.begin()
        job.end()
        samples.append(time.perf_counter_ns() - start)
    job.close()
    return _row("critical_begin_end", 1, samples)


def measure_uncontended(count: int) -> list[dict[str, Any]]:
    """Time one background job that asks, is admitted and ends; beside a critical job that has announced a far release."""
    device = AdmissionDevice(_NAME, measure="wall")
    critical, job = CriticalJob(_NAME, "critical", period_s=1000.0), BackgroundJob(device, "background")
    critical.announce(time.monotonic() + 900.0)
    asks, whole = [], []
    for _ in range(count):
        start = time.perf_counter_ns()
        with job.admitted():
            admitted = time.perf_counter_ns()
        whole.append(time.perf_counter_ns() - start)
        asks.append(admitted - start)
    critical.close()
    job.close()
    return [_row("ask_uncontended", 1, asks), _row("ask_and_end_uncontended", 1, whole)]


def measure_wake_up(count: int) -> dict[str, Any]:
    """Time from a critical job's end to the admission of one that waits in another process."""
    job = CriticalJob(AdmissionDevice(_NAME, limit=1, measure="wall"), "critical", period_s=0.5, budget_s=0.3)
    with _children(1, 1e9, 1) as (child,):
        ends = []
        for _ in range(count):
            job.begin()
            time.sleep(0.003)
            ends.append(time.monotonic_ns())
            job.end()
            time.sleep(0.002)
        job.close()
        child.terminate()
        admitted = np.array(json.loads(_output(child))["times"])
    after = np.searchsorted(admitted, ends)
    samples = [admitted[index] - end for index, end in zip(after, ends, strict=True) if index < len(admitted)]
    return _row("wake_up_after_critical", 2, samples)


def measure_waiting(seconds: float) -> dict[str, Any]:
    """Return how much processor time a job uses while it waits for one long critical inference."""
    critical, job = CriticalJob(_NAME, "critical", 3600.0, 1800.0), BackgroundJob(_NAME, "background")
    critical.begin()
    start, cpu = time.perf_counter(), time.process_time()
    with contextlib.suppress(Exception), job.admitted(expected_s=1.0, wait_s=seconds):
        pass
    share = (time.process_time() - cpu) / (time.perf_counter() - start)
    critical.end()
    critical.close()
    job.close()
    return {"config": "waiting", "processes": 1, "cpu_pct": round(100.0 * share, 3)}


def measure_contended(processes: int, limit: int, seconds: float) -> dict[str, Any]:
    """Let processes ask in a loop, as many admitted at once as the limit says."""
    with _children(processes, seconds, limit) as children:
        results = [json.loads(_output(child)) for child in children]
    samples = np.concatenate([result["delays"] for result in results])
    counts = [result["n"] for result in results]
    row = _row("contended_one_at_a_time" if limit == 1 else "contended", processes, samples)
    row["n"] = sum(counts)
    row["per_s"] = round(sum(counts) / seconds, 1)
    row["cpu_us_each"] = round(1e6 * sum(result["cpu_s"] for result in results) / max(1, sum(counts)), 2)
    row["fairness"] = round(min(counts) / max(counts), 3)
    return row


def run(seconds: float, count: int, processes: tuple[int, ...] = PROCESSES) -> list[dict[str, Any]]:
    """Measure all configurations and return the rows."""
    rows = [
        measure_critical(count),
        *measure_uncontended(count),
        measure_waiting(seconds),
        measure_wake_up(200),
    ]
    for number in processes:
        rows.append(measure_contended(number, number, seconds))
        rows.append(measure_contended(number, 1, seconds))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench admission", description=__doc__)
    common.add_output_options(parser)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="measured time of a contended row (default: 3)"
    )
    parser.add_argument(
        "--count", type=int, default=20000, help="decisions of an uncontended row (default: 20000)"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        return _child(json.loads(arguments.child))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        os.environ[DIRECTORY_VARIABLE] = folder
        rows = run(arguments.seconds, arguments.count)
    notes = [
        "contended rows: the time from asking to being admitted, waiting for others included; the admitted work is empty"
    ]
    waiting = next(row for row in rows if row["config"] == "waiting")
    notes.append(f"a job that waits uses {waiting['cpu_pct']} % of one core")
    return common.report(arguments, "admission", rows, notes)


def _row(config: str, processes: int, samples: Any) -> dict[str, Any]:
    p50, p99 = np.percentile(samples, (50, 99))
    figures = {"p50": round(float(p50)), "p99": round(float(p99)), "max": round(float(np.max(samples)))}
    return {"config": config, "processes": processes, "ns": figures, "n": len(samples)}


@contextlib.contextmanager
def _children(count: int, seconds: float, limit: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start children that have joined admission and begin together when the block is entered."""
    children = []
    try:
        for index in range(count):
            spec = json.dumps({"name": f"job {index}", "seconds": seconds, "limit": limit})
            command = [sys.executable, "-m", "edge_stack_bench.benchmarks.admission", "--child", spec]
            children.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _output(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def _child(spec: dict[str, Any]) -> int:
    """Ask in a loop until the time is over or a SIGTERM comes."""
    import signal

    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    job = BackgroundJob(AdmissionDevice(_NAME, limit=spec["limit"], measure="wall"), spec["name"])
    print("ready", flush=True)
    sys.stdin.readline()
    delays: list[int] = []
    times: list[int] = []
    cpu, until = time.process_time(), time.monotonic_ns() + int(spec["seconds"] * 1e9)
    now = 0
    while now < until and not ended:
        start = time.monotonic_ns()
        with job.admitted(deadline_s=0.01, wait_s=60.0):
            now = time.monotonic_ns()
        delays.append(now - start)
        if now - start > 500_000:
            times.append(now)
    cpu = time.process_time() - cpu
    kept = delays[:: max(1, len(delays) // 20000)]
    print(json.dumps({"n": len(delays), "delays": kept, "times": times, "cpu_s": cpu}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
