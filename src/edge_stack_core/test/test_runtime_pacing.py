# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the worker that paces inference: releases on a grid, latest input only, overruns counted, live rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.runtime.pacing import PacedWorker, ReleaseGrid


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "not within the limit"
        time.sleep(0.002)


@contextmanager
def running(work: Callable[[Any, float], None], rate_hz: float, **options: Any) -> Iterator[PacedWorker[Any]]:
    worker: PacedWorker[Any] = PacedWorker(work, rate_hz, **options)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(60.0)


def test_releases_lie_on_absolute_times() -> None:
    grid = ReleaseGrid(4.0, now_s=100.0)
    times = []
    for _ in range(4):
        times.append(grid.next_release_s())
        grid.start(times[-1])
        assert grid.finish(times[-1] + 0.1) == 0
    assert times == [100.0, 100.25, 100.5, 100.75]


def test_work_that_overruns_skips_all_late_releases_but_the_newest() -> None:
    grid = ReleaseGrid(10.0, now_s=0.0)
    grid.start(0.0)
    assert grid.finish(0.35) == 2  # 0.1 and 0.2 are gone, 0.3 is late and served now
    assert grid.next_release_s() <= 0.35
    grid.start(0.35)
    assert grid.finish(0.39) == 0
    assert abs(grid.next_release_s() - 0.4) < 1e-9


def test_releases_without_an_input_are_not_counted_as_skipped() -> None:
    grid = ReleaseGrid(10.0, now_s=0.0)
    grid.start(0.57)  # the first input came late
    assert grid.finish(0.58) == 0
    assert abs(grid.next_release_s() - 0.6) < 1e-9


def test_a_rate_of_zero_has_no_release() -> None:
    grid = ReleaseGrid(0.0, now_s=0.0)
    assert grid.next_release_s() == float("inf")
    assert grid.finish(5.0) == 0


@given(
    st.floats(0.5, 120.0),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=30),
)
def test_work_never_runs_more_often_than_the_grid_has_releases(
    rate_hz: float, jobs: list[tuple[float, float]]
) -> None:
    grid = ReleaseGrid(rate_hz, now_s=0.0)
    now_s, served, skipped = 0.0, 0, 0
    for waiting_s, working_s in jobs:
        now_s = max(now_s, grid.next_release_s()) + waiting_s
        grid.start(now_s)
        served += 1
        now_s += working_s
        skipped += grid.finish(now_s)
    assert served + skipped <= now_s * rate_hz + 1.0 + 1e-6


def test_only_the_latest_input_is_worked_on() -> None:
    seen: list[int] = []
    with running(lambda item, _: seen.append(item), rate_hz=0.0) as worker:
        for item in range(5):
            worker.offer(item)
        worker.set_rate(100.0)
        wait_for(lambda: seen)
    assert seen == [4]


def test_an_input_is_worked_on_once() -> None:
    seen: list[int] = []
    with running(lambda item, _: seen.append(item), rate_hz=200.0) as worker:
        worker.offer(1)
        wait_for(lambda: seen)
        worker.offer(2)
        wait_for(lambda: len(seen) == 2)
    assert seen == [1, 2]


def test_a_release_without_an_input_serves_the_next_one_at_once() -> None:
    seen: list[int] = []
    # The release at the start had no input; the next one is a quarter of an hour away.
    with running(lambda item, _: seen.append(item), rate_hz=0.001) as worker:
        worker.offer(1)
        wait_for(lambda: seen)


def test_a_new_rate_wakes_the_worker_at_once() -> None:
    seen: list[int] = []
    with running(lambda item, _: seen.append(item), rate_hz=0.001) as worker:
        worker.offer(0)
        wait_for(lambda: seen)
        worker.offer(1)  # its release is a quarter of an hour away
        worker.set_rate(50.0)
        wait_for(lambda: seen == [0, 1])


def test_a_paused_worker_does_nothing_until_it_has_a_rate() -> None:
    seen: list[int] = []
    with running(lambda item, _: seen.append(item), rate_hz=100.0) as worker:
        worker.set_rate(0.0)
        wait_for(lambda: worker._grid.period_s is None)
        worker.offer(1)
        time.sleep(0.1)  # nothing to wait for: the claim is that nothing happens
        assert seen == []
        worker.set_rate(100.0)
        wait_for(lambda: seen == [1])


def test_work_that_raises_is_reported_and_the_worker_goes_on() -> None:
    errors: list[Exception] = []
    done: list[int] = []

    def work(item: int, _: float) -> None:
        if item == 1:
            raise ValueError("bad input")
        done.append(item)

    with running(work, rate_hz=200.0, failed=errors.append) as worker:
        worker.offer(1)
        wait_for(lambda: errors)
        worker.offer(2)
        wait_for(lambda: done)
    assert str(errors[0]) == "bad input"
    assert done == [2]


def test_overruns_are_reported() -> None:
    skipped: list[int] = []
    with running(lambda item, _: time.sleep(0.2), rate_hz=50.0, skipped=skipped.append) as worker:
        worker.offer(1)  # its work lasts for ten periods
        wait_for(lambda: skipped)
    assert skipped[0] >= 8


def test_stop_ends_a_waiting_worker_at_once() -> None:
    worker: PacedWorker[int] = PacedWorker(lambda item, _: None, 0.0)
    worker.start()
    assert worker.stop(60.0)  # without a rate it would wait for ever
