# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals are those of the literature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_sim.success_rate import wilson


@pytest.mark.parametrize(
    ("successes", "low", "high"), [(85, 0.7672, 0.9069), (100, 0.9630, 1.0), (0, 0.0, 0.0370)]
)
def test_intervals_are_wilsons(successes: int, low: float, high: float) -> None:
    assert wilson(successes, 100) == pytest.approx((low, high), abs=1e-4)


def test_without_a_trial_anything_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_the_share_and_narrows_with_more_trials(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson(successes, trials)
    rounding = 1e-12
    assert 0.0 <= low <= successes / trials + rounding and successes / trials - rounding <= high <= 1.0
    more_low, more_high = wilson(4 * successes, 4 * trials)
    assert more_high - more_low < high - low
