# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How each benchmark's result is shown: one small function a benchmark, from its JSON to a table and a chart.

Its unit is one result, as it was written, so that a saved one is shown exactly as a fresh one. Nothing here measures, prints
or draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_stack_bench.benchmarks import views_stack
from edge_stack_bench.benchmarks.view import (
    CONTROL_RATE_HZ,
    Bar,
    Chart,
    Result,
    TableView,
    grouped,
    named,
    quantiles,
)
from edge_stack_core.errors import ConfigurationError


def view_of(result: Result) -> TableView:
    """
    Return how a result is shown.

    Raises:
        ConfigurationError: it is of a benchmark that is not known here.
    """
    if result["bench"] not in _VIEWS:
        raise ConfigurationError(
            f"benchmark {result['bench']}: not known; results of {', '.join(_VIEWS)} can be shown"
        )
    return _VIEWS[result["bench"]](result)


def _tick(result: Result) -> TableView:
    rows = result["rows"]
    lines = [
        [
            row["config"],
            row["load"],
            *quantiles(row["lateness_ms"], 3),
            row["n"],
            row["skipped"],
            row["stolen_ms"],
        ]
        for row in rows
    ]
    bars = [Bar(row["config"], named(row["lateness_ms"]), row["load"], row["config"]) for row in rows]
    return TableView(
        f"Lateness of a {result['rate_hz']:g} Hz tick",
        ("configuration", "load", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "n", "skipped", "stolen ms"),
        lines,
        Chart("lateness, ms", grouped(bars), 1e3 / result["rate_hz"], "period"),
        result["notes"],
    )


def _contention(result: Result) -> TableView:
    rate_hz = result.get("rate_hz", CONTROL_RATE_HZ)
    shares = any("of_slack" in row for row in result["rows"])
    names = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9", "max_ms": "max"}
    lines, bars = [], []
    for row in result["rows"]:
        critical, per_s, share = row.get("critical", {}), row.get("background_per_s"), row.get("of_slack")
        lines.append(
            [
                row["config"],
                *(f"{critical[name]:.1f}" if name in critical else "" for name in names),
                critical.get("misses", ""),
                critical.get("n", ""),
                "" if per_s is None else f"{per_s:.1f}",
                "" if share is None else f"{share:.2f}",
            ]
        )
        percentiles = {label: critical[name] for name, label in names.items() if name in critical}
        beside = per_s if not shares else None if share is None else 100.0 * share
        if not percentiles and beside is None:
            continue  # the background alone is what the shares are of
        long = row.get("background") == "long" or row["config"].endswith("_long")
        group = "models longer than the slack" if long else "short background models"
        series = next((name for name in ("admission", "alone") if row["config"].startswith(name)), "other")
        misses = critical.get("misses", 0)
        bars.append(
            Bar(row["config"], percentiles, group, series, beside, f"{misses} missed" if misses else "")
        )
    beside_name = "background, % of the slack" if shares else "background inferences/s"
    return TableView(
        f"A critical inference at {rate_hz:g} Hz against background inferences ({result['device']})",
        (
            "configuration",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "missed",
            "n",
            "background/s",
            "of the slack",
        ),
        lines,
        Chart("critical inference, ms", grouped(bars), 1e3 / rate_hz, "deadline", beside_name),
        result["notes"],
    )


def _admission(result: Result) -> TableView:
    rows = [row for row in result["rows"] if "ns" in row]
    lines, bars = [], []
    for row in rows:
        micro = {name: row["ns"][name] / 1000.0 for name in ("p50", "p99", "max")}
        per_s = row.get("per_s")
        lines.append(
            [
                row["config"],
                row["processes"],
                *(f"{value:.1f}" for value in micro.values()),
                "" if per_s is None else f"{per_s:.0f}",
                row.get("cpu_us_each", ""),
                row["n"],
            ]
        )
        contended = row["config"].startswith("contended")
        label = f"{row['processes']} processes" if contended else row["config"]
        group = row["config"] if contended else "one decision"
        bars.append(Bar(label, micro, group, group, per_s))
    bars.sort(
        key=lambda bar: (
            ("one decision", "contended").index(bar.group)
            if bar.group in ("one decision", "contended")
            else 2
        )
    )
    return TableView(
        "Asking admission",
        ("configuration", "processes", "p50 us", "p99 us", "max us", "admitted/s", "CPU us each", "n"),
        lines,
        Chart("from asking to being admitted, us", grouped(bars), throughput="admitted/s"),
        result["notes"],
    )


def _transport(result: Result) -> TableView:
    lines, bars = [], []
    for row in result["rows"]:
        latency = {name: value for name, value in row["latency_ms"].items() if value is not None}
        lines.append(
            [
                row["size"],
                row["fanout"],
                row["config"],
                row["sent"],
                row["received"],
                *(f"{latency[name]:.2f}" if name in latency else "" for name in ("p50", "p99", "max")),
                f"{row['cpu_pct']:.0f}",
                f"{row['memcpy_ms']:.3f}",
            ]
        )
        lost = row["sent"] - row["received"]
        group = f"{row['size']} to {row['fanout']}"
        remark = f"{lost} of {row['sent']} lost" if lost else ""
        bars.append(Bar(row["config"], latency, group, row["config"], row["cpu_pct"], remark))
    return TableView(
        "Frames from one process to others",
        (
            "size",
            "subscribers",
            "configuration",
            "sent",
            "received",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU %",
            "memcpy ms",
        ),
        lines,
        Chart("latency, ms", grouped(bars), throughput="CPU of all processes, % of one core"),
        result["notes"],
    )


def _policy(result: Result) -> TableView:
    lines: list[list[Any]] = []
    bars: list[tuple[int, Bar]] = []
    parts = list(dict.fromkeys(row["part"] for row in result["rows"]))
    for row in result["rows"]:
        ms, parity, times = row["ms"], row["parity_max_abs"], row["times_torch"]
        lines.append(
            [
                row["policy"],
                row["engine"],
                row["part"],
                *(f"{ms[name]:.1f}" for name in ("p50", "p99", "max")),
                ms["count"],
                "" if times is None else f"{times:.1f}",
                row["peak_mb"],
                "" if parity is None else f"{parity:.1g}",
            ]
        )
        # Part by part, the engines of each below one another; memory is that of a whole process, so drawn once for each.
        peak_mb = row["peak_mb"] if row["part"] == "all" else None
        bar = Bar(f"{row['part']}: {row['engine']}", named(ms), row["policy"], row["engine"], peak_mb)
        bars.append((parts.index(row["part"]), bar))
    columns = (
        "policy",
        "engine",
        "part",
        "p50 ms",
        "p99 ms",
        "max ms",
        "n",
        "times torch",
        "peak MB",
        "parity",
    )
    ordered = grouped([bar for _, bar in sorted(bars, key=lambda entry: entry[0])])
    period_ms = 1e3 / CONTROL_RATE_HZ
    chart = Chart("ms a chunk", ordered, period_ms, "one control period", "peak memory of the process, MB")
    return TableView("SmolVLA, one chunk on one core", columns, lines, chart, result["notes"])


_VIEWS: dict[str, Callable[[Result], TableView]] = {
    "tick": _tick,
    "stack": views_stack.stack,
    "contention": _contention,
    "admission": _admission,
    "transport": _transport,
    "thermal": views_stack.thermal,
    "faults": views_stack.faults,
    "modes": views_stack.modes,
    "offload": views_stack.offload,
    "policy": _policy,
}
