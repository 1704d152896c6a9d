# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the clock that stamps come from has jumped.

Its unit is one look at that clock and at monotonic time. A system clock goes at the rate of time, so that any difference
is a jump. A simulated one goes at a rate of its own, may stand still, and moves in steps: it has jumped when it went back,
or when it went further than its rate and the time since it moved last explain, unless the next look finds it as fast: then
its rate has changed. A slow clock has not jumped, and neither has one that goes on after a pause.
"""

from __future__ import annotations

import math

JUMP_S = 0.1
"""A difference of no more than this is none: a clock that is slewed is off by far less."""


class ClockWatch:
    """Looks at a clock, some times a second. For one thread."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._clock_s = self._moved_s = math.nan
        self._rate = 1.0
        self._candidate: tuple[float, float] | None = None

    def look(self, clock_s: float, monotonic_s: float, *, simulated: bool) -> float:
        """Return by how much the clock jumped, s, and 0 where it did not; said a look later where it may be a new rate."""
        went_s, elapsed_s = clock_s - self._clock_s, monotonic_s - self._moved_s
        if not math.isfinite(went_s) or (simulated and self._clock_s == 0.0):  # nobody has told it yet
            self._clock_s, self._moved_s = clock_s, monotonic_s
            return 0.0
        if simulated and (went_s == 0.0 or elapsed_s <= 0.0):
            return 0.0
        self._clock_s, self._moved_s = clock_s, monotonic_s
        if not simulated:
            return went_s - elapsed_s if abs(went_s - elapsed_s) > JUMP_S else 0.0
        candidate, self._candidate = self._candidate, None
        if went_s < -JUMP_S:
            return went_s - self._rate * elapsed_s
        rate = went_s / elapsed_s
        excess_s = went_s - max(self._rate, 1.0) * elapsed_s
        if candidate is not None:
            before_s, fast = candidate
            if went_s >= 0.5 * fast * elapsed_s:  # as fast as before: this is its rate now
                self._rate = rate
                return 0.0
            self._rate = max(rate, 0.0)
            return before_s
        if excess_s > JUMP_S:
            self._candidate = (excess_s, rate)
        else:
            self._rate = max(rate, 0.0)
        return 0.0
