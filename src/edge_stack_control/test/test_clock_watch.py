# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A clock has jumped when no rate explains where it is: a slow, fast, coarse or paused one has not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_stack_control.clock_watch import ClockWatch

LOOK_S = 0.2


def jumps(clock: Callable[[float], float], looks: int = 100, *, simulated: bool = True) -> list[float]:
    """Return the jumps that are found. clock: its time at a monotonic time, s."""
    watch = ClockWatch()
    found = [watch.look(clock(n * LOOK_S), n * LOOK_S, simulated=simulated) for n in range(looks)]
    return [jump for jump in found if jump]


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.5, 1.0, 3.0, 20.0])
def test_a_clock_at_any_constant_rate_has_not_jumped(rate: float) -> None:
    assert jumps(lambda t: 100.0 + rate * t) == []


def test_a_clock_in_coarse_steps_has_not_jumped() -> None:
    assert jumps(lambda t: float(int(t))) == []
    assert jumps(lambda t: 0.25 * int(t)) == []


def test_a_clock_that_goes_on_after_a_pause_or_changes_its_rate_has_not_jumped() -> None:
    assert jumps(lambda t: t if t < 5.0 else max(5.0, t - 7.0)) == []
    assert jumps(lambda t: t if t < 5.0 else 5.0 + 4.0 * (t - 5.0)) == []
    assert jumps(lambda t: t if t < 5.0 else 5.0 + 0.1 * (t - 5.0)) == []


@pytest.mark.parametrize("rate", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("step_s", [-1000.0, -5.0, 5.0, 1000.0])
def test_a_step_of_a_simulated_clock_at_any_rate_is_a_jump(rate: float, step_s: float) -> None:
    found = jumps(lambda t: 5000.0 + rate * t + (step_s if t > 5.05 else 0.0))
    assert found == [pytest.approx(step_s, abs=0.3)]


@pytest.mark.parametrize("step_s", [-3.0, -0.15, 0.15, 3.0])
def test_a_step_of_the_systems_clock_is_a_jump(step_s: float) -> None:
    assert jumps(lambda t: 5000.0 + t + (step_s if t > 5.05 else 0.0), simulated=False) == [
        pytest.approx(step_s)
    ]
