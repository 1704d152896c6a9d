# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Command against measurement: when the robot is not where it is commanded, it holds, and begins again where it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_controller import NAMES, PERIOD_S, START, Bench, fed

from edge_stack_control.controller import ControllerSettings
from edge_stack_control.explain import explain
from edge_stack_control.following_error import REST_S
from edge_stack_control.limits import JointLimits
from edge_stack_control.rules import ControlState, Reason

TIME_S = 0.5
LIMITS = JointLimits.of(
    NAMES, [-2.0, -2.0], [2.0, 2.0], [1.0, 2.0], following_error_max=0.25, following_error_s=TIME_S
)
AWAY = np.array([1.0, -0.8])


def following(bench: Bench, ticks: int, offset: np.ndarray | float = 0.0) -> None:
    """Tick with a robot that is at its last command, or beside it."""
    for index in range(ticks):
        if index % 5 == 0:
            bench.offer([0.5, 0.5])
        at = bench.commands[-1] if bench.commands else START
        bench.tick(measured=at + offset)


def test_a_robot_that_sags_a_little_and_lags_is_not_held() -> None:
    bench = Bench(limits=LIMITS)
    following(bench, 200, np.array([-0.05, 0.05]))
    assert bench.commands[-1] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_robot_that_does_not_follow_is_held_within_its_time_and_one_period() -> None:
    bench = Bench(limits=LIMITS)
    following(bench, 5)
    stuck = bench.commands[-1].copy()
    since_s = math.nan
    for index in range(200):
        if index % 5 == 0:
            bench.offer([1.8, 1.8])
        command = bench.tick(measured=stuck)
        if math.isnan(since_s) and command.following_error > 1.0:
            since_s = bench.now_s
        if command.reason is Reason.FOLLOWING_ERROR:
            break
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.FOLLOWING_ERROR)
    # The command waited, as near to the robot as that could be told.
    assert (np.abs(bench.commands[-1] - stuck) <= 0.25 + 2.0 * PERIOD_S * LIMITS.velocity_max).all()
    assert bench.now_s - since_s <= TIME_S + PERIOD_S + 1e-9
    text = explain(command, bench.controller.settings.rules, following=bench.controller.following)
    assert "lift" in text  # which was the first to be waited for
    assert "0.25" in text


def test_a_robot_that_is_late_is_waited_for_and_then_followed_as_before() -> None:
    bench = Bench(limits=LIMITS)
    following(bench, 5)
    stuck = bench.commands[-1].copy()
    waited = 0
    for index in range(14):
        if index % 5 == 0:
            bench.offer([1.8, 1.8])
        command = bench.tick(measured=stuck)
        waited += command.following_error > 1.0
        assert command.state is ControlState.RUN
    assert 2 < waited < TIME_S / PERIOD_S
    assert command.speed == 0.0
    text = explain(command, bench.controller.settings.rules, following=bench.controller.following)
    assert text.startswith("the command waits for") and "0.25" in text
    for index in range(100):
        if index % 5 == 0:
            bench.offer([1.8, 1.8])
        command = bench.tick(measured=bench.commands[-1])
    assert command.state is ControlState.RUN
    assert bench.commands[-1] == pytest.approx([1.8, 1.8], abs=1e-3)


def test_a_robot_that_was_moved_while_it_is_held_begins_where_it_came_to_rest() -> None:
    bench = Bench(limits=LIMITS)
    following(bench, 60)
    held = bench.tick(stop_requested=True)
    assert held.state is ControlState.STOP
    last = bench.commands[-1].copy()
    bench.run(10, measured=AWAY)  # moved by hand
    assert np.array_equal(bench.commands[-1], last), "a stop never moves"
    released_s = bench.now_s
    bench.offer(AWAY)
    first = bench.tick(stop_requested=False)
    while first.state >= ControlState.HOLD:
        assert np.array_equal(bench.commands[-1], last)
        if round((bench.now_s - released_s) / PERIOD_S) % 5 == 0:
            bench.offer(AWAY)
        first = bench.tick()
    assert bench.now_s - released_s >= REST_S
    assert bench.commands[-1] == pytest.approx(AWAY, abs=1.0 * PERIOD_S)


def test_while_somebody_moves_the_robot_motion_does_not_begin() -> None:
    bench = Bench(limits=LIMITS)
    following(bench, 30)
    last = bench.commands[-1].copy()
    for index in range(200):
        if index % 5 == 0:
            bench.offer([0.5, 0.5])
        command = bench.tick(measured=np.array([1.2 + 0.3 * math.sin(0.3 * index), -1.0]))
        assert command.positions is not None
    assert command.reason is Reason.FOLLOWING_ERROR
    assert np.abs(bench.commands[-1] - last).max() <= 2.0 * TIME_S + 0.1
    assert all(np.array_equal(one, bench.commands[-1]) for one in bench.commands[-100:])


def test_a_silent_hold_says_nothing_and_motion_begins_where_the_robot_is() -> None:
    bench = Bench(ControllerSettings(silent_hold=True), LIMITS)
    command = bench.tick()
    assert (command.state, command.positions) == (ControlState.HOLD, None)
    following(bench, 60)
    assert bench.commands
    sent = len(bench.commands)
    elsewhere = bench.commands[-1] + 0.2
    bench.run(60, stop_requested=True, measured=elsewhere)
    assert len(bench.commands) == sent
    bench.tick(stop_requested=False)
    fed(bench, 60, elsewhere)
    assert bench.commands[sent] == pytest.approx(elsewhere, abs=2.0 * PERIOD_S)


@pytest.mark.parametrize(("beyond", "begins"), [(0.04, True), (0.06, False), (1.0, False)])
def test_a_joint_that_is_measured_beyond_its_limit_begins_at_the_limit_or_not_at_all(
    beyond: float, begins: bool
) -> None:
    bench = Bench(limits=LIMITS)
    measured = np.array([2.0 + beyond, 0.0])
    command = fed(bench, 20, [1.5, 0.0], measured=measured)
    if begins:
        assert bench.commands[0].tolist() == [2.0, 0.0]
        return
    assert command.positions is None
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.OUTSIDE_LIMITS)
    assert "beyond a position limit" in explain(command, bench.controller.settings.rules)
    fed(bench, 20, [1.5, 0.0], measured=np.array([1.9, 0.0]))
    assert bench.commands[0].tolist() == [1.9, 0.0]


def test_measurements_that_come_and_go_move_a_held_robot_nowhere() -> None:
    """A sagging arm under a lossy link: each return of joint states used to lower the command, in HOLD and STOP too."""
    bench = Bench(limits=LIMITS)
    following(bench, 60)
    bench.tick(stop_requested=True)
    held = bench.commands[-1].copy()
    for index in range(240):
        age_s = 0.0 if index % 2 else 9.0
        bench.tick(measured=bench.commands[-1] - 0.05, joint_state_age_s=age_s)
        assert np.array_equal(bench.commands[-1], held)


def test_measurements_that_contradict_each_other_let_nothing_begin() -> None:
    bench = Bench(limits=LIMITS)
    command = fed(bench, 20, contradiction="pan: 0.5 and 0.0")
    assert (command.positions, command.reason) == (None, Reason.JOINT_STATE_CONTRADICTION)
    fed(bench, 20, contradiction="")
    assert bench.commands[0] == pytest.approx(START)
