# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How long before its last action a chunk slows down if none follows.

Whoever executes chunks slows down by it, and whoever asks for them asks so much sooner: the two must agree.
"""

from __future__ import annotations

EASING_S = 0.2
"""Slowing down takes so much of a chunk's time at most, and twice that of real time."""
_EASING_SHARE = 0.25  # of a chunk, for short ones


def easing_s(horizon: int, step_s: float) -> float:
    """Return how long before its last action a chunk of so many actions slows down if none follows, s."""
    return min(EASING_S, _EASING_SHARE * (horizon - 1) * step_s)
