# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How each benchmark's result is shown: one small function a benchmark, from its JSON to a table and a chart.

Its unit is one result, as it was written, so that a saved one is shown exactly as a fresh one. Nothing here measures, prints
or draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_stack.errors import ConfigurationError

Result = Mapping[str, Any]
CONTROL_RATE_HZ = 24.0
PERCENTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}


@dataclass(frozen=True)
class Bar:
    """
    One configuration in a chart.

    percentiles: from "p50" to "max", in the chart's unit, of those that were measured. group: bars of one group stand
    together under its name. series: bars of one series have one colour. throughput: drawn beside; None: there is none.
    """

    label: str
    percentiles: Mapping[str, float]
    group: str = ""
    series: str = ""
    throughput: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Chart:
    """Bars on a logarithmic scale. limit: a line that they should stay left of, and its name."""

    unit: str
    bars: Sequence[Bar]
    limit: float | None = None
    limit_name: str = ""
    throughput: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines over time, by name. limit: a line that they should stay below, and its name."""

    unit: str
    lines: Mapping[str, Sequence[float]]
    limit: float | None = None
    limit_name: str = ""


@dataclass(frozen=True)
class Timeline:
    """Panels below each other, over one time axis, min."""

    time_min: Sequence[float]
    panels: Sequence[Panel]


@dataclass(frozen=True)
class View:
    """A result as a table (columns, lines) and a chart."""

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[Any]]
    chart: Chart | Timeline
    notes: Sequence[str] = field(default=())


def view_of(result: Result) -> View:
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


def _tick(result: Result) -> View:
    rows = result["rows"]
    lines = [
        [
            row["config"],
            row["load"],
            *_quantiles(row["lateness_ms"], 3),
            row["n"],
            row["skipped"],
            row["stolen_ms"],
        ]
        for row in rows
    ]
    bars = [Bar(row["config"], _named(row["lateness_ms"]), row["load"], row["config"]) for row in rows]
    return View(
        f"Lateness of a {result['rate_hz']:g} Hz tick",
        ("configuration", "load", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "n", "skipped", "stolen ms"),
        lines,
        Chart("lateness, ms", _grouped(bars), 1e3 / result["rate_hz"], "period"),
        result["notes"],
    )


def _stack(result: Result) -> View:
    lines, bars = [], []
    for row in result["rows"]:
        control, task = row["control"], row["task"]
        late = control["lateness_ms"]
        lines.append(
            [
                row["config"],
                row["load"],
                f"{control['rate_hz']:.2f}",
                *_quantiles(late, 2),
                f"{control['max_gap_ms']:.1f}",
                control["deadline_misses"],
                control["commands"],
                f"{row['models_per_s']:.1f} of {row['models_wanted_per_s']:g}",
                f"{task['successes']} of {task['attempts']}",
                row["stolen_ms"],
            ]
        )
        remark = f"longest gap {control['max_gap_ms']:.1f} ms, {control['deadline_misses']} missed"
        bars.append(Bar(row["config"], _named(late), row["load"], row["config"], row["models_per_s"], remark))
    columns = (
        "configuration", "load", "Hz", "late p50 ms", "p99 ms", "p99.9 ms", "max ms", "longest gap ms", "missed", "n",
        "inferences/s", "task", "stolen ms",
    )  # fmt: skip
    rate_hz = result.get("rate_hz", CONTROL_RATE_HZ)
    chart = Chart("lateness of the control tick, ms", _grouped(bars), 1e3 / rate_hz, "period", "inferences/s")
    return View("The whole demo", columns, lines, chart, result["notes"])


def _contention(result: Result) -> View:
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
        series = next((name for name in ("gate", "alone") if row["config"].startswith(name)), "other")
        misses = critical.get("misses", 0)
        bars.append(
            Bar(row["config"], percentiles, group, series, beside, f"{misses} missed" if misses else "")
        )
    beside_name = "background, % of the slack" if shares else "background inferences/s"
    return View(
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
        Chart("critical inference, ms", _grouped(bars), 1e3 / rate_hz, "deadline", beside_name),
        result["notes"],
    )


def _gate(result: Result) -> View:
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
    return View(
        "Asking the admission gate",
        ("configuration", "processes", "p50 us", "p99 us", "max us", "admitted/s", "CPU us each", "n"),
        lines,
        Chart("from asking to being admitted, us", _grouped(bars), throughput="admitted/s"),
        result["notes"],
    )


def _transport(result: Result) -> View:
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
    return View(
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
        Chart("latency, ms", _grouped(bars), throughput="CPU of all processes, % of one core"),
        result["notes"],
    )


def _thermal(result: Result) -> View:
    rows = result["rows"]
    columns = {
        "governor": "governor",
        "throttled_s": "throttled s",
        "control_misses": "control misses",
        "detections_per_s": "detections/s",
        "background_per_s": "background/s",
        "max_temp_c": "max C",
        "mean_power_w": "mean W",
        "rate_changes": "rate changes",
        "most_rate_changes_per_minute": "most a minute",
    }

    def lines(name: str) -> dict[str, Sequence[float]]:
        return {row["governor"]: row["series"][name] for row in rows}

    panels = [
        Panel("hottest zone, C", lines("temperature_c"), result["throttle_c"], "throttles"),
        Panel("GPU clock, MHz (20 s mean)", lines("gpu_mhz")),
        Panel("background, inferences/s", lines("background_hz")),
        Panel("control deadlines missed", lines("control_misses")),
    ]
    return View(
        f"{result['seconds'] / 60.0:.0f} simulated minutes of full load in a room of {result['ambient_c']:g} C",
        tuple(columns.values()),
        [[row[name] for name in columns] for row in rows],
        Timeline([second / 60.0 for second in rows[0]["series"]["time_s"]], panels),
        result["notes"],
    )


def _faults(result: Result) -> View:
    lines, bars = [], []
    for row in result["rows"]:
        task = row["task"]
        lines.append(
            [
                row["fault"],
                _milliseconds(row["detected_ms"]),
                row["sign"].partition(";")[0],
                _milliseconds(row["recovered_ms"]),
                f"{row['control_gap_ms']:.1f}",
                row["deadline_misses"],
                row["unsafe_commands"],
                f"{task['successes']} of {task['attempts']}",
                ", ".join(row["lost"]),
            ]
        )
        noticed = f"noticed after {row['detected_ms']:.0f} ms" if row["detected_ms"] is not None else ""
        bars.append(Bar(row["fault"], {"max": row["control_gap_ms"]}, remark=noticed))
    columns = (
        "fault", "noticed ms", "by", "well again ms", "longest gap ms", "missed", "unsafe", "task", "lost",
    )  # fmt: skip
    chart = Chart("longest time between two commands, ms", bars, 2e3 / CONTROL_RATE_HZ, "two periods")
    return View("Faults done to the whole demo", columns, lines, chart, result["notes"])


def _offload(result: Result) -> View:
    lines, bars = [], []
    for row in result["rows"]:
        rtt, age = row["rtt_ms"], row["action_age_ms"]
        away = sum(share for place, share in row["places"].items() if "://" in place)
        lines.append(
            [
                row["transport"],
                row["network"],
                f"{100 * away:.0f}",
                *(_milliseconds(rtt[name]) for name in ("p50", "p99")),
                f"{row['bytes'] / 1e3:.1f}",
                *(_milliseconds(age[name]) for name in ("p50", "p99")),
                row["actions_late"],
                _milliseconds(row["no_fresh_action_ms"]),
                row["changes"],
                f"{row['fallback_gap_ms']:.1f}",
                f"{row['successes']} of {row['attempts']}",
            ]
        )
        task = f"{row['successes']} of {row['attempts']} episodes"
        bars.append(
            Bar(row["network"], {"max": row["control_gap_ms"]}, row["transport"], "gap", 100 * away, task)
        )
    columns = (
        "transport", "network", "off board %", "rtt p50 ms", "p99 ms", "kB a chunk", "action age p50 ms", "p99 ms",
        "actions late", "without a fresh one ms", "changes", "gap at a change ms", "episodes",
    )  # fmt: skip
    chart = Chart(
        "longest time between two commands, ms",
        bars,
        2e3 / CONTROL_RATE_HZ,
        "two periods",
        "chunks off board, %",
    )
    return View(f"The policy {result['device']} off board", columns, lines, chart, result["notes"])


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _policy(result: Result) -> View:
    lines, bars = [], []
    for row in result["rows"]:
        ms, parity, times = row["ms"], row["parity_max_abs"], row["times_torch"]
        lines.append(
            [
                row["policy"],
                row["backend"],
                row["part"],
                *(f"{ms[name]:.1f}" for name in ("p50", "p99", "max")),
                ms["count"],
                "" if times is None else f"{times:.1f}",
                row["peak_mb"],
                "" if parity is None else f"{parity:.1g}",
            ]
        )
        if row["part"] == "all":
            bars.append(Bar(row["backend"], _named(ms), row["policy"], row["backend"]))
    columns = (
        "policy",
        "backend",
        "part",
        "p50 ms",
        "p99 ms",
        "max ms",
        "n",
        "times torch",
        "peak MB",
        "parity",
    )
    chart = Chart("ms a chunk", bars, 1e3 / CONTROL_RATE_HZ, "one control period")
    return View("SmolVLA, one chunk on one core", columns, lines, chart, result["notes"])


_VIEWS: dict[str, Callable[[Result], View]] = {
    "tick": _tick,
    "stack": _stack,
    "contention": _contention,
    "gate": _gate,
    "transport": _transport,
    "thermal": _thermal,
    "faults": _faults,
    "offload": _offload,
    "policy": _policy,
}


def _grouped(bars: Sequence[Bar]) -> list[Bar]:
    """Bring the bars of a group together, groups in the order in which they first appear."""
    order = list(dict.fromkeys(bar.group for bar in bars))
    return sorted(bars, key=lambda bar: order.index(bar.group))


def _named(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {label: value for name, label in PERCENTILES.items() if (value := figures.get(name)) is not None}


def _quantiles(figures: Mapping[str, float], digits: int) -> list[str]:
    return [f"{figures[name]:.{digits}f}" if name in figures else "" for name in PERCENTILES]
