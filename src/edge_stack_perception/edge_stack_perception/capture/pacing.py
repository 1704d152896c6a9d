# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rate grid: when the next frame is due, on absolute times, so that lateness never adds up.

A unit of work is one slot. It never sleeps; it only says when.
"""

from __future__ import annotations

import math

__all__ = ["RateGrid"]


class RateGrid:
    """Slots of 1 / rate_hz seconds; rate 0 means paused: nothing is ever due."""

    def __init__(self, rate_hz: float, now_s: float) -> None:
        """rate_hz: slots a second. now_s: the first slot."""
        self._rate_hz = rate_hz
        self._due_s = now_s

    @property
    def rate_hz(self) -> float:
        """Slots a second."""
        return self._rate_hz

    @property
    def period_s(self) -> float:
        """Length of a slot; infinite when paused."""
        return 1.0 / self._rate_hz if self._rate_hz > 0.0 else math.inf

    @property
    def due_s(self) -> float:
        """When the current slot begins; never when paused."""
        return self._due_s if self._rate_hz > 0.0 else math.inf

    def set_rate(self, rate_hz: float, now_s: float) -> None:
        """Change the rate; the next slot is one new period after the last, or now if that has passed."""
        if rate_hz == self._rate_hz:
            return
        last_s = now_s if self._rate_hz <= 0.0 else self._due_s - self.period_s
        self._rate_hz = rate_hz
        self._due_s = now_s if rate_hz <= 0.0 else max(now_s, last_s + self.period_s)

    def advance(self, now_s: float) -> int:
        """Go on to the next slot, leaving out those that have passed whole; return how many were left out."""
        if self._rate_hz <= 0.0:
            return 0
        self._due_s += self.period_s
        missed = max(0, math.floor((now_s - self._due_s) * self._rate_hz))
        self._due_s += missed * self.period_s
        return missed
