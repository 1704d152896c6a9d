# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals. Their unit is one counted proportion."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion (Wilson 1927, JASA 22:209); the whole range without a trial."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z_95**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)
