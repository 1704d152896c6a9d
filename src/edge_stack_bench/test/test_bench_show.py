# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's result is shown as a table, as Markdown, in the documentation and as a plot, fresh or from its file."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_stack_bench.benchmarks import common, show
from edge_stack_bench.benchmarks.views import view_of

LATENESS = {"p50": 0.05, "p99": 0.11, "p999": 0.2, "max": 0.3}
CONTROL = {
    "rate_hz": 24.0,
    "lateness_ms": LATENESS,
    "max_gap_ms": 42.0,
    "commands": 1440,
    "deadline_misses": 0,
}
CRITICAL = {"p50_ms": 14.0, "p99_ms": 16.0, "p999_ms": 17.0, "max_ms": 17.5, "misses": 0, "n": 384}
# One row of each kind, as the benchmarks write them.
ROWS: dict[str, list[dict[str, Any]]] = {
    "tick": [
        {
            "config": "control_thread",
            "load": "idle",
            "lateness_ms": LATENESS,
            "n": 720,
            "skipped": 0,
            "stolen_ms": 20,
        }
    ],
    "stack": [
        {
            "config": "with_rights",
            "load": "saturated",
            "control": CONTROL,
            "stolen_ms": 20,
            "models_per_s": 24.9,
            "models_wanted_per_s": 25.0,
            "task": {"successes": 4, "attempts": 4},
        }
    ],
    "contention": [
        {"config": "alone", "background": "", "critical": CRITICAL},
        {"config": "background_alone", "background": "short", "background_per_s": 100.0},
        {
            "config": "admission",
            "background": "short",
            "critical": CRITICAL,
            "background_per_s": 70.0,
            "of_slack": 1.0,
        },
        {
            "config": "admission_sliced",
            "background": "long",
            "critical": {**CRITICAL, "misses": 2},
            "background_per_s": 9.0,
        },
    ],
    "admission": [
        {
            "config": "ask_uncontended",
            "processes": 1,
            "ns": {"p50": 5700, "p99": 12300, "max": 280800},
            "n": 20000,
        },
        {
            "config": "contended",
            "processes": 2,
            "ns": {"p50": 10700, "p99": 60600, "max": 4031400},
            "n": 9,
            "per_s": 1000.0,
            "cpu_us_each": 9.5,
        },
        {"config": "waiting", "processes": 1, "cpu_pct": 0.6},
    ],
    "transport": [
        {
            "size": "640x480",
            "fanout": 1,
            "config": "ros_default",
            "sent": 120,
            "received": 0,
            "latency_ms": {"p50": None, "p99": None, "max": None},
            "cpu_pct": 9.0,
            "memcpy_ms": 0.014,
        },
        {
            "size": "640x480",
            "fanout": 1,
            "config": "edge_stack",
            "sent": 120,
            "received": 120,
            "latency_ms": {"p50": 1.0, "p99": 2.0, "max": 3.0},
            "cpu_pct": 6.0,
            "memcpy_ms": 0.014,
        },
    ],
}


def saved(folder: Path, bench: str) -> Path:
    path = folder / f"{bench}.json"
    more = {"device": "cpu"} if bench == "contention" else {}
    common.write_json(path, bench, ROWS[bench], ["a note"], rate_hz=24.0, **more)
    return path


@pytest.mark.parametrize("bench", ROWS)
def test_a_saved_result_is_drawn_and_shown(
    bench: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "plot.png"
    assert show.main([str(saved(tmp_path, bench)), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "a note" in out
    assert all(row["config"] in out for row in ROWS[bench] if row["config"] != "waiting")


@pytest.mark.parametrize("bench", ROWS)
def test_every_line_of_a_view_has_a_cell_for_every_column(bench: str, tmp_path: Path) -> None:
    view = view_of(json.loads(saved(tmp_path, bench).read_text(encoding="utf-8")))
    assert view.lines
    assert all(len(line) == len(view.columns) for line in view.lines)


def test_bars_of_a_group_stand_together(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    (row,) = ROWS["stack"]
    rows = [
        {**row, "config": config, "load": load}
        for config in ("with_rights", "without_rights")
        for load in ("idle", "saturated")
    ]
    bars = view_of(common.write_json(path, "stack", rows)).chart.bars
    assert [bar.group for bar in bars] == ["idle", "idle", "saturated", "saturated"]


def test_a_table_in_the_documentation_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- bench tick -->\nold\n<!-- end -->\nafter\n<!-- bench admission -->\nkept\n<!-- end -->\n"
    )
    for _ in range(2):
        assert show.main([str(saved(tmp_path, "tick")), "--into", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "| control_thread | idle | 0.050 |" in text
    assert "old" not in text
    assert text.startswith("before\n") and "after\n<!-- bench admission -->\nkept\n" in text
    assert text.count("control_thread") == 1


@pytest.mark.parametrize(
    ("text", "reason"), [("", "not JSON"), ("[1]", "not the result"), ("{}", "not the result")]
)
def test_a_file_that_is_no_result_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    assert show.main([str(path)]) == 1
    assert reason in capsys.readouterr().err
    assert show.main([str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err


def test_a_page_without_a_place_for_the_table_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    assert show.main([str(saved(tmp_path, "admission")), "--into", str(page)]) == 1
    assert "<!-- bench admission -->" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "reason"), [("plot.txt", ".png"), ("none/plot.png", "no such folder")])
def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    common.add_output_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--plot", str(tmp_path / name)])
    assert reason in capsys.readouterr().err


def test_without_matplotlib_a_plot_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    parser = argparse.ArgumentParser()
    common.add_output_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--plot", str(tmp_path / "plot.png")])
    assert "pip install matplotlib" in capsys.readouterr().err
