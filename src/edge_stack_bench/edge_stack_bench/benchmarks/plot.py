# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Draws a benchmark's chart into a file: percentiles of each configuration on a logarithmic scale, throughput beside it.

Its unit is one picture. Needs matplotlib, which nothing else of the stack does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edge_stack_bench.benchmarks.view import Bar, Chart, TableView, TimelineChart
from edge_stack_core.errors import ConfigurationError

# Colours that people who cannot tell red from green tell apart (Okabe and Ito, 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LIMIT_COLOUR = "#B00020"
_MARKERS = {"p50": "o", "p99": "D", "p99.9": "d", "max": "|"}
_ROW_INCHES = 0.30


def draw(view: TableView, path: Path, subtitle: str = "") -> None:
    """
    Draw a chart; the name's ending says the format.

    Raises:
        ConfigurationError: the format is not known or the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chart = view.chart
    if isinstance(chart, TimelineChart):
        figure = _timeline(pyplot, chart)
        _save(pyplot, figure, view, path, subtitle)
        return
    beside = any(bar.throughput is not None for bar in chart.bars)
    places, heads = _places(chart)
    height = _ROW_INCHES * (max(places, default=0.0) + 1.0) + 1.7
    figure, axes = pyplot.subplots(
        1,
        2 if beside else 1,
        figsize=(12.0 if beside else 9.5, height),
        sharey=True,
        squeeze=False,
        gridspec_kw={"width_ratios": (2.6, 1.0)} if beside else {},
        layout="constrained",
    )
    try:
        colours = _colours(chart)
        _draw_percentiles(axes[0][0], chart, places, colours)
        if beside:
            _draw_throughput(axes[0][1], chart, places, colours)
        _label_rows(axes[0][0], chart, places, heads)
        _legend(figure, chart)
    except ValueError as error:
        pyplot.close(figure)
        raise ConfigurationError(f"{path}: the plot cannot be written: {error}") from None
    _save(pyplot, figure, view, path, subtitle)


def _save(pyplot: Any, figure: Any, view: TableView, path: Path, subtitle: str) -> None:
    try:
        figure.suptitle(f"{view.title}\n{subtitle}" if subtitle else view.title, fontsize=11)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: the plot cannot be written: {error}") from None
    finally:
        pyplot.close(figure)


def _timeline(pyplot: Any, chart: TimelineChart) -> Any:
    """Draw panels below each other; one colour a line, named once."""
    figure, axes = pyplot.subplots(
        len(chart.panels), 1, figsize=(9.5, 2.0 * len(chart.panels) + 0.8), sharex=True, layout="constrained"
    )
    for axis, panel in zip(axes, chart.panels, strict=True):
        for colour, (name, values) in zip(_COLOURS, panel.lines.items(), strict=False):
            axis.plot(chart.time_min, values, color=colour, linewidth=1.4, label=name)
        if panel.limit is not None:
            axis.axhline(panel.limit, color=_LIMIT_COLOUR, linestyle="--", linewidth=1.0)
            axis.annotate(
                f"{panel.limit_name} {panel.limit:g}",
                (chart.time_min[0], panel.limit),
                (2, 3),
                textcoords="offset points",
                color=_LIMIT_COLOUR,
                fontsize=8,
            )
            low, high = axis.get_ylim()
            axis.set_ylim(low, max(high, panel.limit + 0.12 * (panel.limit - low)))
        axis.set_ylabel(panel.unit, fontsize=9)
        axis.grid(alpha=0.2)
    axes[0].legend(loc="lower right", ncols=len(chart.panels[0].lines), fontsize=9)
    axes[-1].set_xlabel("simulated time, min")
    return figure


def _places(chart: Chart) -> tuple[list[float], dict[str, float]]:
    """Return the height of each bar, counted from the top in rows, and that of each group's name above its bars."""
    places: list[float] = []
    heads: dict[str, float] = {}
    place = 0.0
    for bar in chart.bars:
        if bar.group and bar.group not in heads:
            place += 0.3 if heads else 0.0
            heads[bar.group] = place
            place += 1.0
        places.append(place)
        place += 1.0
    return places, heads


def _colours(chart: Chart) -> dict[str, str]:
    series = dict.fromkeys(bar.series for bar in chart.bars)
    return {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(series)}


def _draw_percentiles(axis: Any, chart: Chart, places: list[float], colours: dict[str, str]) -> None:
    axis.set_xscale("log")
    for bar, place in zip(chart.bars, places, strict=True):
        colour = colours[bar.series]
        # Zero has no place on a logarithmic scale.
        values = {
            name: value for name, value in bar.percentiles.items() if math.isfinite(value) and value > 0.0
        }
        if not values:
            continue
        axis.plot(
            [min(values.values()), max(values.values())],
            [place, place],
            color=colour,
            linewidth=1.0,
            alpha=0.6,
        )
        if "p50" in values and "p99" in values:
            ends = [values["p50"], values["p99"]]
            axis.plot(ends, [place, place], color=colour, linewidth=5.0, alpha=0.35, solid_capstyle="butt")
        for name, value in values.items():
            axis.plot(
                value,
                place,
                _MARKERS[name],
                color=colour,
                markerfacecolor=_face(name, colour),
                markersize=13 if name == "max" else 6,
            )
        axis.annotate(
            _text(values, bar),
            (max(values.values()), place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            zorder=4,
        )
    if chart.limit is not None:
        axis.axvline(chart.limit, color=_LIMIT_COLOUR, linestyle="--", linewidth=1.2)
        axis.annotate(
            f" {chart.limit_name} {chart.limit:.3g}",
            (chart.limit, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=_LIMIT_COLOUR,
            fontsize=8,
        )
    low, high = axis.get_xlim()
    axis.set_xlim(low, high * (high / low) ** 0.2)  # room for the texts
    axis.xaxis.set_major_formatter("{x:g}")
    # Within one power of ten there are too few lines with a number at powers of ten only.
    axis.xaxis.set_minor_formatter("{x:g}" if high < 20.0 * low else "")
    axis.set_xlabel(f"{chart.unit} (logarithmic)")
    axis.grid(axis="x", which="both", alpha=0.2)


def _text(values: dict[str, float], bar: Bar) -> str:
    text = f"p99 {_number(values['p99'])}" if "p99" in values else ""
    return ", ".join(part for part in (text, bar.remark) if part)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000.0 else f"{value:.3g}"


def _legend(figure: Any, chart: Chart) -> None:
    from matplotlib.lines import Line2D

    used = {name for bar in chart.bars for name in bar.percentiles}
    handles = [
        Line2D(
            [],
            [],
            color="#444444",
            marker=marker,
            linestyle="none",
            label=name,
            markerfacecolor=_face(name, "#444444"),
        )
        for name, marker in _MARKERS.items()
        if name in used
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=8, frameon=False)


def _face(name: str, colour: str) -> str:
    return colour if name in ("p50", "p99") else "none"


def _draw_throughput(axis: Any, chart: Chart, places: list[float], colours: dict[str, str]) -> None:
    highest = max((bar.throughput for bar in chart.bars if bar.throughput is not None), default=1.0)
    for bar, place in zip(chart.bars, places, strict=True):
        if bar.throughput is not None:
            axis.barh(place, bar.throughput, height=0.6, color=colours[bar.series], alpha=0.6)
            axis.annotate(
                _number(bar.throughput),
                (bar.throughput, place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    axis.set_xlim(0.0, 1.25 * highest or 1.0)
    axis.set_xlabel(chart.throughput)
    axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="x", alpha=0.2)
    axis.tick_params(axis="y", length=0)


def _label_rows(axis: Any, chart: Chart, places: list[float], heads: dict[str, float]) -> None:
    ticks = sorted(
        [
            *zip(places, (bar.label for bar in chart.bars), strict=True),
            *((y, name) for name, y in heads.items()),
        ]
    )
    axis.set_yticks([place for place, _ in ticks], [label for _, label in ticks], fontsize=9)
    for label in axis.get_yticklabels():
        if label.get_text() in heads:
            label.set_fontweight("bold")
    axis.set_ylim(max(places, default=0.0) + 0.7, -0.7)
    axis.tick_params(axis="y", length=0)
