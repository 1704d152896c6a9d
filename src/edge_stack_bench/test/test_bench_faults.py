# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of faults concludes from what it sees: signs, recovery, gaps and unsafe commands."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from edge_stack_bench.benchmarks.faults_limits import missed_limits
from edge_stack_bench.benchmarks.faults_observe import Account, CommandLimits, FaultObservations, trouble
from edge_stack_bench.faults import KINDS, parse_fault
from edge_stack_bench.ros.faults import CASES

PERIOD_S = 1.0 / 24.0
LIMITS = CommandLimits(np.array([-1.0]), np.array([1.0]), np.array([2.0]), PERIOD_S)


@pytest.fixture
def seen() -> FaultObservations:
    return FaultObservations(LIMITS)


def commands(seen: FaultObservations, begin_s: float, count: int, position: float = 0.0) -> None:
    for tick in range(count):
        seen.command(begin_s + tick * PERIOD_S, [position])


def test_every_kind_of_fault_has_a_row_and_every_row_is_a_fault() -> None:
    assert {parse_fault(case.fault).kind for case in CASES} == set(KINDS)
    for case in CASES:
        re.compile(case.sign)


def test_what_control_said_that_it_did_between_two_times(seen: FaultObservations) -> None:
    for at_s, state in ((1.0, "run"), (2.0, "stop"), (3.0, "stop"), (2.5, "hold"), (4.0, "run")):
        seen.control(at_s, state, state)
    assert seen.states(1.5, 3.5) == ["stop", "hold"]
    assert seen.states(2.0, 2.2) == ["stop"]


def test_the_first_sign_after_the_fault_counts(seen: FaultObservations) -> None:
    seen.control(1.0, "hold", "stale_perception")
    seen.control(2.0, "run", "ok")
    seen.control(11.0, "hold", "stale_perception")
    sign = seen.first_sign("stale_perception", 10.0)
    assert sign is not None and sign.began_s == 11.0
    assert seen.first_sign("stale_action", 10.0) is None


def test_a_count_that_rises_or_begins_anew_is_a_sign(seen: FaultObservations) -> None:
    for now_s, count in ((1.0, 0), (2.0, 3), (3.0, 3), (4.0, 1)):
        seen.events(now_s, "detect", {"image_raw: flood": count})
    assert [s.began_s for s in seen.signs] == [2.0, 4.0]


def test_all_is_well_only_when_the_stack_is_active_and_nobody_says_otherwise(seen: FaultObservations) -> None:
    seen.stack(1.0, True, {})
    seen.stack(5.0, False, {"detect": "died"})
    seen.stack(7.0, True, {})
    seen.control(8.0, "hold", "stale_perception")
    seen.control(8.5, "run", "ok")
    assert seen.well_since(0.0, 3.0, 20.0) == 1.0
    assert seen.well_since(5.0, 1.0, 20.0) == 7.0
    assert seen.well_since(5.0, 2.0, 20.0) == 8.5
    assert seen.well_since(5.0, 2.0, 9.0) is None


def test_the_gap_is_the_longest_time_without_a_command(seen: FaultObservations) -> None:
    commands(seen, 0.0, 24)
    commands(seen, 1.5, 24)
    assert seen.control_gap_s(0.5, 2.0) == pytest.approx(1.5 - 23 * PERIOD_S)
    assert seen.control_gap_s(1.6, 2.0) == pytest.approx(PERIOD_S)
    assert seen.control_gap_s(5.0, 9.0) == pytest.approx(9.0 - 1.5 - 23 * PERIOD_S)


@pytest.mark.parametrize(
    ("commander", "given", "gap_s"),
    [
        ("fusion", 48, 0.042),
        ("fusion", 24, 1.5 - 23 * PERIOD_S),  # they were not lost: they were never given
        ("fusion_standby", 48, 1.5 - 23 * PERIOD_S),  # which knows nothing of the other one
    ],
)
def test_commands_that_were_lost_on_the_way_here_are_no_gap_of_control(
    seen: FaultObservations, commander: str, given: int, gap_s: float
) -> None:
    commands(seen, 0.0, 24)
    seen.control(0.5, "run", "ok", Account(0.5, "fusion", 100, 0.042))
    commands(seen, 1.5, 24)
    assert seen.control_gap_s(0.5, 2.4) == pytest.approx(1.5 - 23 * PERIOD_S)
    seen.control(2.5, "run", "ok", Account(2.5, commander, 100 + given, 0.042))
    assert seen.control_gap_s(0.5, 2.4) == pytest.approx(gap_s)


@pytest.mark.parametrize(
    "measured_s", [9 * PERIOD_S, 12 * PERIOD_S]
)  # what was measured may arrive after the command
def test_a_command_that_begins_anew_at_the_measured_position_is_safe(
    seen: FaultObservations, measured_s: float
) -> None:
    commands(seen, 0.0, 10, 0.9)
    seen.joints(measured_s, [-0.9])
    commands(seen, 10 * PERIOD_S, 10, -0.9)
    assert len(seen.unsafe_commands(0.0, 5.0)) == 0
    commands(seen, 20 * PERIOD_S, 10, 0.9)
    assert len(seen.unsafe_commands(0.0, 5.0)) == 1


@pytest.mark.parametrize(("measured", "unsafe"), [(0.003, 0), (0.002, 1)])
def test_a_hold_may_begin_anew_exactly_where_the_robot_is_measured(
    seen: FaultObservations, measured: float, unsafe: int
) -> None:
    commands(seen, 0.0, 10, 0.0)
    commands(seen, 10 * PERIOD_S, 10, 0.003)
    seen.joints(9 * PERIOD_S, [measured])
    for now_s in (0.0, 0.5, 1.0):
        seen.control(now_s, "hold", "stale_action")
    assert len(seen.unsafe_commands(0.0, 1.0)) == unsafe


def test_commands_that_were_missing_are_missing_from_a_later_account_too(seen: FaultObservations) -> None:
    commands(seen, 0.0, 24)
    commands(seen, 1.5, 24)
    seen.control(0.5, "run", "ok", Account(0.5, "fusion", 100, 0.042))
    # Its stamp was held back with the clock: alone it would say that nothing was missing.
    seen.control(2.4, "run", "ok", Account(2.4, "fusion", 144, 0.042))
    assert seen.control_gap_s(0.5, 2.0) == pytest.approx(0.042)
    seen.control(8.0, "run", "ok", Account(8.0, "fusion", 266, 0.042))
    assert seen.control_gap_s(0.5, 2.0) == pytest.approx(1.5 - 23 * PERIOD_S)


@pytest.mark.parametrize(
    ("position", "unsafe"),
    [(0.05, 0), (1.5, 2), (0.9, 2), (math.nan, 1)],
    ids=["small", "range", "fast", "nan"],
)
def test_commands_beyond_limits_are_unsafe(seen: FaultObservations, position: float, unsafe: int) -> None:
    commands(seen, 0.0, 10)
    seen.command(10 * PERIOD_S, [position])
    commands(seen, 11 * PERIOD_S, 10)
    assert len(seen.unsafe_commands(0.0, 5.0)) == unsafe


def test_a_command_that_moves_during_a_hold_is_unsafe(seen: FaultObservations) -> None:
    for tick in range(24):
        seen.command(tick * PERIOD_S, [0.001 * tick])
    assert len(seen.unsafe_commands(0.0, 1.0)) == 0
    seen.control(0.2, "hold", "stale_action")
    seen.control(0.4, "hold", "stale_action")
    seen.control(0.6, "run", "ok")
    assert len(seen.unsafe_commands(0.0, 1.0)) == len(
        [t for t in range(1, 24) if (t - 1) * PERIOD_S > 0.2 and t * PERIOD_S < 0.4]
    )


@pytest.mark.parametrize(
    ("fault", "message", "reason", "state", "text"),
    [
        ("", "", "", "active", ""),
        ("", "", "", "inactive", "inactive"),
        ("died", "its process ended; coming back", "", "missing", "died; its process ended; coming back"),
        ("", "task: the red cube is out of reach", "", "active", ""),
        ("", "slow: limit_position", "", "active", ""),
        ("", "slow: object_near", "", "active", "slow: object_near"),
        ("", "hold: stale_action", "", "active", "hold: stale_action"),
        ("", "", "mode", "active", ""),
        ("", "", "mode; power: 105% of the budget", "active", "power: 105% of the budget"),
    ],
)  # fmt: skip
def test_what_is_the_tasks_or_a_modes_is_no_trouble(
    fault: str, message: str, reason: str, state: str, text: str
) -> None:
    assert trouble(fault, message, reason, state, "active") == text


def test_the_cause_of_what_the_governor_does_ends_when_the_board_is_no_longer_strained(
    seen: FaultObservations,
) -> None:
    for now_s, strained in ((1.0, False), (5.0, True), (6.0, True), (9.0, False), (9.5, True), (9.7, False)):
        seen.board(now_s, strained)
    assert seen.cool_since(8.0) == 9.0
    assert seen.cool_since(2.0) is None, "it was not strained when the fault ended"
    assert seen.cool_since(9.8) is None


WELL = {
    "fault": "",
    "detected_ms": 100.0,
    "control_gap_ms": 42.0,
    "unsafe_commands": 0,
    "recovered_ms": 900.0,
    "states": ["run", "hold"],
    "signs": [{"text": "control hold: stale_action"}],
    "lost": [],
}
SECOND = [{"text": "control hold: second_commander"}]


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("node_kill", {}, []),
        ("node_kill", {"detected_ms": 501.0}, ["noticed after 501 ms, limit 500"]),
        ("camera_stall", {"detected_ms": 450.0}, ["noticed after 450 ms, limit 400"]),
        ("cpu_hog", {"detected_ms": 3000.0}, []),
        ("cpu_hog", {"detected_ms": None}, ["not noticed"]),
        ("node_hang", {"control_gap_ms": 84.0}, ["no command for 84.0 ms, limit 83.3"]),
        ("policy_nan", {"unsafe_commands": 2}, ["2 unsafe commands"]),
        ("fan_fail", {"recovered_ms": 3001.0}, ["well again after 3001 ms, limit 3000"]),
        ("node_kill", {"fault": "node_kill:sim", "recovered_ms": 4900.0}, []),
        (
            "node_kill",
            {"fault": "node_kill:sim", "recovered_ms": 5001.0},
            ["well again after 5001 ms, limit 5000"],
        ),
        ("fan_fail", {"recovered_ms": None, "lost": ["node obb: died"]}, ["not all came back"]),
        ("second_commander", {"signs": SECOND}, []),
        ("node_kill", {"signs": SECOND}, ["took itself for a second commander"]),
        (
            "large_inputs",
            {"subscriber_gap_ms": 84.0},
            ["a subscriber heard no command for 84.0 ms, limit 83.3"],
        ),
        ("stop_restart", {"states": ["stop"], "control_gap_ms": 2500.0}, []),
        ("stop_restart", {"states": ["stop", "run"]}, ["did not stand in stop all the time: stop, run"]),
        ("stop_restart", {"states": []}, ["did not stand in stop all the time: said nothing"]),
        ("", {"detected_ms": None, "recovered_ms": None}, []),
        ("", {"detected_ms": None, "recovered_ms": 60000.0}, []),
    ],
)
def test_a_row_says_which_limits_it_missed(kind: str, changed: dict[str, object], said: list[str]) -> None:
    assert missed_limits({**WELL, **changed}, kind, PERIOD_S) == said
