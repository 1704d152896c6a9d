# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""One rule for stamps: none is taken as of its arrival, one a little ahead as of now, one further ahead is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.stamps import StampAheadError, age_s

NOW_S = 1000.0


@pytest.mark.parametrize(
    ("stamp_s", "age"), [(0.0, 0.0), (NOW_S, 0.0), (NOW_S + 0.25, 0.0), (NOW_S - 3.0, 3.0)]
)
def test_a_stamp_tells_the_age_and_none_is_as_of_its_arrival(stamp_s: float, age: float) -> None:
    assert age_s(stamp_s, NOW_S, 0.25) == age


@pytest.mark.parametrize("stamp_s", [NOW_S + 0.3, float("nan"), float("inf")])
def test_a_stamp_further_ahead_than_tolerated_is_refused_in_words(stamp_s: float) -> None:
    with pytest.raises(StampAheadError, match="ahead of this clock, at most 0.25 s is allowed"):
        age_s(stamp_s, NOW_S, 0.25)


@given(st.floats(1.0, 2000.0), st.floats(0.0, 10.0))
def test_an_age_is_never_negative(stamp_s: float, tolerance_s: float) -> None:
    if stamp_s <= NOW_S + tolerance_s - 1e-6:
        assert age_s(stamp_s, NOW_S, tolerance_s) >= 0.0
