# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of a node: rates, latencies and counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.node_statistics import LatencyWindow, NodeStatistics, RateMeter


@given(rate_hz=st.floats(0.5, 100.0), count=st.integers(10, 200))
def test_a_steady_stream_has_its_rate(rate_hz: float, count: int) -> None:
    meter = RateMeter(window_s=1e6)
    for i in range(count):
        meter.tick(i / rate_hz)
    assert meter.rate_hz((count - 1) / rate_hz) == pytest.approx(rate_hz)


def test_the_rate_falls_when_events_stop() -> None:
    meter = RateMeter(window_s=10.0)
    for i in range(20):
        meter.tick(i * 0.1)
    assert meter.rate_hz(1.9) == pytest.approx(10.0)
    assert meter.rate_hz(4.0) < 6.0
    assert meter.rate_hz(20.0) == 0.0


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=300))
def test_quantiles_lie_between_the_extremes_of_what_is_kept(values: list[float]) -> None:
    window = LatencyWindow(64)
    for value in values:
        window.add(value)
    quantiles = window.quantiles()
    kept = values[-64:]
    assert min(kept) - 1e-9 <= quantiles.p50_ms <= quantiles.p99_ms <= max(kept) + 1e-9


def test_counts_run_since_reset() -> None:
    stats = NodeStatistics()
    stats.work_done(3.0, {"inference": 2.0})
    stats.dropped(2)
    stats.deadline_missed()
    stats.event("image_raw", "message_lost", 4)
    figures = stats.snapshot()
    assert (figures.processed, figures.dropped, figures.deadline_misses) == (1, 2, 1)
    assert figures.events == {("image_raw", "message_lost"): 4}
    assert figures.stages["inference"].p50_ms == 2.0
    stats.reset()
    figures = stats.snapshot()
    assert (figures.processed, figures.dropped, figures.events) == (0, 0, {})
    assert math.isnan(figures.latency.p50_ms)
