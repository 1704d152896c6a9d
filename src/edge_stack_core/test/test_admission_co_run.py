# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which background jobs a critical one lets run beside it: what it learns from durations with a known cause."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.admission import layout
from edge_stack_core.admission.co_run import SLOWDOWN, InterferenceModel

MS = 1_000_000
PERIOD = 42 * MS
ALONE = 14 * MS
CALM, WILD = (3, 77), (63, 78)


class Machine:
    """Inferences whose duration is that of running alone, some noise, and what each neighbour adds."""

    def __init__(self, slowdowns: dict[tuple[int, int], float], seed: int = 0, alone: int = ALONE) -> None:
        self.alone = alone
        self.interference = InterferenceModel(PERIOD)
        self.slowdowns = slowdowns
        self.random = random.Random(seed)
        self.now = 0
        self.durations: list[float] = []

    def run(self, count: int, share: Callable[[], float] = lambda: 0.9) -> None:
        """Run inferences; those who may run take turns beside each."""
        for _ in range(count):
            mask = self.interference.allowed(self.now)
            allowed = [job for job in self.slowdowns if mask >> job[0] & 1]
            parts = {job: self.random.random() for job in allowed}
            total = sum(parts.values()) or 1.0
            shares = {job: part / total * share() for job, part in parts.items()}
            factor = 1.0 + sum(self.slowdowns[job] * part for job, part in shares.items())
            duration = self.alone * factor * self.random.gauss(1.0, 0.02)
            self.durations.append(duration / self.alone)
            ran = {job: round(duration * shares.get(job, 0.0)) for job in self.slowdowns}
            self.interference.learn(round(duration), ran)
            self.now += PERIOD

    def may_run(self, job: tuple[int, int]) -> bool:
        self.interference.allowed(self.now)  # if one that is kept apart is to be tried now, this was it
        if self.interference.allowed(self.now) == 0:
            self.run(1)  # the one that is to be alone
        return bool(self.interference.allowed(self.now) >> job[0] & 1)


def test_nobody_runs_co_run_the_first_inferences_and_some_later_ones() -> None:
    machine = Machine({CALM: 0.0})
    assert machine.interference.allowed(0) == 0
    machine.run(100)
    masks = []
    for _ in range(64):
        masks.append(machine.interference.allowed(machine.now))
        machine.run(1)
    assert 3 <= masks.count(0) <= 5


@pytest.mark.parametrize("share", [0.9, 0.3])
def test_a_job_that_does_not_slowdown_the_inference_may_run_co_run_it_and_one_that_does_may_not(
    share: float,
) -> None:
    machine = Machine({CALM: 0.05, WILD: 0.5})
    machine.run(400, lambda: share)
    assert machine.may_run(CALM)
    assert not machine.may_run(WILD)


def test_a_job_that_slowdowns_the_inference_is_kept_out_before_it_shows_in_the_99th_percentile() -> None:
    machine = Machine({WILD: 0.4})
    machine.run(1500)
    late = sum(duration > 1.0 + SLOWDOWN + 0.06 for duration in machine.durations)
    assert 0 < late < 15


def test_a_job_that_is_kept_apart_is_tried_again_and_let_in_when_it_became_better() -> None:
    machine = Machine({WILD: 0.3})
    machine.run(100)
    assert not machine.may_run(WILD)
    machine.slowdowns[WILD] = 0.0
    machine.run(round(300e9 / PERIOD))
    assert machine.may_run(WILD)


def test_a_new_job_in_the_slot_of_one_that_was_kept_apart_is_not_judged_by_it() -> None:
    machine = Machine({WILD: 0.5})
    machine.run(100)
    machine.slowdowns = {(WILD[0], 99): 0.0}
    machine.run(20)
    assert machine.may_run((WILD[0], 99))


def test_one_inference_that_the_system_held_up_does_not_keep_a_job_out() -> None:
    machine = Machine({CALM: 0.0})
    machine.run(100)
    machine.interference.learn(10 * ALONE, {CALM: ALONE})
    assert machine.may_run(CALM)


def test_those_who_may_run_at_a_time_slowdown_the_inference_together_no_further_than_one_may() -> None:
    interference = InterferenceModel(PERIOD)
    jobs = {(slot, 70 + slot): SLOWDOWN * 0.6 for slot in range(4)}
    at_once, durations = 3, []
    for number in range(600):
        mask = interference.allowed(0, at_once)
        co_run = [job for job in jobs if mask >> job[0] & 1][: at_once + number % 2]
        durations.append(1.0 + sum(jobs[job] for job in co_run))
        duration = round(ALONE * durations[-1])
        interference.learn(duration, {job: duration if job in co_run else 0 for job in jobs})
    assert max(durations[-100:]) <= 1.0 + SLOWDOWN
    assert max(durations[-100:]) > 1.0, "one may"


@pytest.mark.parametrize("at_once", [0, 1])
def test_one_that_takes_longer_than_its_period_lets_everyone_run_co_run_it_from_the_second_on(
    at_once: int,
) -> None:
    interference = InterferenceModel(PERIOD)
    masks = []
    for _ in range(60):
        masks.append(interference.allowed(0, at_once))
        interference.learn(120 * PERIOD, {WILD: 60 * PERIOD if masks[-1] else 0})
    assert masks == [0] + [-1] * 59


@pytest.mark.parametrize("at_once", [0, 1])
def test_a_slow_first_inference_opens_the_door_for_one_inference_only(at_once: int) -> None:
    interference = InterferenceModel(PERIOD)
    interference.learn(10 * PERIOD, {})
    assert interference.allowed(0, at_once) == -1
    interference.learn(ALONE, {WILD: ALONE})
    assert interference.allowed(0, at_once) == 0


@pytest.mark.parametrize("factor", [1.2, 3.0])
def test_one_that_became_short_enough_keeps_away_again_who_slowdowns_it(factor: float) -> None:
    machine = Machine({WILD: 0.5}, alone=round(PERIOD * factor))
    machine.run(100)
    assert machine.may_run(WILD)
    machine.alone = ALONE
    machine.run(400)
    assert not machine.may_run(WILD)


@given(st.integers(-(1 << 70), 1 << 70))
def test_a_mask_is_a_word_with_the_same_low_64_bits(bits: int) -> None:
    word = layout.mask_of(bits)
    assert -(1 << 63) <= word < 1 << 63
    assert all(word >> slot & 1 == bits >> slot & 1 for slot in range(64))
