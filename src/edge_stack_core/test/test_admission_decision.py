# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which waiting job may start, by examples and against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.admission import decision as admission
from edge_stack_core.admission.decision import Critical, PageView, Running, Waiting

MS = 1_000_000
NOW = 1000 * MS


def critical(
    release: float = 0,
    active: float | None = None,
    period: float = 40,
    budget: float = 10,
    slot: int = 0,
    co_run: int = 0,
) -> Critical:
    """Times in ms from NOW; release 0: none announced. beside: bits of the slots that may run beside it; -1: all."""
    return Critical(
        slot,
        int(NOW + release * MS) if release else 0,
        int(period * MS),
        int(budget * MS),
        int(period * MS),
        int(NOW + active * MS) if active is not None else 0,
        co_run,
    )


def waiting(slot: int, expected: float, deadline: float = 100, shared: float | None = None) -> Waiting:
    return Waiting(
        slot, int(NOW + deadline * MS), int(expected * MS), int((expected if shared is None else shared) * MS)
    )


def view(criticals=(), running=(), jobs=(), limit: int = 1, guard: float = 0.5, co_run: int = 0) -> PageView:
    return PageView(limit, int(guard * MS), co_run, list(criticals), list(running), list(jobs))


def test_a_job_that_ends_a_guard_before_the_release_is_admitted() -> None:
    assert admission.decide(view([critical(20)], jobs=[waiting(5, 19.5)]), 5, NOW).admitted


def test_a_job_that_would_end_within_the_guard_waits_for_slack() -> None:
    verdict = admission.decide(view([critical(20)], jobs=[waiting(5, 19.6)]), 5, NOW)
    assert not verdict.admitted
    assert verdict.reason == admission.SLACK
    assert verdict.blockers == (0,)


def test_nothing_is_admitted_while_a_critical_job_is_active_and_it_is_looked_at_again_when_that_should_end() -> (
    None
):
    verdict = admission.decide(view([critical(35, active=-4)], jobs=[waiting(5, 1)]), 5, NOW)
    assert verdict.reason == admission.ACTIVE
    assert verdict.look_again_ns == NOW + 6 * MS


def test_a_critical_job_that_is_due_but_has_not_begun_is_waited_for() -> None:
    assert admission.decide(view([critical(-3)], jobs=[waiting(5, 1)]), 5, NOW).reason == admission.ACTIVE


@pytest.mark.parametrize("job", [critical(-41), critical(active=-41)])
def test_a_critical_job_beyond_its_lease_binds_nobody(job: Critical) -> None:
    assert admission.decide(view([job], jobs=[waiting(5, 500)]), 5, NOW).admitted


def test_of_two_that_fit_the_earlier_deadline_goes_first() -> None:
    jobs = [waiting(5, 5, deadline=50), waiting(6, 5, deadline=40)]
    late, early = (admission.decide(view([critical(20)], jobs=jobs), slot, NOW) for slot in (5, 6))
    assert early.admitted
    assert late.reason == admission.ORDER
    assert late.winner == 6


def test_a_shorter_job_fills_slack_that_the_first_in_order_cannot_use() -> None:
    jobs = [waiting(5, 15, deadline=10), waiting(6, 5, deadline=90)]
    first, filler = (admission.decide(view([critical(8)], jobs=jobs), slot, NOW) for slot in (5, 6))
    assert filler.admitted
    assert first.reason == admission.SLACK
    assert first.winner == 6


def test_the_limit_holds_and_is_looked_at_again_when_a_run_is_overdue() -> None:
    verdict = admission.decide(
        view(running=[Running(7, NOW - MS, NOW + 8 * MS)], jobs=[waiting(5, 1)]), 5, NOW
    )
    assert verdict.reason == admission.LIMIT
    assert verdict.blockers == (7,)
    assert verdict.look_again_ns == NOW + 8 * MS + admission.OVERDUE_NS


def test_a_run_far_over_its_time_no_longer_counts() -> None:
    stuck = Running(7, NOW - 9000 * MS, NOW - admission.RUN_LEASE_NS)
    assert admission.decide(view(running=[stuck], jobs=[waiting(5, 1)]), 5, NOW).admitted


def test_co_run_others_the_longer_duration_counts() -> None:
    jobs = [waiting(5, 10, shared=15)]
    running = [Running(7, NOW, NOW + MS)]
    assert not admission.decide(view([critical(12)], running, jobs, limit=2), 5, NOW).admitted
    assert admission.decide(view([critical(12)], [], jobs, limit=2), 5, NOW).admitted


def test_as_many_as_are_allowed_run_co_run_an_active_critical_job() -> None:
    busy = critical(35, active=-4, co_run=-1)
    jobs = [waiting(5, 100)]
    assert admission.decide(view([busy], jobs=jobs, limit=2, co_run=1), 5, NOW).admitted
    running = [Running(7, NOW, NOW + 50 * MS)]
    verdict = admission.decide(view([busy], running, jobs, limit=2, co_run=1), 5, NOW)
    assert verdict.reason == admission.ACTIVE
    assert 7 in verdict.blockers


def test_who_may_not_run_co_run_an_active_critical_job_lets_a_later_one_that_may_go_first() -> None:
    busy = critical(35, active=-4, co_run=1 << 6)
    jobs = [waiting(5, 1, deadline=10), waiting(6, 1, deadline=20)]
    assert admission.decide(view([busy], jobs=jobs, limit=2, co_run=1), 6, NOW).admitted
    verdict = admission.decide(view([busy], jobs=jobs, limit=2, co_run=1), 5, NOW)
    assert (verdict.admitted, verdict.winner) == (False, 6)


def test_every_live_critical_job_must_let_a_job_run_co_run_it() -> None:
    lets, lets_not, dead = (
        critical(35, active=-4, co_run=-1),
        critical(20, co_run=0, slot=1),
        critical(-90, co_run=0, slot=1),
    )
    jobs = [waiting(5, 1)]
    assert not admission.decide(view([lets, lets_not], jobs=jobs, limit=2, co_run=1), 5, NOW).admitted
    assert admission.decide(view([lets, dead], jobs=jobs, limit=2, co_run=1), 5, NOW).admitted


def test_where_nobody_may_run_co_run_one_that_allows_it_all_the_same_lets_one_at_a_time() -> None:
    too_long = critical(35, active=-4, co_run=-1)
    jobs = [waiting(5, 100)]
    assert admission.decide(view([too_long], jobs=jobs, limit=2), 5, NOW).admitted
    verdict = admission.decide(view([too_long], [Running(7, NOW, NOW + 50 * MS)], jobs, limit=2), 5, NOW)
    assert (verdict.reason, verdict.blockers) == (admission.ACTIVE, (0, 7))


def test_a_job_is_kept_apart_where_it_is_left_out_but_not_while_nobody_may_run_co_run() -> None:
    def apart(mask: int, co_run: int = 1) -> bool:
        return admission.kept_apart(view([critical(20, co_run=mask)], co_run=co_run), 5, NOW)

    assert apart(1 << 6)
    assert not apart(1 << 5)
    assert not apart(0)
    assert apart(0, co_run=0)
    assert not apart(-1, co_run=0), "a critical job that takes longer than its period lets everyone"


def test_who_was_passed_over_is_not_waited_for() -> None:
    jobs = [waiting(5, 5, deadline=50), waiting(6, 5, deadline=40)]
    assert admission.decide(view(jobs=jobs), 5, NOW, passed_over={6}).admitted


def test_within_its_turn_a_job_goes_on_before_an_earlier_deadline_that_is_met_all_the_same() -> None:
    jobs = [waiting(5, 2, deadline=50), waiting(6, 2, deadline=40)]
    assert admission.decide(view(jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 2 * MS).admitted
    assert not admission.decide(view(jobs=jobs), 5, NOW, quantum_ends_ns=NOW + MS).admitted
    urgent = [waiting(5, 2, deadline=50), waiting(6, 2, deadline=3)]
    assert not admission.decide(view(jobs=urgent), 5, NOW, quantum_ends_ns=NOW + 2 * MS).admitted


def test_a_turn_ends_where_the_earlier_deadline_would_be_missed_behind_the_next_release() -> None:
    jobs = [waiting(5, 2, deadline=90), waiting(6, 2, deadline=13)]
    alone = admission.decide(view([critical(9, budget=10)], jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 30 * MS)
    assert alone.admitted  # both fit before the release
    jobs = [waiting(5, 5, deadline=90), waiting(6, 5, deadline=20)]
    assert not admission.decide(
        view([critical(9, budget=10)], jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 30 * MS
    ).admitted
    jobs = [waiting(5, 5, deadline=90), waiting(6, 5, deadline=30)]
    assert admission.decide(
        view([critical(9, budget=10)], jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 30 * MS
    ).admitted


def test_a_turn_gives_no_right_to_run_into_a_release_or_over_the_limit() -> None:
    jobs = [waiting(5, 9, deadline=50), waiting(6, 2, deadline=40)]
    assert not admission.decide(
        view([critical(8)], jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 20 * MS
    ).admitted
    running = [Running(7, NOW, NOW + MS)]
    assert not admission.decide(
        view(running=running, jobs=jobs), 5, NOW, quantum_ends_ns=NOW + 20 * MS
    ).admitted


def test_slack_with_one_critical_job_is_period_minus_budget() -> None:
    assert admission.largest_slack([critical(20, period=40, budget=10)], NOW) == 30 * MS


def test_slack_is_unbounded_without_a_live_critical_job() -> None:
    assert admission.largest_slack([], NOW) == -1
    assert admission.largest_slack([critical(-100)], NOW) == -1


def test_a_critical_job_longer_than_its_period_leaves_no_slack() -> None:
    assert admission.largest_slack([critical(20, period=40, budget=50)], NOW) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(10, 40), st.integers(1, 6), st.integers(0, 39)).map(
            lambda t: critical(1 + t[2] % t[0], period=t[0], budget=min(t[1], t[0]))
        ),
        min_size=2,
        max_size=3,
    )
)
def test_the_largest_slack_of_several_critical_jobs_is_a_gap_that_the_timeline_has(
    criticals: list[Critical],
) -> None:
    found = admission.largest_slack(criticals, NOW) // MS
    end = NOW // MS + 4 * max(c.period_ns for c in criticals) // MS
    busy = set()
    for c in criticals:
        start = c.release_ns // MS
        while start < end + 100:
            busy |= set(range(start, start + c.budget_ns // MS))
            start += c.period_ns // MS
    gaps, length = set(), 0
    for ms in range(min(busy), end + 100):
        if ms in busy:
            gaps.add(length)
            length = 0
        else:
            length += 1
    assert found in gaps or found == 0
    assert found <= max(gaps)


@settings(max_examples=200, deadline=None)
@given(
    criticals=st.lists(
        st.builds(
            critical,
            release=st.integers(-50, 50),
            active=st.one_of(st.none(), st.integers(-50, 0)),
            period=st.integers(10, 50),
            budget=st.integers(1, 10),
            co_run=st.integers(0, 2**36 - 1),
        ),
        max_size=2,
    ),
    running=st.lists(
        st.integers(-5, 20).map(lambda ms: Running(20, NOW - 9 * MS, NOW + ms * MS)), max_size=2
    ),
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(-20, 60)), min_size=1, max_size=5),
    limit=st.integers(1, 3),
    co_run=st.integers(0, 2),
)
def test_at_any_moment_at_most_one_waiter_is_told_to_start_and_all_know_which(
    criticals, running, lengths, limit, co_run
) -> None:
    jobs = [waiting(30 + index, length, deadline) for index, (length, deadline) in enumerate(lengths)]
    here = view(criticals, running, jobs, limit, co_run=co_run)
    verdicts = {job.slot: admission.decide(here, job.slot, NOW) for job in jobs}
    admitted = [slot for slot, verdict in verdicts.items() if verdict.admitted]
    assert len(admitted) <= 1
    for slot, verdict in verdicts.items():
        assert verdict.winner == (admitted[0] if admitted else -1)
        if slot not in admitted:
            assert NOW < verdict.look_again_ns <= NOW + admission.LOOK_AGAIN_NS
            assert verdict.reason != admission.NONE
            assert verdict.blockers
