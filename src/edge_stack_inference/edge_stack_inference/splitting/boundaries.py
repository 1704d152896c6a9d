# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where to cut a chain of nodes so that no slice is longer than the others, and little has to cross the boundaries.

Its unit of work is one list of node costs. A cut at i lies before node i. Plain arithmetic: it knows no graph and no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

Length = Callable[[int, int], float]

# Slack given to the longest slice where that lets less data cross the boundaries.
_TOLERANCE = 1.08


def choose_boundaries(costs: Sequence[float], crossing: Sequence[float], slices: int) -> list[int]:
    """
    Choose boundaries for a number of slices.

    Args:
        costs: of each node, in any unit, n values.
        crossing: cost of a cut before each node in the same unit, n values; infinite where there can be none. The slice
            after the cut pays it.
        slices: how many at most; fewer where there are not enough places.

    Returns:
        The boundaries, rising, each in 1..n-1.
    """
    count = len(costs)
    places = [0, *(index for index in range(1, count) if math.isfinite(crossing[index])), count]
    slices = max(1, min(slices, len(places) - 1))
    total = [0.0, *accumulate(costs)]

    def length(start: int, end: int) -> float:
        return total[end] - total[start] + (crossing[start] if start else 0.0)

    shortest = _shortest_longest(places, length, slices)
    return _least_crossing(places, crossing, length, slices, shortest * _TOLERANCE)


def _shortest_longest(places: list[int], length: Length, slices: int) -> float:
    """Return the least longest slice that is possible."""
    low, high = 0.0, max(length(0, places[-1]), 1e-12)
    while high - low > 0.002 * high:
        bound = 0.5 * (low + high)
        if _slices_needed(places, length, bound) <= slices:
            high = bound
        else:
            low = bound
    return high


def _slices_needed(places: list[int], length: Length, bound: float) -> float:
    """Return into how few slices one gets with none above a bound; infinite if some node alone is."""
    fewest = [0.0] + [math.inf] * (len(places) - 1)
    for j in range(1, len(places)):
        for i in range(j - 1, -1, -1):
            if fewest[i] + 1 < fewest[j] and length(places[i], places[j]) <= bound:
                fewest[j] = fewest[i] + 1
    return fewest[-1]


def _least_crossing(
    places: list[int], crossing: Sequence[float], length: Length, slices: int, bound: float
) -> list[int]:
    """Return the division into at most so many slices, none above the bound, with the least crossing."""
    unreachable: tuple[float, tuple[int, ...]] = (math.inf, ())
    best = [(0.0, ()) if length(0, place) <= bound else unreachable for place in places]
    for _ in range(slices - 1):
        after = best[:]
        for j in range(2, len(places)):
            for i in range(j - 1, 0, -1):
                cost = best[i][0] + crossing[places[i]]
                if cost < after[j][0] and length(places[i], places[j]) <= bound:
                    after[j] = (cost, (*best[i][1], places[i]))
        best = after
    return list(best[-1][1])
