# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What each party reads and writes in the shared page, store by store. docs/admission.md explains it.

Its unit of work is one step of one job. A critical job takes no lock: it writes only words of its own slot, each of which
binds others by itself. A background job's steps run under admission's mutex. The words may be any mutable sequence, so that
tests can stop a party after each store. Nothing here reads a clock, waits, or calls the kernel; whether the owner of a slot
lives is asked of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from edge_stack_core.admission import layout
from edge_stack_core.admission.decision import (
    NONE,
    RUN_LEASE_NS,
    AdmissionDecision,
    Critical,
    PageView,
    Running,
    Waiting,
    decide,
    heads,
)
from edge_stack_core.admission.layout import Words

Alive = Callable[[int], bool]


def format_page(words: Words, limit: int, guard_ns: int, co_run: int) -> None:
    """Make an empty admission of zeroed words. The magic comes last: a page without it is unfinished and is made anew."""
    words[layout.H_LIMIT] = limit
    words[layout.H_GUARD] = guard_ns
    words[layout.H_CO_RUN] = co_run
    words[layout.H_MAGIC] = layout.MAGIC


def claim(words: Words, state: int, name: str, token: int, acquire: Callable[[int], bool]) -> int:
    """
    Take a slot, under the mutex; return it, or -1 if all are taken by the living.

    acquire: takes the kernel's lock of a slot, False if its owner lives. A dead job's slot of the same name comes first, for
    what was learned of it; then free ones; then those of other dead jobs.
    """
    used = words[layout.H_USED]
    kinds = (
        (layout.FREE, layout.CRITICAL)
        if state == layout.CRITICAL
        else (layout.FREE, layout.IDLE, layout.WAITING, layout.RUNNING)
    )

    def same(slot: int) -> bool:
        return words[layout.STATES + slot] in kinds and layout.read_name(words, layout.base_of(slot)) == name

    order = [slot for slot in range(used) if same(slot)]
    order += [slot for slot in range(used) if words[layout.STATES + slot] == layout.FREE]
    order += range(used, layout.SLOTS)
    order += [slot for slot in range(used) if slot not in order]
    for slot in order:
        if not acquire(slot):
            continue
        base = layout.base_of(slot)
        learned = (
            (words[base + layout.S_LEARNED], words[base + layout.S_LEARNED_SHARED]) if same(slot) else (0, 0)
        )
        words[layout.STATES + slot] = layout.FREE
        for index in range(base, base + layout.SLOT_WORDS):
            words[index] = 0
        words[base + layout.S_LEARNED], words[base + layout.S_LEARNED_SHARED] = learned
        layout.write_name(words, base, name)
        words[base + layout.S_TOKEN] = token
        if slot >= used:
            words[layout.H_USED] = slot + 1
        words[layout.STATES + slot] = state
        return slot
    return -1


def free(words: Words, slot: int) -> None:
    """Give a slot back, or take it from a dead owner; under the mutex."""
    words[layout.STATES + slot] = layout.FREE
    words[layout.base_of(slot) + layout.S_TOKEN] = 0


def announce(words: Words, slot: int, release_ns: int, period_ns: int, budget_ns: int, lease_ns: int) -> None:
    """Announce a critical job's next release. Without a lock."""
    base = layout.base_of(slot)
    words[base + layout.C_PERIOD] = period_ns
    words[base + layout.C_BUDGET] = budget_ns
    words[base + layout.C_LEASE] = lease_ns
    words[base + layout.C_RELEASE] = release_ns


def begin(words: Words, slot: int, now_ns: int) -> int:
    """
    Mark a critical inference as begun and announce the following release; return that release.

    Without a lock. The inference is marked first: at no moment does the slot promise slack that it has not. The following
    release is one period after the announced one, or after now if the job does not keep to what it announced.
    """
    base = layout.base_of(slot)
    words[base + layout.C_ACTIVE] = now_ns
    release_ns = words[base + layout.C_RELEASE] or now_ns
    period_ns = words[base + layout.C_PERIOD]
    late_ns = now_ns - release_ns
    following_ns = release_ns + period_ns
    if late_ns > period_ns // 2:
        words[base + layout.C_SKIPPED] += late_ns // period_ns
        following_ns = now_ns + period_ns
    elif late_ns < -words[layout.H_GUARD]:
        following_ns = now_ns + period_ns
    words[base + layout.C_RELEASE] = following_ns
    words[base + layout.C_BEGAN] = now_ns
    words[base + layout.C_JOBS] += 1
    if late_ns > words[layout.H_GUARD]:
        words[base + layout.C_LATE] += 1
    if layout.RUNNING in words[layout.STATES : layout.STATES + words[layout.H_USED]]:
        words[base + layout.C_DISTURBED] += 1
    return following_ns


def end(words: Words, slot: int, now_ns: int, budget_ns: int) -> None:
    """Mark a critical inference as ended, with the budget learned from it. Without a lock."""
    base = layout.base_of(slot)
    if now_ns - words[base + layout.C_ACTIVE] > words[base + layout.C_BUDGET]:
        words[base + layout.C_OVERRUNS] += 1
    words[base + layout.HISTOGRAM + layout.bucket_of(now_ns - words[base + layout.C_ACTIVE])] += 1
    words[base + layout.C_BUDGET] = budget_ns
    words[base + layout.C_ENDED] = now_ns
    words[base + layout.C_ACTIVE] = 0


def withdraw(words: Words, slot: int) -> None:
    """Take back a critical job's announcement. Without a lock."""
    base = layout.base_of(slot)
    words[base + layout.C_ACTIVE] = 0
    words[base + layout.C_RELEASE] = 0


def allow_co_run(words: Words, slot: int, mask: int) -> None:
    """Say who may run beside a critical job's next inference: a bit for each slot. Without a lock, one store."""
    words[layout.SLOT_BASE + slot * layout.SLOT_WORDS + layout.C_CO_RUN] = mask


def view_of(words: Words) -> PageView:
    """Read admission as decisions need it."""
    criticals = []
    running = []
    waiting = []
    for slot, state in enumerate(words[layout.STATES : layout.STATES + words[layout.H_USED]]):
        if state == layout.CRITICAL:
            b = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            # Active is read after release: a begin in between is seen as active with the old release, never as neither.
            release_ns = words[b + layout.C_RELEASE]
            period_ns, budget_ns, lease_ns = (
                words[b + layout.C_PERIOD],
                words[b + layout.C_BUDGET],
                words[b + layout.C_LEASE],
            )
            active_ns, co_run = words[b + layout.C_ACTIVE], words[b + layout.C_CO_RUN]
            criticals.append(Critical(slot, release_ns, period_ns, budget_ns, lease_ns, active_ns, co_run))
        elif state == layout.WAITING:
            b = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            waiting.append(
                Waiting(
                    slot,
                    words[b + layout.B_DEADLINE],
                    words[b + layout.B_EXPECTED],
                    words[b + layout.B_SHARED],
                )
            )
        elif state == layout.RUNNING:
            b = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            running.append(Running(slot, words[b + layout.B_STARTED_AT], words[b + layout.B_ENDS_AT]))
    return PageView(
        words[layout.H_LIMIT], words[layout.H_GUARD], words[layout.H_CO_RUN], criticals, running, waiting
    )


def live_criticals(words: Words, now_ns: int) -> list[int]:
    """Return the slots of the critical jobs that bind others now: announced or active, within their lease."""
    found = []
    for slot, state in enumerate(words[layout.STATES : layout.STATES + words[layout.H_USED]]):
        if state == layout.CRITICAL:
            base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            # As in view_of, active is read after release: a begin in between is seen.
            release_ns, lease_ns = words[base + layout.C_RELEASE], words[base + layout.C_LEASE]
            active_ns = words[base + layout.C_ACTIVE]
            if release_ns and now_ns < release_ns + lease_ns or active_ns and now_ns < active_ns + lease_ns:
                found.append(slot)
    return found


def ask(words: Words, slot: int, now_ns: int, expected_ns: int, shared_ns: int, deadline_ns: int) -> None:
    """Join the waiting; under the mutex. expected_ns, shared_ns: alone and beside others; deadline_ns: absolute."""
    base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
    words[base + layout.B_EXPECTED] = expected_ns
    words[base + layout.B_SHARED] = shared_ns
    words[base + layout.B_DEADLINE] = deadline_ns
    words[base + layout.B_ASKED_AT] = now_ns
    words[base + layout.B_ASKED] += 1
    words[layout.STATES + slot] = layout.WAITING


def consider(
    words: Words,
    slot: int,
    now_ns: int,
    alive: Alive,
    passed_over: Collection[int] = (),
    quantum_ends_ns: int = 0,
) -> tuple[AdmissionDecision, int]:
    """
    Decide for a waiting slot and, if it is admitted, mark it as running; under the mutex.

    Slots of dead owners that stand in the way are freed and the decision is made anew.

    Returns:
        The decision, and the slot of a waiter to wake because it may start now, or -1.
    """
    while True:
        view = view_of(words)
        decision = decide(view, slot, now_ns, passed_over, quantum_ends_ns)
        dead = [other for other in decision.blockers if not alive(other)]
        if not dead:
            break
        for other in dead:
            free(words, other)
    if not decision.admitted:
        words[layout.H_HEADS] = _bits(heads(view))
        return decision, decision.winner
    base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
    words[base + layout.B_STARTED_AT] = now_ns
    words[base + layout.B_ENDS_AT] = now_ns + decision.duration_ns
    words[layout.STATES + slot] = layout.RUNNING
    words[layout.H_ADMISSIONS] += 1
    words[base + layout.B_ADMITTED] += 1
    if len(view.waiting) > 1:
        return decision, next_to_wake(words, now_ns, alive, passed_over)
    return decision, -1


def next_to_wake(words: Words, now_ns: int, alive: Alive, passed_over: Collection[int] = ()) -> int:
    """Return the waiter that may start now, or -1; under the mutex. The dead among them are freed."""
    while True:
        view = view_of(words)
        winner = decide(view, -1, now_ns, passed_over).winner
        if winner < 0 or alive(winner):
            break
        free(words, winner)
    words[layout.H_HEADS] = _bits(heads(view))
    return winner


def finish(words: Words, slot: int, now_ns: int, alive: Alive) -> int:
    """End a run or leave the waiting; under the mutex. Returns the waiter to wake, or -1."""
    if words[layout.STATES + slot] == layout.RUNNING:
        base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
        words[base + layout.B_RAN] += now_ns - words[base + layout.B_STARTED_AT]
    words[layout.STATES + slot] = layout.IDLE
    if layout.WAITING in words[layout.STATES : layout.STATES + words[layout.H_USED]]:
        return next_to_wake(words, now_ns, alive)
    return -1


def count_delay(words: Words, slot: int, delay_ns: int, reason: int) -> None:
    """Count how long an admitted job waited and why."""
    base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
    words[base + layout.HISTOGRAM + layout.bucket_of(delay_ns)] += 1
    if reason == NONE:
        words[base + layout.B_AT_ONCE] += 1
        return
    words[base + layout.B_DELAYED_BY + reason] += 1
    words[base + layout.B_DELAY_TOTAL] += delay_ns
    if delay_ns > words[base + layout.B_DELAY_MAX]:
        words[base + layout.B_DELAY_MAX] = delay_ns


def critical_overlap(words: Words, started_ns: int, now_ns: int) -> tuple[int, int]:
    """
    Return how much of [started, now] critical inferences ran, ns, and when the first of them began (now if none).

    Only the last inference of each critical job is known; a background run spans few of them.
    """
    overlap_ns, first_ns = 0, now_ns
    for slot, state in enumerate(words[layout.STATES : layout.STATES + words[layout.H_USED]]):
        if state == layout.CRITICAL:
            base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            began_ns, ended_ns = words[base + layout.C_BEGAN], words[base + layout.C_ENDED]
            if ended_ns < began_ns:
                ended_ns = now_ns
            if began_ns and ended_ns > started_ns and began_ns < now_ns:
                overlap_ns += min(ended_ns, now_ns) - max(began_ns, started_ns)
                first_ns = min(first_ns, max(began_ns, started_ns))
    return overlap_ns, first_ns


def time_run(words: Words, now_ns: int) -> dict[tuple[int, int], int]:
    """
    Return how long each background job has run in all, ns, by slot and token.

    Without a lock: a job that ends at this very moment may be counted twice. For learning only. As in decisions, what should
    have ended long ago does not run: its owner may be dead, and nobody may have had cause to look.
    """
    ran = {}
    for slot, state in enumerate(words[layout.STATES : layout.STATES + words[layout.H_USED]]):
        if state > layout.CRITICAL:
            base = layout.SLOT_BASE + slot * layout.SLOT_WORDS
            runs = state == layout.RUNNING and now_ns < words[base + layout.B_ENDS_AT] + RUN_LEASE_NS
            since_ns = now_ns - words[base + layout.B_STARTED_AT] if runs else 0
            ran[slot, words[base + layout.S_TOKEN]] = words[base + layout.B_RAN] + since_ns
    return ran


def co_runners(words: Words, slot: int, now_ns: int) -> int:
    """Count other background jobs that run now."""
    count = 0
    for other, state in enumerate(words[layout.STATES : layout.STATES + words[layout.H_USED]]):
        if state == layout.RUNNING and other != slot:
            count += (
                now_ns < words[layout.SLOT_BASE + other * layout.SLOT_WORDS + layout.B_ENDS_AT] + RUN_LEASE_NS
            )
    return count


def _bits(slots: list[int]) -> int:
    bits = 0
    for slot in slots:
        bits |= layout.bit_of(slot)
    return bits
