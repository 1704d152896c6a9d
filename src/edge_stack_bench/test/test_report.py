# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The run's record and report: rates from counts, sums across restarts, recoveries, plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_bench.views.report import PolicyRecord, RunRecord, write_report


def take(
    node, now_s: float, processed: int, *, pid: int = 1, state: str = "active", dropped: int = 0
) -> None:
    node.take(now_s, pid=pid, state=state, processed=processed, dropped=dropped, deadline_misses=0)


def test_a_rate_is_counts_over_the_active_time() -> None:
    node = RunRecord().node("detect")
    take(node, 0.0, 0, state="inactive")
    take(node, 10.0, 0)
    for i in range(1, 11):
        take(node, 10.0 + i, 5 * i)
    take(node, 25.0, 50, state="inactive")
    assert node.mean_rate_hz == pytest.approx(5.0)


def test_a_restart_is_counted_with_its_recovery_and_spoils_no_rate() -> None:
    node = RunRecord().node("detect")
    take(node, 0.0, 0)
    take(node, 2.0, 10, dropped=3)
    node.lost(2.5)
    assert node.state == "missing"
    take(node, 3.5, 0, pid=2, state="unconfigured")
    take(node, 4.0, 0, pid=2)
    take(node, 6.0, 10, pid=2, dropped=1)
    assert node.restarts == 1
    assert node.recoveries_s == [pytest.approx(1.5)]
    assert node.mean_rate_hz == pytest.approx(5.0)
    assert node.dropped == 4


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30), st.integers(1, 29))
def test_control_counts_add_up_across_restarts(steps: list[int], restart_at: int) -> None:
    record = RunRecord()
    total = now = count = 0
    for index, step in enumerate(steps):
        if index == restart_at and count > 0:
            count = 0
            step = 0
        count += step
        total += step
        now += 1
        counts = dict.fromkeys(record.control.COUNTS, 0) | {"commands": count}
        record.control.take(float(now), counts, {"p50": 0.1, "max": 0.2}, reason="ok")
    assert record.control.total("commands") == total


def test_attempts_add_up_across_restarts_of_the_simulator() -> None:
    task = RunRecord().task
    for attempts, successes in ((0, 0), (1, 1), (3, 2), (0, 0), (1, 1)):
        task.take("put the red cube on the mark", attempts, successes)
    assert (task.attempts, task.successes) == (4, 3)


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    record = RunRecord(started_s=100.0, first_command_s=104.0)
    node = record.node("detect")
    node.take(
        0.0,
        pid=1,
        state="active",
        processed=1,
        dropped=0,
        deadline_misses=0,
        stages={"inference": (1.0, 2.0)},
        latency_p50_ms=float("nan"),
        rss_mb=80.0,
    )
    write_report(tmp_path / "deep" / "r.json", {**record.as_dict(), "duration_s": 5.0})
    report = json.loads((tmp_path / "deep" / "r.json").read_text())
    assert report["startup_s"] == 4.0
    assert report["duration_s"] == 5.0
    assert report["models"]["detect"]["latency_ms"] == {"p50": None, "p99": None}
    assert report["rss_total_mb"] == 80.0


def test_how_the_policys_chunks_do_is_one_line_and_part_of_the_report() -> None:
    record = RunRecord()
    record.policy = PolicyRecord(
        policy="smolvla",
        endpoint="local",
        merge="guided",
        chunks=7,
        underruns=2,
        latency_p99_s=0.19,
        inference_delay=5,
    )
    text = record.policy.text()
    assert text.startswith("smolvla (local, guided)  7 chunks, 2 underruns")
    assert "p99 190 ms, 5 steps" in text and "rtt" not in text
    record.policy.rtt_p99_s, record.policy.loss = 0.08, 0.02
    assert record.policy.text().endswith("rtt p99 80 ms, 2% lost")
    policy = record.as_dict()["policy"]
    assert policy["underruns"] == 2 and policy["seam_position_p99"] is None
