# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How results of benchmarks of the whole stack are shown: one function a benchmark, from its JSON to a table and a chart.

Its unit is one result, as it was written. Nothing here measures, prints or draws.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_stack_bench.benchmarks.view import (
    CONTROL_RATE_HZ,
    Bar,
    Chart,
    Panel,
    Result,
    TableView,
    TimelineChart,
    grouped,
    milliseconds,
    named,
    quantiles,
)


def stack(result: Result) -> TableView:
    """Show the demo with and without rights, idle and saturated."""
    lines, bars = [], []
    for row in result["rows"]:
        control, task = row["control"], row["task"]
        late = control["lateness_ms"]
        lines.append(
            [
                row["config"],
                row["load"],
                f"{control['rate_hz']:.2f}",
                *quantiles(late, 2),
                f"{control['max_gap_ms']:.1f}",
                control["deadline_misses"],
                control["commands"],
                f"{row['models_per_s']:.1f} of {row['models_wanted_per_s']:g}",
                f"{task['successes']} of {task['attempts']}",
                row["stolen_ms"],
            ]
        )
        remark = f"longest gap {control['max_gap_ms']:.1f} ms, {control['deadline_misses']} missed"
        bars.append(Bar(row["config"], named(late), row["load"], row["config"], row["models_per_s"], remark))
    columns = (
        "configuration", "load", "Hz", "late p50 ms", "p99 ms", "p99.9 ms", "max ms", "longest gap ms", "missed", "n",
        "inferences/s", "task", "stolen ms",
    )  # fmt: skip
    rate_hz = result.get("rate_hz", CONTROL_RATE_HZ)
    chart = Chart("lateness of the control tick, ms", grouped(bars), 1e3 / rate_hz, "period", "inferences/s")
    return TableView("The whole demo", columns, lines, chart, result["notes"])


def thermal(result: Result) -> TableView:
    """Show an hour of heat with each governor."""
    rows = result["rows"]
    columns = {
        "governor": "governor",
        "throttled_s": "throttled s",
        "control_misses": "control misses",
        "detections_per_s": "detections/s",
        "background_per_s": "background/s",
        "max_temp_c": "max C",
        "lowered_from_c": "lowered from C",
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
    return TableView(
        f"{result['seconds'] / 60.0:.0f} simulated minutes of full load in a room of {result['ambient_c']:g} C",
        tuple(columns.values()),
        [[row[name] for name in columns] for row in rows],
        TimelineChart([second / 60.0 for second in rows[0]["series"]["time_s"]], panels),
        result["notes"],
    )


def faults(result: Result) -> TableView:
    """Show what each fault did, and which limits it missed."""
    lines, bars = [], []
    for row in result["rows"]:
        task = row["task"]
        lines.append(
            [
                row["fault"],
                milliseconds(row["detected_ms"]),
                row["sign"].partition(";")[0],
                milliseconds(row.get("cooled_ms")),
                milliseconds(row["recovered_ms"]),
                f"{row['control_gap_ms']:.1f}",
                row["deadline_misses"],
                row["unsafe_commands"],
                f"{task['successes']} of {task['attempts']}",
                ", ".join(row["lost"]),
                "; ".join(row.get("over", ())),
            ]
        )
        noticed = f"noticed after {row['detected_ms']:.0f} ms" if row["detected_ms"] is not None else ""
        bars.append(Bar(row["fault"], {"max": row["control_gap_ms"]}, remark=noticed))
    columns = (
        "fault", "noticed ms", "by", "cooled ms", "well again ms", "longest gap ms", "missed", "unsafe", "task", "lost",
        "over its limit",
    )  # fmt: skip
    chart = Chart("longest time between two commands, ms", bars, 2e3 / CONTROL_RATE_HZ, "two periods")
    return TableView("Faults done to the whole demo", columns, lines, chart, result["notes"])


def offload(result: Result) -> TableView:
    """Show the policy off board, on each network."""
    lines, bars = [], []
    for row in result["rows"]:
        rtt, age = row["rtt_ms"], row["action_age_ms"]
        away = sum(share for endpoint, share in row["endpoints"].items() if "://" in endpoint)
        between = f"{row['between_successes']} of {row['between_attempts']}"
        lines.append(
            [
                row["transport"],
                row["network"],
                f"{100 * away:.0f}",
                *(milliseconds(rtt[name]) for name in ("p50", "p99")),
                f"{row['bytes'] / 1e3:.1f}",
                *(milliseconds(age[name]) for name in ("p50", "p99")),
                row["actions_late"],
                milliseconds(row["no_fresh_action_ms"]),
                row["changes"],
                f"{row['fallback_gap_ms']:.1f}",
                f"{sum(row['models_hz'].values()):.1f}",
                f"{row['successes']} of {row['attempts']}",
                percent_range(row["success_95"]),
                f"{between}, {row['not_cut']} not cut" if row["not_cut"] else between,
            ]
        )
        task = f"{row['successes']} of {row['attempts']} episodes"
        bars.append(
            Bar(row["network"], {"max": row["control_gap_ms"]}, row["transport"], "gap", 100 * away, task)
        )
    columns = (
        "transport", "network", "off board %", "rtt p50 ms", "p99 ms", "kB a chunk", "action age p50 ms", "p99 ms",
        "actions late", "without a fresh one ms", "changes", "gap at a change ms", "YOLO/s", "success", "95 %",
        "between",
    )  # fmt: skip
    chart = Chart(
        "longest time between two commands, ms",
        bars,
        2e3 / CONTROL_RATE_HZ,
        "two periods",
        "chunks off board, %",
    )
    return TableView(f"The policy {result['device']} off board", columns, lines, chart, result["notes"])


def percent_range(bounds: Sequence[float] | None) -> str:
    """Return an interval of shares in percent: "76-100 %"; nothing where there is none."""
    return f"{100 * bounds[0]:.0f}-{100 * bounds[1]:.0f} %" if bounds is not None else ""


def modes(result: Result) -> TableView:
    """Show what each switch of modes cost the commands, and how long it took."""
    lines, bars = [], []
    for row in result["rows"]:
        gap, settled = row["gap_ms"], row["settled_ms"]
        lines.append(
            [
                row["load"],
                row["switch"],
                row["n"],
                *(f"{gap[name]:.1f}" if name in gap else "" for name in ("p50", "p99", "max")),
                row["over_limit"],
                *(f"{settled[name]:.0f}" if name in settled else "" for name in ("p50", "p99", "max")),
                row["late"],
                row["refused"],
            ]
        )
        took = f"settled within {settled['max']:.0f} ms" if settled else ""
        bars.append(Bar(row["switch"], named(gap), row["load"], row["load"], remark=took))
    columns = (
        "load", "switch", "n", "gap p50 ms", "p99 ms", "max ms", "gaps over limit", "settled p50 ms", "p99 ms", "max ms",
        "late", "refused",
    )  # fmt: skip
    chart = Chart("longest time between two commands, ms", grouped(bars), result["limit_ms"], "1.5 periods")
    return TableView("Switches of modes in the whole demo", columns, lines, chart, result["notes"])
