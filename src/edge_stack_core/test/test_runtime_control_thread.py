# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The control thread: it ticks on a grid, skips what it missed, survives what a tick raises, and stops when told."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from edge_stack_core.runtime import process
from edge_stack_core.runtime.control_thread import ControlThread, ControlThreadSettings

RATE_HZ = 200.0
PLAIN = ControlThreadSettings(priority=0, lock_memory=False)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "not within the limit"
        time.sleep(0.005)


def run_ticks(count: int, tick: Callable[[int], None] = lambda _: None, **kwargs: object) -> ControlThread:
    thread = ControlThread(tick, RATE_HZ, PLAIN, **kwargs)  # type: ignore[arg-type]
    thread.start()
    try:
        wait_for(lambda: thread.figures().ticks >= count)
    finally:
        assert thread.stop(60.0)
    return thread


def test_releases_lie_on_the_grid_and_no_tick_is_early() -> None:
    releases: list[int] = []
    early: list[int] = []

    def tick(release_ns: int) -> None:
        releases.append(release_ns)
        if time.monotonic_ns() < release_ns:
            early.append(release_ns)

    thread = run_ticks(30, tick)
    assert not early
    assert all((release - releases[0]) % thread.period_ns == 0 for release in releases)
    assert releases == sorted(set(releases))


def test_every_release_is_either_a_tick_or_counted_as_skipped() -> None:
    releases: list[int] = []
    thread = run_ticks(30, releases.append)
    spanned = (releases[-1] - releases[0]) // thread.period_ns + 1
    figures = thread.figures()
    first_skips = spanned - len(releases)
    assert figures.ticks == len(releases)
    assert figures.skipped >= first_skips


def test_a_slow_tick_skips_releases_and_never_bunches() -> None:
    starts: list[int] = []
    releases: list[int] = []

    def tick(release_ns: int) -> None:
        starts.append(time.monotonic_ns())
        releases.append(release_ns)
        if len(starts) == 3:
            time.sleep(10.5 / RATE_HZ)

    thread = run_ticks(8, tick)
    figures = thread.figures()
    assert figures.skipped >= 9
    assert figures.overruns >= 1
    assert figures.misses == figures.skipped + figures.overruns
    assert releases[3] - releases[2] >= 10 * thread.period_ns
    assert figures.max_gap_ms >= 10.0 * 1e3 / RATE_HZ


def test_lateness_is_counted_once_a_tick() -> None:
    figures = run_ticks(20).figures()
    assert len(figures.lateness) == figures.ticks == len(figures.duration)
    assert figures.lateness.quantile_ms(0.5) >= 0.0


def test_a_tick_that_raises_is_counted_and_the_next_one_runs() -> None:
    seen: list[Exception] = []

    def tick(_: int) -> None:
        raise ValueError("broken")

    figures = run_ticks(10, tick, on_error=seen.append).figures()
    assert figures.errors == figures.ticks == len(seen)
    assert str(seen[0]) == "broken"


def test_an_error_handler_that_raises_does_not_end_the_thread() -> None:
    def fail(_: object) -> None:
        raise ValueError("broken")

    assert run_ticks(10, fail, on_error=fail).figures().ticks >= 10


def test_stop_is_quick_even_at_a_slow_rate() -> None:
    thread = ControlThread(lambda _: None, 0.01, PLAIN)
    thread.start()
    assert thread.stop(60.0)
    assert not thread.running
    assert thread.figures().ticks == 0


def test_stop_reports_a_tick_that_hangs() -> None:
    entered, release = threading.Event(), threading.Event()

    def tick(_: int) -> None:
        entered.set()
        release.wait(60.0)

    thread = ControlThread(tick, RATE_HZ, PLAIN)
    thread.start()
    assert entered.wait(60.0)
    assert not thread.stop(0.05)
    release.set()
    assert thread.stop(60.0)


def test_figures_begin_anew_with_each_start() -> None:
    thread = run_ticks(10)
    thread.start()
    wait_for(lambda: thread.figures().ticks >= 1)
    assert thread.stop(60.0)
    assert len(thread.figures().lateness) == thread.figures().ticks


def test_interpreter_settings_are_given_back() -> None:
    before = sys.getswitchinterval()
    run_ticks(3)
    assert sys.getswitchinterval() == before
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 1e9, float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        ControlThread(lambda _: None, rate_hz)


def test_starting_twice_is_refused() -> None:
    thread = ControlThread(lambda _: None, RATE_HZ, PLAIN)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="already"):
            thread.start()
    finally:
        assert thread.stop(60.0)


@pytest.mark.skipif(not process.rights().realtime, reason="this process has no real-time rights")
def test_with_rights_the_thread_runs_under_fifo_and_the_others_are_given_back() -> None:
    policies: list[tuple[int, int]] = []

    def tick(_: int) -> None:
        policies.append((os.sched_getscheduler(0), os.sched_getscheduler(os.getpid())))

    thread = ControlThread(
        tick, RATE_HZ, ControlThreadSettings(priority=10, companion_priority=5, lock_memory=False)
    )
    assert thread.start() == []
    wait_for(lambda: len(policies) >= 3)
    assert thread.stop(60.0)
    assert thread.granted.startswith("fifo, priority 10")
    assert policies[-1] == (os.SCHED_FIFO, os.SCHED_FIFO)
    assert os.sched_getscheduler(os.getpid()) == os.SCHED_OTHER


def test_without_rights_the_remedy_and_the_fallback_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(process, "rights", lambda: process.Rights(0, 19, lock_memory=False))
    thread = ControlThread(lambda _: None, RATE_HZ, ControlThreadSettings())
    refused = thread.start()
    wait_for(lambda: thread.figures().ticks >= 3)
    assert thread.stop(60.0)
    assert len(refused) == 2
    assert "memlock" in refused[0]
    assert "rtprio" in refused[1] and "until then the control thread runs with" in refused[1]
