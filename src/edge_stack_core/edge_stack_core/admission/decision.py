# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Decides which waiting background job may start now: slack stealing, non-preemptive, earliest deadline first.

Its unit of work is one decision over one view of admission. It is arithmetic on integers of one time base (nanoseconds of
CLOCK_MONOTONIC): no clock, no shared memory, no waiting. It never reorders what runs, and never delays a critical job.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

# Why a job is not admitted now, and what it waits for. The order is that of the counters B_DELAYED_BY.
NONE, ACTIVE, SLACK, LIMIT, ORDER = range(5)
REASONS = (
    "none",
    "critical job active",
    "ends after the next release",
    "concurrency limit",
    "earlier deadline first",
)

MS = 1_000_000
# What a waiter waits for wakes it. It looks again by itself only to find what died without a word: not before the first,
# and at the latest after the second, one period of a 24 Hz loop.
SOONEST = 5 * MS
LOOK_AGAIN = 40 * MS
# A run that is over its expectation by this is looked after: its process may have died.
OVERDUE = 10 * MS
# A job that runs this much over its expectation no longer counts against the limit: its process is stopped or hangs.
RUN_LEASE = 1000 * MS
# How far to look ahead for the largest slack, in critical windows.
_WINDOWS = 64


class Critical(NamedTuple):
    """
    One critical job. release: next announced, 0 if none; active: since when an inference runs, 0 if none does.

    beside: a bit for each slot whose job may run beside its inferences; 0 if nobody may, for now.
    """

    slot: int
    release: int
    period: int
    budget: int
    lease: int
    active: int
    co_run: int = 0


class Running(NamedTuple):
    """One admitted background job and when it should end."""

    slot: int
    started: int
    ends: int


class Waiting(NamedTuple):
    """One background job that asks. expected: its duration alone; shared: beside other background jobs."""

    slot: int
    deadline: int
    expected: int
    shared: int


class PageView(NamedTuple):
    """All that a decision looks at."""

    limit: int
    guard: int
    co_run: int
    criticals: Sequence[Critical]
    running: Sequence[Running]
    waiting: Sequence[Waiting]


class Slack(NamedTuple):
    """
    The window that background jobs have now.

    busy_until: when the active or due critical job should be done; 0 if none is. until: the next release; 0 if none is
    announced. by_active, by_release: the slots of the critical jobs that say so, or -1.
    """

    busy_until: int
    until: int
    by_active: int
    by_release: int


class AdmissionDecision(NamedTuple):
    """
    What follows for the one that asks.

    admitted: it may start. reason: what it waits for. look_again: absolute time. blockers: slots whose owners must be
    alive for this decision to stand. winner: the slot that may start now, or -1. duration: that the admitted job has.
    """

    admitted: bool
    reason: int
    look_again: int
    blockers: tuple[int, ...]
    winner: int
    duration: int = 0


def slack(criticals: Sequence[Critical], now: int) -> Slack:
    """
    Return the slack at a time.

    A release or an active inference counts only within its lease: a dead critical job binds nobody beyond it.
    """
    busy_until = until = 0
    by_active = by_release = -1
    for slot, release, _, budget, lease, active, _ in criticals:
        if active and now < active + lease:
            end = active + budget
            end = end if end > now else now + 1
            if end > busy_until:
                busy_until, by_active = end, slot
        if release:
            if now < release:
                if until == 0 or release < until:
                    until, by_release = release, slot
            elif now < release + lease and not active:
                # Released and not begun: it may begin at any moment.
                end = release + budget
                end = end if end > now else now + 1
                if end > busy_until:
                    busy_until, by_active = end, slot
    return Slack(busy_until, until, by_active, by_release)


def decide(
    view: PageView, slot: int, now: int, passed_over: Collection[int] = (), quantum_ends_ns: int = 0
) -> AdmissionDecision:
    """
    Decide for the waiting job of a slot.

    passed_over: slots that had their turn and did not take it; they are not waited for. turn_ends: until then the job may
    go on before an earlier deadline, if that is met all the same: handing the device over costs time, too.
    """
    limit, guard, co_run, criticals, running, waiting = view
    window = slack(criticals, now)
    counted = [job for job in running if now < job.ends + RUN_LEASE]
    if len(counted) >= limit:
        ends = min(job.ends for job in counted)
        return AdmissionDecision(
            False, LIMIT, _bounded(ends + OVERDUE, now), tuple(job.slot for job in counted), -1
        )
    # A bit for each slot whose job may run beside the critical one. Where nobody may (beside is 0), a critical job that
    # takes longer than its period allows one at a time.
    may_cross = _allowed(criticals, now)
    if may_cross:
        crossing = sum(
            1 for job in counted if window.busy_until or (window.until and job.ends + guard > window.until)
        )
        if crossing >= max(co_run, 1):
            may_cross = 0
    together = limit > 1 and (bool(counted) or len(waiting) > 1)
    winner = -1
    earliest = duration = granted = 0
    for other, deadline, expected, shared in waiting:
        if winner >= 0 and deadline >= earliest or other in passed_over:
            continue
        duration = shared if together else expected
        if (window.busy_until or (window.until and now + duration + guard > window.until)) and not (
            may_cross >> other & 1
        ):
            continue
        winner, earliest, granted = other, deadline, duration
    if winner == slot:
        return AdmissionDecision(True, NONE, now, (), slot, granted)
    blockers: tuple[int, ...] = (winner,) if winner >= 0 else ()
    if winner >= 0 and (mine := _fitting(view, slot, now, window, may_cross, together)):
        if now + mine <= quantum_ends_ns and _after(view, window, now + mine, granted) <= earliest:
            return AdmissionDecision(True, NONE, now, (), slot, mine)
        return AdmissionDecision(False, ORDER, now + LOOK_AGAIN, blockers, winner)
    blockers += tuple(job.slot for job in counted)
    if window.busy_until:
        return AdmissionDecision(
            False, ACTIVE, _bounded(window.busy_until, now), (window.by_active, *blockers), winner
        )
    return AdmissionDecision(False, SLACK, now + LOOK_AGAIN, (window.by_release, *blockers), winner)


def heads(view: PageView) -> list[int]:
    """Return the waiting slots that come first once nothing critical is active: as many as may run at once."""
    ordered = sorted(view.waiting, key=lambda job: job.deadline)
    return [job.slot for job in ordered[: view.limit]]


def kept_apart(view: PageView, slot: int, now: int) -> bool:
    """Return whether a job may not run beside the critical ones, and not just for the next inference."""
    live = [c for c in view.criticals if _is_live(c, now)]
    if not view.co_run:
        return any(not c.co_run >> slot & 1 for c in live)
    return any(c.co_run and not c.co_run >> slot & 1 for c in live)


def largest_slack(criticals: Sequence[Critical], now: int) -> int:
    """
    Return the longest time between critical windows that will recur, ns; 0 where there is none; -1 if unbounded.

    Only critical jobs with a live announcement count. With one job it is period minus budget; with several, the largest
    gap found by laying out their next windows.
    """
    live = [c for c in criticals if c.period > 0 and _is_live(c, now)]
    if not live:
        return -1
    if len(live) == 1:
        return max(0, live[0].period - live[0].budget)
    longest = max(c.period for c in live)
    end = now + 4 * longest
    windows: list[tuple[int, int]] = []
    for c in live:
        start = (
            c.release if c.release > now else c.release + (now - c.release) // c.period * c.period + c.period
        )
        count = 0
        while start < end and count < _WINDOWS:
            windows.append((start, start + c.budget))
            start += c.period
            count += 1
        end = min(end, start)
    windows = sorted(window for window in windows if window[0] < end)
    best, free_from = 0, windows[0][1]
    for start, finish in windows[1:]:
        best = max(best, start - free_from)
        free_from = max(free_from, finish)
    return best


def _is_live(c: Critical, now: int) -> bool:
    released, active = c.release > 0, c.active > 0
    return released and now < c.release + c.lease or active and now < c.active + c.lease


def _allowed(criticals: Sequence[Critical], now: int) -> int:
    """Return the slots whose jobs every live critical job lets run beside it, as bits."""
    allowed = -1
    for c in criticals:
        if _is_live(c, now):
            allowed &= c.co_run
    return allowed


def _fitting(view: PageView, slot: int, now: int, window: Slack, may_cross: int, together: bool) -> int:
    """Return the duration of a waiting job if it fits now, else 0."""
    mine = next((job for job in view.waiting if job.slot == slot), None)
    if mine is None:
        return 0
    duration = mine.shared if together else mine.expected
    fits = not window.busy_until and (not window.until or now + duration + view.guard <= window.until)
    return duration if fits or may_cross >> slot & 1 else 0


def _after(view: PageView, window: Slack, start: int, duration: int) -> int:
    """Return when a job ends that may start at a time: in this slack if it fits, else after the critical job behind it."""
    if not window.until or start + duration + view.guard <= window.until:
        return start + duration
    return window.until + next(c.budget for c in view.criticals if c.slot == window.by_release) + duration


def _bounded(when: int, now: int) -> int:
    """Return a time to look again: the given one, within the bounds."""
    return min(max(when, now + SOONEST), now + LOOK_AGAIN)
