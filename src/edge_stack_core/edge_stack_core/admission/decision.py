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
SOONEST_NS = 5 * MS
LOOK_AGAIN_NS = 40 * MS
# A run that is over its expectation by this is looked after: its process may have died.
OVERDUE_NS = 10 * MS
# A job that runs this much over its expectation no longer counts against the limit: its process is stopped or hangs.
RUN_LEASE_NS = 1000 * MS
# How far to look ahead for the largest slack, in critical windows.
_WINDOWS = 64


class Critical(NamedTuple):
    """
    One critical job. release_ns: next announced, 0 if none; active_ns: since when an inference runs, 0 if none does.

    co_run: a bit for each slot whose job may run beside its inferences; 0 if nobody may, for now.
    """

    slot: int
    release_ns: int
    period_ns: int
    budget_ns: int
    lease_ns: int
    active_ns: int
    co_run: int = 0


class Running(NamedTuple):
    """One admitted background job and when it should end."""

    slot: int
    started_ns: int
    ends_ns: int


class Waiting(NamedTuple):
    """One background job that asks. expected_ns: its duration alone; shared_ns: beside other background jobs."""

    slot: int
    deadline_ns: int
    expected_ns: int
    shared_ns: int


class PageView(NamedTuple):
    """All that a decision looks at."""

    limit: int
    guard_ns: int
    co_run: int
    criticals: Sequence[Critical]
    running: Sequence[Running]
    waiting: Sequence[Waiting]


class Slack(NamedTuple):
    """
    The window that background jobs have now.

    busy_until_ns: when the active or due critical job should be done; 0 if none is. until_ns: the next release; 0 if none is
    announced. by_active, by_release: the slots of the critical jobs that say so, or -1.
    """

    busy_until_ns: int
    until_ns: int
    by_active: int
    by_release: int


class AdmissionDecision(NamedTuple):
    """
    What follows for the one that asks.

    admitted: it may start. reason: what it waits for. look_again_ns: absolute time. blockers: slots whose owners must be
    alive for this decision to stand. winner: the slot that may start now, or -1. duration_ns: that the admitted job has.
    """

    admitted: bool
    reason: int
    look_again_ns: int
    blockers: tuple[int, ...]
    winner: int
    duration_ns: int = 0


def slack(criticals: Sequence[Critical], now_ns: int) -> Slack:
    """
    Return the slack at a time.

    A release or an active inference counts only within its lease: a dead critical job binds nobody beyond it.
    """
    busy_until_ns = until_ns = 0
    by_active = by_release = -1
    for slot, release_ns, _, budget_ns, lease_ns, active_ns, _ in criticals:
        if active_ns and now_ns < active_ns + lease_ns:
            end = active_ns + budget_ns
            end = end if end > now_ns else now_ns + 1
            if end > busy_until_ns:
                busy_until_ns, by_active = end, slot
        if release_ns:
            if now_ns < release_ns:
                if until_ns == 0 or release_ns < until_ns:
                    until_ns, by_release = release_ns, slot
            elif now_ns < release_ns + lease_ns and not active_ns:
                # Released and not begun: it may begin at any moment.
                end = release_ns + budget_ns
                end = end if end > now_ns else now_ns + 1
                if end > busy_until_ns:
                    busy_until_ns, by_active = end, slot
    return Slack(busy_until_ns, until_ns, by_active, by_release)


def decide(
    view: PageView, slot: int, now_ns: int, passed_over: Collection[int] = (), quantum_ends_ns: int = 0
) -> AdmissionDecision:
    """
    Decide for the waiting job of a slot.

    passed_over: slots that had their turn and did not take it; they are not waited for. quantum_ends_ns: until then the job
    may go on before an earlier deadline, if that is met all the same: handing the device over costs time, too.
    """
    limit, guard_ns, co_run, criticals, running, waiting = view
    window = slack(criticals, now_ns)
    counted = [job for job in running if now_ns < job.ends_ns + RUN_LEASE_NS]
    if len(counted) >= limit:
        ends_ns = min(job.ends_ns for job in counted)
        return AdmissionDecision(
            False, LIMIT, _bounded(ends_ns + OVERDUE_NS, now_ns), tuple(job.slot for job in counted), -1
        )
    # A bit for each slot whose job may run beside the critical one. Where nobody may (co_run is 0), a critical job that
    # takes longer than its period allows one at a time.
    may_cross = _allowed(criticals, now_ns)
    if may_cross:
        crossing = sum(
            1
            for job in counted
            if window.busy_until_ns or (window.until_ns and job.ends_ns + guard_ns > window.until_ns)
        )
        if crossing >= max(co_run, 1):
            may_cross = 0
    together = limit > 1 and (bool(counted) or len(waiting) > 1)
    winner = -1
    earliest_ns = duration_ns = granted_ns = 0
    for other, deadline_ns, expected_ns, shared_ns in waiting:
        if winner >= 0 and deadline_ns >= earliest_ns or other in passed_over:
            continue
        duration_ns = shared_ns if together else expected_ns
        if (
            window.busy_until_ns or (window.until_ns and now_ns + duration_ns + guard_ns > window.until_ns)
        ) and not (may_cross >> other & 1):
            continue
        winner, earliest_ns, granted_ns = other, deadline_ns, duration_ns
    if winner == slot:
        return AdmissionDecision(True, NONE, now_ns, (), slot, granted_ns)
    blockers: tuple[int, ...] = (winner,) if winner >= 0 else ()
    if winner >= 0 and (mine_ns := _fitting(view, slot, now_ns, window, may_cross, together)):
        if (
            now_ns + mine_ns <= quantum_ends_ns
            and _after(view, window, now_ns + mine_ns, granted_ns) <= earliest_ns
        ):
            return AdmissionDecision(True, NONE, now_ns, (), slot, mine_ns)
        return AdmissionDecision(False, ORDER, now_ns + LOOK_AGAIN_NS, blockers, winner)
    blockers += tuple(job.slot for job in counted)
    if window.busy_until_ns:
        return AdmissionDecision(
            False, ACTIVE, _bounded(window.busy_until_ns, now_ns), (window.by_active, *blockers), winner
        )
    return AdmissionDecision(False, SLACK, now_ns + LOOK_AGAIN_NS, (window.by_release, *blockers), winner)


def heads(view: PageView) -> list[int]:
    """Return the waiting slots that come first once nothing critical is active: as many as may run at once."""
    ordered = sorted(view.waiting, key=lambda job: job.deadline_ns)
    return [job.slot for job in ordered[: view.limit]]


def kept_apart(view: PageView, slot: int, now_ns: int) -> bool:
    """Return whether a job may not run beside the critical ones, and not just for the next inference."""
    live = [c for c in view.criticals if _is_live(c, now_ns)]
    if not view.co_run:
        return any(not c.co_run >> slot & 1 for c in live)
    return any(c.co_run and not c.co_run >> slot & 1 for c in live)


def largest_slack(criticals: Sequence[Critical], now_ns: int) -> int:
    """
    Return the longest time between critical windows that will recur, ns; 0 where there is none; -1 if unbounded.

    Only critical jobs with a live announcement count. With one job it is period minus budget; with several, the largest
    gap found by laying out their next windows.
    """
    live = [c for c in criticals if c.period_ns > 0 and _is_live(c, now_ns)]
    if not live:
        return -1
    if len(live) == 1:
        return max(0, live[0].period_ns - live[0].budget_ns)
    longest = max(c.period_ns for c in live)
    end = now_ns + 4 * longest
    windows: list[tuple[int, int]] = []
    for c in live:
        start = (
            c.release_ns
            if c.release_ns > now_ns
            else c.release_ns + (now_ns - c.release_ns) // c.period_ns * c.period_ns + c.period_ns
        )
        count = 0
        while start < end and count < _WINDOWS:
            windows.append((start, start + c.budget_ns))
            start += c.period_ns
            count += 1
        end = min(end, start)
    windows = sorted(window for window in windows if window[0] < end)
    best, free_from = 0, windows[0][1]
    for start, finish in windows[1:]:
        best = max(best, start - free_from)
        free_from = max(free_from, finish)
    return best


def _is_live(c: Critical, now_ns: int) -> bool:
    released, active = c.release_ns > 0, c.active_ns > 0
    return released and now_ns < c.release_ns + c.lease_ns or active and now_ns < c.active_ns + c.lease_ns


def _allowed(criticals: Sequence[Critical], now_ns: int) -> int:
    """Return the slots whose jobs every live critical job lets run beside it, as bits."""
    allowed = -1
    for c in criticals:
        if _is_live(c, now_ns):
            allowed &= c.co_run
    return allowed


def _fitting(view: PageView, slot: int, now_ns: int, window: Slack, may_cross: int, together: bool) -> int:
    """Return the duration of a waiting job if it fits now, else 0."""
    mine = next((job for job in view.waiting if job.slot == slot), None)
    if mine is None:
        return 0
    duration_ns = mine.shared_ns if together else mine.expected_ns
    fits = not window.busy_until_ns and (
        not window.until_ns or now_ns + duration_ns + view.guard_ns <= window.until_ns
    )
    return duration_ns if fits or may_cross >> slot & 1 else 0


def _after(view: PageView, window: Slack, start: int, duration_ns: int) -> int:
    """Return when a job ends that may start at a time: in this slack if it fits, else after the critical job behind it."""
    if not window.until_ns or start + duration_ns + view.guard_ns <= window.until_ns:
        return start + duration_ns
    return (
        window.until_ns
        + next(c.budget_ns for c in view.criticals if c.slot == window.by_release)
        + duration_ns
    )


def _bounded(when_ns: int, now_ns: int) -> int:
    """Return a time to look again: the given one, within the bounds."""
    return min(max(when_ns, now_ns + SOONEST_NS), now_ns + LOOK_AGAIN_NS)
