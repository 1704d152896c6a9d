# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Measured joint positions: what is taken, what is refused and named, and when nothing may begin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.joint_measurement import (
    CONTRADICTION_S,
    PLAUSIBLE_BEYOND,
    SETTLE_S,
    JointMeasurement,
    MeasurementFault,
)
from edge_stack_core.robot import Joint, Robot

NAMES = ("pan", "lift")
ROBOT = Robot("arm", "base_link", tuple(Joint(n, -1.5, 1.5, 2.0, 0.0, 0.25, 0.5) for n in NAMES), {})
PERIOD_S = 0.02


class Stream:
    """Messages at 50 Hz into one JointMeasurement."""

    def __init__(self) -> None:
        self.measurement = JointMeasurement(ROBOT.joints)
        self.now_s = 100.0
        self.faults: list[MeasurementFault] = []

    def send(
        self,
        *positions: float,
        names: tuple[str, ...] = NAMES,
        late_s: float = 0.0,
        after_s: float = PERIOD_S,
    ) -> None:
        self.now_s += after_s
        refused = self.measurement.take(names, positions, self.now_s - late_s, self.now_s)
        self.faults += [one.fault for one in refused]

    def settle(self, *positions: float) -> None:
        for _ in range(round(SETTLE_S / PERIOD_S) + 2):
            self.send(*positions)

    @property
    def told(self) -> list[float] | None:
        positions = self.measurement.positions
        return None if positions is None else positions.tolist()


def test_positions_are_told_in_the_robots_order_once_they_have_agreed_for_a_while() -> None:
    stream = Stream()
    stream.send(0.2, 9.0, 0.1, names=("lift", "wheel", "pan"))
    assert stream.told is None
    stream.settle(0.1, 0.2)
    assert (stream.told, stream.faults) == ([0.1, 0.2], [])


def test_joints_of_several_messages_are_merged_each_with_its_age_and_what_is_missing_is_named() -> None:
    stream = Stream()
    for _ in range(20):
        stream.send(0.3, names=("pan",))
    assert (stream.told, stream.measurement.missing()) == (None, ["lift"])
    for _ in range(12):
        stream.send(0.3, names=("pan",))
        stream.send(0.4, names=("lift",))
    assert stream.told == [0.3, 0.4]
    silent_from_s = stream.now_s
    for _ in range(50):
        stream.send(0.3, names=("pan",))
    assert stream.measurement.seen_s == silent_from_s, "the age of the oldest joint counts"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (math.nan, MeasurementFault.NOT_FINITE),
        (math.inf, MeasurementFault.NOT_FINITE),
        (50.0, MeasurementFault.IMPLAUSIBLE),
        (-1e300, MeasurementFault.IMPLAUSIBLE),
        (0.9, MeasurementFault.JUMP),
    ],
)
def test_one_bad_value_is_refused_named_and_changes_nothing(value: float, fault: MeasurementFault) -> None:
    stream = Stream()
    stream.settle(0.0, 0.0)
    refused = stream.measurement.take(NAMES, (value, 0.0), stream.now_s + PERIOD_S, stream.now_s + PERIOD_S)
    assert [(one.fault, one.joint) for one in refused] == [(fault, "pan")]
    assert "pan" in refused[0].text
    assert stream.told == [0.0, 0.0]
    assert stream.measurement.contradiction(stream.now_s) == ""


def test_garbage_beside_good_measurements_does_not_keep_them_out() -> None:
    stream = Stream()
    for _ in range(20):
        stream.send(50.0, 0.2, after_s=0.01)
        stream.send(0.1, 0.2, after_s=0.01)
    assert stream.told == [0.1, 0.2]


@pytest.mark.parametrize("first", [50.0, math.nan, 1e300])
def test_the_first_value_of_all_is_judged_too(first: float) -> None:
    stream = Stream()
    stream.send(first, 0.0)
    stream.settle(0.1, 0.0)
    assert stream.told == [0.1, 0.0]


def test_a_first_value_that_is_plausible_and_wrong_is_found_out_before_it_is_told() -> None:
    stream = Stream()
    stream.send(1.4, 0.0)
    told = []
    for _ in range(100):
        stream.send(0.1, 0.0)
        told.append(stream.told)
    assert told[-1] == [0.1, 0.0]
    assert all(one in (None, [0.1, 0.0]) for one in told)


def test_an_older_measurement_is_never_taken_for_a_newer_one() -> None:
    stream = Stream()
    stream.settle(0.0, 0.0)
    stream.send(0.02, 0.0, late_s=1.0)
    assert stream.faults == [MeasurementFault.OLDER] * 2
    assert stream.told == [0.0, 0.0]


def test_two_publishers_that_contradict_each_other_let_nothing_begin_whoever_came_first() -> None:
    for first in (0, 1):
        stream = Stream()
        for index in range(200):
            stream.send((0.0, 0.5)[(index + first) % 2], 0.0, after_s=0.01)
            assert stream.told is None
        assert "pan" in stream.measurement.contradiction(stream.now_s)
        for _ in range(100):  # one of them ends
            stream.send(0.5, 0.0)
        assert stream.told == [0.5, 0.0]
        assert stream.measurement.contradiction(stream.now_s) == ""


def test_several_publishers_that_agree_are_no_contradiction() -> None:
    stream = Stream()
    for index in range(100):
        stream.send(0.001 * index, 0.0, late_s=0.004 * (index % 2 == 0), after_s=0.01)
    assert MeasurementFault.JUMP not in stream.faults
    assert stream.told is not None


def test_a_robot_that_really_was_moved_meanwhile_is_believed_after_a_while() -> None:
    stream = Stream()
    stream.settle(0.0, 0.0)
    for _ in range(40):
        stream.send(1.2, 0.0)
    assert stream.told == [1.2, 0.0]
    assert stream.measurement.contradiction(stream.now_s + CONTRADICTION_S) == ""


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 0.1]), max_size=60)
)
def test_whatever_comes_what_is_told_is_finite_and_plausible(values: list[float]) -> None:
    stream = Stream()
    for value in values:
        stream.send(value, 0.0)
        told = stream.measurement.positions
        assert told is None or (np.isfinite(told).all() and (np.abs(told) <= 1.5 + PLAUSIBLE_BEYOND).all())


def test_too_few_positions_are_refused_as_a_whole() -> None:
    refused = JointMeasurement(ROBOT.joints).take(NAMES, (1.0,), 1.0, 1.0)
    assert [(one.fault, one.text) for one in refused] == [
        (MeasurementFault.WRONG_SHAPE, "1 positions for 2 joints")
    ]
