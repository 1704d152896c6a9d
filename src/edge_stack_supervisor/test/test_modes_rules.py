# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Rules: when a mode is due, which rule wins, and that they never flap whatever comes in."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from edge_stack_supervisor.modes import Battery, Detection, Instruction, ModeRule, RuleBook, TimeOut

TICK_S = 0.2
DWELL_S = 2.0
RETRY_S = 10.0
MODES = ("work", "look", "standby")


def rule(condition, target: str, *sources: str) -> ModeRule:
    return ModeRule(condition, target, frozenset(sources or set(MODES) - {target}))


class Stack:
    """A stack that follows its rules at once, and its clock."""

    def __init__(self, *rules: ModeRule, mode: str = "work") -> None:
        self.book = RuleBook(rules, DWELL_S, RETRY_S)
        self.now_s = 100.0
        self.mode = mode
        self.switches: list[tuple[float, str]] = []
        self.book.entered(mode, self.now_s)

    def enter(self, mode: str) -> None:
        self.mode = mode
        self.book.entered(mode, self.now_s)

    def run(self, duration_s: float, scores=None, charge: float | None = None) -> str:
        for _ in range(round(duration_s / TICK_S)):
            self.now_s += TICK_S
            if scores is not None:
                self.book.take_detections(scores, self.now_s)
            if charge is not None:
                self.book.take_battery(charge, self.now_s)
            due = self.book.due(self.now_s)
            if due is not None:
                self.book.done(due)
                self.enter(due.target)
                self.switches.append((self.now_s, self.mode))
        return self.mode


def test_an_instruction_switches_once_whatever_its_case() -> None:
    stack = Stack(rule(Instruction(r"\blook\b"), "look"))
    stack.run(5.0)
    stack.book.take_instruction("please LOOK around")
    assert stack.run(1.0) == "look"
    stack.enter("work")
    assert stack.run(10.0) == "work"
    stack.book.take_instruction("overlook it")
    assert stack.run(5.0) == "work"
    stack.book.take_instruction("look")
    assert stack.run(1.0) == "look"


def test_an_instruction_within_the_dwell_time_waits_for_its_end() -> None:
    stack = Stack(rule(Instruction("look"), "look"))
    stack.book.take_instruction("look")
    assert stack.run(DWELL_S - 2 * TICK_S) == "work"
    assert stack.run(1.0) == "look"


def test_objects_of_a_class_must_be_seen_for_some_time_well_enough_and_enough_of_them() -> None:
    condition = Detection("person", score=0.6, count=2, for_s=1.0, clear_s=1.0)
    stack = Stack(rule(condition, "standby"))
    assert stack.run(5.0, {"person": [0.9]}) == "work"
    assert stack.run(5.0, {"person": [0.9, 0.5]}) == "work"
    assert stack.run(5.0, {"cube": [0.9, 0.9]}) == "work"
    assert stack.run(0.8, {"person": [0.9, 0.7]}) == "work"
    stack.run(0.2, {})
    assert stack.run(0.8, {"person": [0.9, 0.7]}) == "work"
    assert stack.run(0.6, {"person": [0.9, 0.7]}) == "standby"


def test_a_detector_that_falls_silent_sees_nothing() -> None:
    stack = Stack(rule(Detection("person", for_s=0.4, clear_s=1.0), "standby"))
    stack.run(3.0, {"person": [0.9]})
    stack.enter("work")
    assert stack.run(10.0) == "work"
    assert stack.run(3.0, {"person": [0.9]}) == "standby"  # it was not seen meanwhile: this is a new sight


def test_the_battery_must_be_low_for_some_time_and_recover_by_the_hysteresis() -> None:
    stack = Stack(rule(Battery(below=0.2, hysteresis=0.1, for_s=2.0), "standby"))
    stack.run(5.0, charge=0.5)
    assert stack.run(1.6, charge=0.19) == "work"
    assert stack.run(1.0, charge=0.19) == "standby"
    stack.enter("work")  # somebody wants it all the same
    for charge in (0.1, 0.25, 0.15, 0.29):
        assert stack.run(5.0, charge=charge) == "work"
    stack.run(5.0, charge=0.31)
    assert stack.run(5.0, charge=0.1) == "standby"


def test_a_full_battery_counts_as_recovered_and_an_unknown_one_changes_nothing() -> None:
    stack = Stack(rule(Battery(below=0.98, hysteresis=0.1, for_s=1.0), "standby"))
    stack.run(5.0, charge=0.9)
    stack.enter("work")
    stack.run(5.0, charge=math.nan)
    assert stack.run(5.0, charge=7.0) == "work"
    stack.run(5.0, charge=1.0)
    assert stack.run(5.0, charge=0.9) == "standby"


def test_a_time_out_leads_out_of_its_modes_each_time() -> None:
    stack = Stack(rule(TimeOut(10.0), "standby", "look"))
    assert stack.run(30.0) == "work"
    for _ in range(2):
        stack.enter("look")
        assert stack.run(9.6) == "look"
        assert stack.run(1.0) == "standby"


def test_while_the_condition_of_a_rule_holds_later_rules_do_not_lead_out_of_its_mode() -> None:
    low = rule(Battery(below=0.2, for_s=1.0), "standby")
    seen = rule(Detection("cube", for_s=1.0), "work")
    stack = Stack(low, seen)
    assert stack.run(20.0, {"cube": [0.9]}, charge=0.1) == "standby"
    assert stack.run(20.0, {"cube": [0.9]}, charge=0.9) == "work"
    later = Stack(seen, low, mode="look")
    assert later.run(20.0, {"cube": [0.9]}, charge=0.1) == "work"


def test_a_switch_that_failed_is_due_again_after_a_pause() -> None:
    book = RuleBook([rule(Battery(below=0.2, for_s=0.0), "standby")], DWELL_S, RETRY_S)
    book.entered("work", 0.0)
    book.take_battery(0.1, 10.0)
    due = book.due(10.0)
    assert due is not None
    book.failed(due, 10.0)
    assert book.due(10.0 + RETRY_S - 0.1) is None
    assert book.due(10.0 + RETRY_S) is due


@pytest.mark.parametrize("levels", [(0.16, 0.24), (0.199, 0.201), (0.2, 0.2499)])
def test_a_charge_that_wavers_within_the_hysteresis_switches_once(levels: tuple[float, float]) -> None:
    back = rule(Battery(above=0.25, hysteresis=0.05, for_s=1.0), "work", "standby")
    stack = Stack(rule(Battery(below=0.2, hysteresis=0.05, for_s=1.0), "standby"), back)
    stack.run(3.0, charge=0.1)
    for _ in range(20):
        for level in levels:
            stack.run(2.0, charge=level)
    assert [mode for _, mode in stack.switches] == ["standby"]


CONDITIONS = st.one_of(
    st.builds(
        Battery, below=st.sampled_from([0.2, 0.5]), hysteresis=st.just(0.1), for_s=st.sampled_from([0.0, 1.0])
    ),
    st.builds(
        Battery, above=st.sampled_from([0.3, 0.6]), hysteresis=st.just(0.1), for_s=st.sampled_from([0.0, 1.0])
    ),
    st.builds(
        Detection,
        class_id=st.sampled_from(["cube", "person"]),
        for_s=st.sampled_from([0.0, 0.6]),
        clear_s=st.sampled_from([0.0, 0.6]),
    ),
    st.builds(Instruction, pattern=st.sampled_from(["look", "work", "."])),
    st.builds(TimeOut, after_s=st.sampled_from([0.2, 5.0])),
)
RULES = st.lists(
    st.builds(
        lambda condition, target, sources: rule(condition, target, *(sources - {target})),
        CONDITIONS,
        st.sampled_from(MODES),
        st.frozensets(st.sampled_from(MODES)),
    ),
    max_size=6,
)
INPUTS = st.tuples(
    st.sampled_from([{}, {"cube": [0.9]}, {"person": [0.9]}, {"cube": [0.9], "person": [0.4]}, None]),
    st.one_of(st.none(), st.floats(-0.5, 1.5), st.just(math.nan)),
    st.sampled_from([None, None, "look", "work", ""]),
)


@given(rules=RULES, inputs=st.lists(INPUTS, max_size=60))
def test_rules_never_leave_a_mode_before_its_dwell_time(rules, inputs) -> None:
    stack = Stack(*rules)
    for scores, charge, text in inputs:
        if text is not None:
            stack.book.take_instruction(text)
        stack.run(TICK_S, scores, charge)
    times = [100.0, *(at_s for at_s, _ in stack.switches)]
    assert all(later - earlier >= DWELL_S - 1e-6 for earlier, later in itertools.pairwise(times))


@given(rules=RULES, inputs=st.lists(INPUTS, max_size=20), last=INPUTS)
def test_inputs_that_stay_as_they_are_end_in_one_mode(rules, inputs, last) -> None:
    rules = [r for r in rules if not isinstance(r.condition, TimeOut)]
    stack = Stack(*rules)
    for scores, charge, text in [*inputs, last]:
        if text is not None:
            stack.book.take_instruction(text)
        stack.run(TICK_S, scores, charge)
    stack.switches.clear()
    stack.run(60.0, last[0], last[1])
    # Each condition may still come to hold once, and an instruction may have waited.
    assert len(stack.switches) <= len(rules) + 1
    settled = stack.mode
    count = len(stack.switches)
    stack.run(60.0, last[0], last[1])
    assert (stack.mode, len(stack.switches)) == (settled, count)
