# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Joint limits: whatever is asked for, a command is within position, speed and step, and says what was cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.limits import JointLimiter, JointLimits

NAMES = ("pan", "lift")
LIMITS = JointLimits.of(NAMES, [-1.0, -2.0], [1.0, 2.0], [1.0, 2.0], [0.5, 0.1])
DT = 1.0 / 24.0


def apply(
    target: list[float], last: list[float], elapsed_s: float = DT, speed: float = 1.0
) -> tuple[np.ndarray, JointLimiter]:
    limiter = JointLimiter(LIMITS)
    return limiter.apply(np.array(target), np.array(last), elapsed_s, speed), limiter


def test_a_target_within_all_limits_is_the_command() -> None:
    command, limiter = apply([0.01, -0.02], [0.0, 0.0])
    assert command.tolist() == [0.01, -0.02]
    assert not (limiter.hit.position.any() or limiter.hit.velocity.any() or limiter.hit.step.any())


def test_a_target_beyond_its_range_is_clipped_and_named() -> None:
    command, limiter = apply([1.5, 0.0], [0.99, 0.0])
    assert command[0] == 1.0
    assert limiter.hit.position.tolist() == [True, False]


def test_a_target_too_far_away_is_approached_at_full_speed_and_named() -> None:
    command, limiter = apply([0.9, 0.0], [0.0, 0.0])
    assert command[0] == pytest.approx(DT)
    assert limiter.hit.velocity.tolist() == [True, False]


def test_the_step_limit_holds_whatever_the_time() -> None:
    command, limiter = apply([0.0, 1.0], [0.0, 0.0], elapsed_s=10.0)
    assert command[1] == pytest.approx(0.1)
    assert limiter.hit.step.tolist() == [False, True]


def test_being_held_back_by_a_lower_speed_is_no_hit() -> None:
    command, limiter = apply([0.03, 0.0], [0.0, 0.0], speed=0.5)
    assert command[0] == pytest.approx(0.5 * DT)
    assert not limiter.hit.velocity.any()


def test_a_small_excess_within_the_tolerance_is_clipped_without_being_named() -> None:
    limiter = JointLimiter(LIMITS, position_tolerance=0.05)
    command = limiter.apply(np.array([1.04, 0.0]), np.array([1.0, 0.0]), DT)
    assert command[0] == 1.0
    assert not limiter.hit.position.any()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_target_that_is_no_number_repeats_the_last_command(bad: float) -> None:
    command, _ = apply([0.1, bad], [0.3, 0.4])
    assert command.tolist() == [0.3, 0.4]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position_min": [2.0, 0.0]}, "below position_max"),
        ({"position_max": [math.inf, 1.0]}, "finite"),
        ({"velocity_max": [0.0, 1.0]}, "above 0"),
        ({"velocity_max": [math.nan, 1.0]}, "NaN"),
        ({"step_max": -1.0}, "above 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(changes: dict[str, object], words: str) -> None:
    values: dict[str, object] = {
        "position_min": -1.0,
        "position_max": 1.0,
        "velocity_max": 1.0,
        "step_max": 1.0,
    }
    with pytest.raises(ValueError, match=words):
        JointLimits.of(NAMES, **{**values, **changes})  # type: ignore[arg-type]


anything = st.floats(allow_nan=True, allow_infinity=True)
inside = st.tuples(st.floats(-1.0, 1.0), st.floats(-2.0, 2.0))


@given(st.tuples(anything, anything), inside, st.floats(-1.0, 10.0), st.floats(-1.0, 2.0))
def test_no_command_ever_leaves_the_limits(
    target: tuple[float, float], last: tuple[float, float], elapsed_s: float, speed: float
) -> None:
    command, _ = apply(list(target), list(last), elapsed_s, speed)
    assert np.isfinite(command).all()
    assert (command >= LIMITS.position_min).all()
    assert (command <= LIMITS.position_max).all()
    moved = np.abs(command - np.array(last))
    scale = min(max(speed, 0.0), 1.0)
    assert (moved <= LIMITS.velocity_max * max(elapsed_s, 0.0) * scale + 1e-12).all()
    assert (moved <= LIMITS.step_max + 1e-12).all()


@given(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
def test_a_robot_outside_its_range_is_never_led_further_out(
    target: tuple[float, float], last: tuple[float, float]
) -> None:
    command, _ = apply(list(target), list(last))
    beyond = np.maximum(
        0.0, np.maximum(LIMITS.position_min - np.array(last), np.array(last) - LIMITS.position_max)
    )
    after = np.maximum(0.0, np.maximum(LIMITS.position_min - command, command - LIMITS.position_max))
    assert (after <= beyond + 1e-12).all()
