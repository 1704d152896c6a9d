# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Where to cut, against brute force."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_inference.splitting.boundaries import choose_boundaries

COSTS = st.lists(st.integers(1, 20).map(float), min_size=1, max_size=9)


def longest(costs, crossing, boundaries) -> float:
    borders = [0, *boundaries, len(costs)]
    return max(
        sum(costs[start:end]) + (crossing[start] if start else 0.0)
        for start, end in itertools.pairwise(borders)
    )


@settings(deadline=None)
@given(costs=COSTS, slices=st.integers(1, 5), data=st.data())
def test_no_other_cuts_make_the_longest_piece_much_shorter(
    costs: list[float], slices: int, data: st.DataObject
) -> None:
    one = st.one_of(st.just(math.inf), st.floats(0.0, 5.0))
    crossing = data.draw(st.lists(one, min_size=len(costs), max_size=len(costs)))
    boundaries = choose_boundaries(costs, crossing, slices)
    assert boundaries == sorted(set(boundaries))
    assert len(boundaries) < slices or slices == 1
    possible = [index for index in range(1, len(costs)) if math.isfinite(crossing[index])]
    assert set(boundaries) <= set(possible)
    best = min(
        longest(costs, crossing, chosen)
        for count in range(slices)
        for chosen in itertools.combinations(possible, count)
    )
    assert longest(costs, crossing, boundaries) <= 1.09 * best + 1e-9


def test_equal_nodes_are_cut_into_equal_slices() -> None:
    assert choose_boundaries([1.0] * 12, [0.0] * 12, 3) == [4, 8]


def test_a_cut_moves_a_little_where_less_crosses() -> None:
    crossing = [1.0] * 100
    crossing[48] = 0.1
    assert choose_boundaries([1.0] * 100, crossing, 2) == [48]


def test_a_node_that_is_long_alone_is_a_piece_of_its_own() -> None:
    assert choose_boundaries([10.0, 50.0, 10.0], [0.0] * 3, 3) == [1, 2]


def test_without_a_place_to_cut_there_is_one_piece() -> None:
    assert choose_boundaries([1.0, 1.0], [math.inf, math.inf], 4) == []
