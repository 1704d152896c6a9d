# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a benchmark's result looks like: a table and a chart, as plain values.

Its unit is one view. Nothing here knows a benchmark; nothing measures, prints or draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
class TimelineChart:
    """Panels below each other, over one time axis, min."""

    time_min: Sequence[float]
    panels: Sequence[Panel]


@dataclass(frozen=True)
class TableView:
    """A result as a table (columns, lines) and a chart."""

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[Any]]
    chart: Chart | TimelineChart
    notes: Sequence[str] = field(default=())


def grouped(bars: Sequence[Bar]) -> list[Bar]:
    """Bring the bars of a group together, groups in the order in which they first appear."""
    order = list(dict.fromkeys(bar.group for bar in bars))
    return sorted(bars, key=lambda bar: order.index(bar.group))


def named(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Return the figures that are known, by the names that a chart has for them."""
    return {label: value for name, label in PERCENTILES.items() if (value := figures.get(name)) is not None}


def quantiles(figures: Mapping[str, float], digits: int) -> list[str]:
    """Return a cell for each percentile; empty where it is not known."""
    return [f"{figures[name]:.{digits}f}" if name in figures else "" for name in PERCENTILES]


def milliseconds(value: float | None) -> str:
    """Return a cell of whole milliseconds; empty where there is none."""
    return "" if value is None else f"{value:.0f}"
