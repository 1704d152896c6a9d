# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The safety rules: every condition has its reaction, the most severe decides, and more trouble is never milder."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.rules import (
    RULES,
    ControlState,
    Inputs,
    Reason,
    RuleLatch,
    RuleSettings,
    SafetyDecision,
    clear_s,
    conditions,
    decide,
    reaction,
)

SETTINGS = RuleSettings()
GOOD = Inputs()
WRONG: dict[Reason, Inputs] = {
    Reason.STOP_REQUESTED: replace(GOOD, stop_requested=True),
    Reason.STOP_UNKNOWN: replace(GOOD, stop_unknown=True),
    Reason.SECOND_COMMANDER: replace(GOOD, second_commander=True),
    Reason.JOINT_STATE_CONTRADICTION: replace(GOOD, joint_state_contradiction=True),
    Reason.OUTSIDE_LIMITS: replace(GOOD, outside_limits=True),
    Reason.FOLLOWING_ERROR: replace(GOOD, following_error=True),
    Reason.RULE_CANNOT_FIRE: replace(GOOD, rule_cannot_fire=True),
    Reason.PERSON_IN_WORKSPACE: replace(GOOD, person_in_workspace=True),
    Reason.JOINT_STATE_STALE: replace(GOOD, joint_state_age_s=0.6),
    Reason.INVALID_ACTION: replace(GOOD, invalid_action=True),
    Reason.STACK_STOPPING: replace(GOOD, stack_stopping=True),
    Reason.NO_ACTION: replace(GOOD, has_action=False, action_cover_s=0.0, action_age_s=math.nan),
    Reason.STALE_ACTION: replace(GOOD, action_cover_s=0.0),
    Reason.STALE_PERCEPTION: replace(GOOD, perception_age_s=1.1),
    Reason.SUPERVISOR_LOST: replace(GOOD, supervisor_age_s=2.1),
    Reason.PERSON_NEAR: replace(GOOD, person_distance=0.9),
    Reason.OBJECT_NEAR: replace(GOOD, object_distance=0.9),
    Reason.LIMIT_POSITION: replace(GOOD, position_limit_s=0.3),
    Reason.LIMIT_VELOCITY: replace(GOOD, velocity_limit_s=0.3),
}
REACTIONS = {
    Reason.STOP_REQUESTED: ControlState.STOP,
    Reason.STOP_UNKNOWN: ControlState.STOP,
    Reason.SECOND_COMMANDER: ControlState.HOLD,
    Reason.JOINT_STATE_CONTRADICTION: ControlState.HOLD,
    Reason.OUTSIDE_LIMITS: ControlState.HOLD,
    Reason.FOLLOWING_ERROR: ControlState.HOLD,
    Reason.RULE_CANNOT_FIRE: ControlState.HOLD,
    Reason.PERSON_IN_WORKSPACE: ControlState.STOP,
    Reason.JOINT_STATE_STALE: ControlState.HOLD,
    Reason.INVALID_ACTION: ControlState.HOLD,
    Reason.STACK_STOPPING: ControlState.HOLD,
    Reason.NO_ACTION: ControlState.HOLD,
    Reason.STALE_ACTION: ControlState.HOLD,
    Reason.STALE_PERCEPTION: ControlState.HOLD,
    Reason.SUPERVISOR_LOST: ControlState.SLOW,
    Reason.PERSON_NEAR: ControlState.SLOW,
    Reason.OBJECT_NEAR: ControlState.SLOW,
    Reason.LIMIT_POSITION: ControlState.SLOW,
    Reason.LIMIT_VELOCITY: ControlState.SLOW,
}
reasons = st.frozensets(st.sampled_from([rule.reason for rule in RULES]))
ages = st.one_of(st.floats(0.0, 10.0), st.sampled_from([math.inf, math.nan]))
any_inputs = st.builds(
    Inputs,
    stop_requested=st.booleans(),
    person_distance=ages,
    object_distance=ages,
    joint_state_age_s=ages,
    has_action=st.booleans(),
    action_cover_s=ages,
    action_age_s=ages,
    invalid_action=st.booleans(),
    perception_age_s=ages,
    person_in_workspace=st.booleans(),
    supervisor_age_s=ages,
    stack_stopping=st.booleans(),
    position_limit_s=ages,
    velocity_limit_s=ages,
)


def test_every_reason_but_ok_has_exactly_one_rule() -> None:
    assert sorted(rule.reason.value for rule in RULES) == sorted(
        r.value for r in Reason if r is not Reason.OK
    )


def test_nothing_wrong_means_run_at_full_speed() -> None:
    assert conditions(GOOD, SETTINGS) == frozenset()
    assert decide((), SETTINGS) == SafetyDecision(ControlState.RUN, Reason.OK, 1.0, 1.0)


@pytest.mark.parametrize("reason", list(WRONG), ids=lambda r: r.value)
def test_a_condition_gives_its_reason_and_reaction(reason: Reason) -> None:
    assert conditions(WRONG[reason], SETTINGS) == {reason}
    decision = decide({reason}, SETTINGS)
    assert (decision.reason, decision.state) == (reason, REACTIONS[reason])


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (replace(GOOD, joint_state_age_s=math.inf), Reason.JOINT_STATE_STALE),
        (replace(GOOD, perception_age_s=math.nan), Reason.STALE_PERCEPTION),
        (replace(GOOD, person_distance=math.nan), Reason.PERSON_NEAR),
        (replace(GOOD, object_distance=math.nan), Reason.OBJECT_NEAR),
        (replace(GOOD, supervisor_age_s=math.inf), Reason.SUPERVISOR_LOST),
        (replace(GOOD, action_age_s=2.5), Reason.STALE_ACTION),
        (replace(GOOD, action_age_s=math.nan), Reason.STALE_ACTION),
        (replace(GOOD, action_cover_s=math.nan), Reason.STALE_ACTION),
    ],
)
def test_what_was_never_seen_or_is_no_number_counts_as_too_old(inputs: Inputs, reason: Reason) -> None:
    assert conditions(inputs, SETTINGS) == {reason}


def test_a_timeout_of_zero_switches_its_rule_off() -> None:
    settings = replace(SETTINGS, perception_timeout_s=0.0, supervisor_timeout_s=0.0)
    assert (
        conditions(replace(GOOD, perception_age_s=math.inf, supervisor_age_s=math.inf), settings)
        == frozenset()
    )


def test_a_position_never_known_holds_even_without_a_timeout() -> None:
    settings = replace(SETTINGS, joint_state_timeout_s=0.0)
    assert conditions(replace(GOOD, joint_state_age_s=math.nan), settings) == {Reason.JOINT_STATE_STALE}


def test_a_configured_reaction_replaces_the_rules_own() -> None:
    settings = replace(SETTINGS, reactions={Reason.STALE_PERCEPTION: ControlState.SLOW})
    decision = decide({Reason.STALE_PERCEPTION}, settings)
    assert decision.state is ControlState.SLOW
    assert decision.velocity == settings.slow_scale


def test_slow_lowers_speed_limits_but_not_where_the_joints_are_at_their_limits_anyway() -> None:
    lost = decide({Reason.SUPERVISOR_LOST}, SETTINGS)
    assert (lost.progress, lost.velocity) == (SETTINGS.slow_scale, SETTINGS.slow_scale)
    limit = decide({Reason.LIMIT_VELOCITY}, SETTINGS)
    assert (limit.progress, limit.velocity) == (SETTINGS.limit_scale, 1.0)


def test_a_requested_stop_is_shown_before_any_other_reason_and_a_person_next() -> None:
    assert decide(list(Reason), SETTINGS).reason is Reason.STOP_REQUESTED
    others = set(Reason) - {Reason.STOP_REQUESTED, Reason.STOP_UNKNOWN}
    assert decide(others, SETTINGS).reason is Reason.PERSON_IN_WORKSPACE


@pytest.mark.parametrize("reason", [Reason.PERSON_NEAR, Reason.OBJECT_NEAR])
@given(near=st.floats(0.0, 2.0), far=st.floats(0.0, 2.0))
def test_speed_falls_with_the_distance_down_to_the_slow_scale(
    reason: Reason, near: float, far: float
) -> None:
    field = "person_distance" if reason is Reason.PERSON_NEAR else "object_distance"

    def speed(distance: float) -> float:
        inputs = replace(GOOD, **{field: distance})
        return decide({reason}, SETTINGS, inputs).velocity

    near, far = sorted((near, far))
    assert SETTINGS.slow_scale <= speed(near) <= speed(far) <= 1.0
    assert speed(0.0) == pytest.approx(SETTINGS.slow_scale) == pytest.approx(speed(math.nan))
    assert speed(0.5) == pytest.approx((1.0 + SETTINGS.slow_scale) / 2.0)
    assert speed(1.0) == 1.0


@given(reasons, reasons)
def test_more_reasons_never_make_the_reaction_milder_or_faster(
    some: frozenset[Reason], more: frozenset[Reason]
) -> None:
    less, all_of_them = decide(some, SETTINGS), decide(some | more, SETTINGS)
    assert all_of_them.state >= less.state
    assert all_of_them.progress <= less.progress
    assert all_of_them.velocity <= less.velocity


@given(any_inputs)
def test_the_decision_is_as_severe_as_every_rule_that_holds(inputs: Inputs) -> None:
    present = conditions(inputs, SETTINGS)
    decision = decide(present, SETTINGS)
    wanted = [reaction(rule, SETTINGS) for rule in RULES if rule.reason in present]
    assert decision.state == max(wanted, default=ControlState.RUN)
    assert (decision.reason is Reason.OK) == (decision.state is ControlState.RUN)
    assert decision.reason is Reason.OK or decision.reason in present


@given(any_inputs)
def test_hold_and_stop_always_mean_standstill(inputs: Inputs) -> None:
    decision = decide(conditions(inputs, SETTINGS), SETTINGS)
    if decision.state >= ControlState.HOLD:
        assert decision.progress == decision.velocity == 0.0
    assert 0.0 <= decision.velocity <= 1.0


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.reason.value)
def test_a_reaction_outlives_its_condition_by_the_clear_time_and_no_longer(rule: object) -> None:
    latch = RuleLatch()
    keep_s = clear_s(rule, SETTINGS)  # type: ignore[arg-type]
    reason = rule.reason  # type: ignore[attr-defined]
    assert latch.update({reason}, 100.0, SETTINGS) == {reason}
    assert latch.update((), 100.0 + 0.9 * keep_s, SETTINGS) == {reason}
    assert latch.update((), 100.0 + 1.1 * keep_s, SETTINGS) == frozenset()


def test_a_stop_takes_the_longer_clear_time() -> None:
    person = next(rule for rule in RULES if rule.reason is Reason.PERSON_IN_WORKSPACE)
    stale = next(rule for rule in RULES if rule.reason is Reason.STALE_ACTION)
    assert clear_s(person, SETTINGS) == SETTINGS.stop_clear_s
    assert clear_s(stale, SETTINGS) == SETTINGS.clear_s


@given(st.lists(st.tuples(reasons, st.floats(0.0, 1.0)), max_size=20))
def test_a_latch_never_hides_a_condition_that_holds(steps: list[tuple[frozenset[Reason], float]]) -> None:
    latch, now_s = RuleLatch(), 0.0
    for present, wait_s in steps:
        now_s += wait_s
        assert latch.update(present, now_s, SETTINGS) >= present
