# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How long a chunk takes, learned from how long chunks took.

Its unit of work is one duration, from the moment an observation is taken to the moment its chunk is sent. What is expected
of the next one is a high quantile of the newest: late chunks cost more than early ones. The first inference loads, compiles
and warms up; it counts only until there is a second.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

WINDOW = 100
"""As LeRobot's latency tracker for real-time chunking keeps."""
QUANTILE = 0.95
# Rounding of a duration that is a whole number of steps is not a step more.
_EPSILON = 1e-6


class LearnedLatency:
    """The newest durations, s. One thread adds; any thread reads."""

    def __init__(self, window: int = WINDOW, quantile: float = QUANTILE) -> None:
        """window: how many durations count. quantile: 0..1, what is expected of the next one."""
        self._quantile = quantile
        self._durations_s: deque[float] = deque(maxlen=window)
        self._added = 0

    def add(self, duration_s: float) -> None:
        """Take one duration, s; below zero (a clock that was set) or not finite, it is left out."""
        if not 0.0 <= duration_s < math.inf:
            return
        if self._added == 1:
            self._durations_s.clear()  # the first one
        self._added += 1
        self._durations_s.append(duration_s)

    @property
    def expected_s(self) -> float:
        """What the next chunk is expected to take at most, s; 0 before the first."""
        return self.quantile_s(self._quantile) if self._durations_s else 0.0

    def quantile_s(self, quantile: float) -> float:
        """Return a quantile (0..1) of the durations, s; NaN before the first."""
        durations_s = tuple(self._durations_s)
        return float(np.quantile(durations_s, quantile)) if durations_s else math.nan

    def steps(self, step_s: float) -> int:
        """Return the actions that will be executed while the next chunk is computed, rounded up."""
        return math.ceil(self.expected_s / step_s - _EPSILON)
