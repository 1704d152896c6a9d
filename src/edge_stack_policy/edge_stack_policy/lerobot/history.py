# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Past observations for policies that look back (diffusion, VQ-BeT): one each `step_s`, as in their training data.

Its unit is one look back. Observations come when chunks are asked for, which is not at those times: vectors are interpolated
between what came before and after, of images the nearest counts. Before the first one, the first one counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

KEPT = 64


class History:
    """Keeps processed observations by time. steps: how many a look back gives. step_s: time between two of them."""

    def __init__(self, steps: int, step_s: float) -> None:
        self.steps = steps
        self.step_s = step_s
        self._times: list[float] = []
        self._values: list[Mapping[str, Any]] = []

    def clear(self) -> None:
        """Forget everything."""
        self._times.clear()
        self._values.clear()

    def add(self, time_s: float, values: Mapping[str, Any]) -> None:
        """Take an observation (tensors [1, ...] by key). Time that goes back forgets what came before."""
        if self._times and time_s <= self._times[-1]:
            self.clear()
        self._times.append(time_s)
        self._values.append(values)
        oldest = time_s - self.steps * self.step_s
        while len(self._times) > KEPT or (len(self._times) > 1 and self._times[1] <= oldest):
            self._times.pop(0)
            self._values.pop(0)

    def look_back(self) -> list[Mapping[str, Any]]:
        """Return `steps` observations, oldest first; the last is the newest one that was added."""
        now = self._times[-1]
        return [self._at(now - i * self.step_s) for i in range(self.steps - 1, 0, -1)] + [self._values[-1]]

    def _at(self, time_s: float) -> Mapping[str, Any]:
        after = bisect_left(self._times, time_s)
        if after == 0:
            return self._values[0]
        low, high = self._times[after - 1], self._times[after]
        share = (time_s - low) / (high - low)
        older, newer = self._values[after - 1], self._values[after]
        nearest = older if share < 0.5 else newer
        return {
            key: older[key] + share * (newer[key] - older[key]) if _is_vector(value) else value
            for key, value in nearest.items()
        }


def _is_vector(value: Any) -> bool:
    """Return whether it is a batch of one vector of numbers with fractions."""
    return getattr(value, "ndim", 0) == 2 and value.is_floating_point()
