# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Learns how long a job takes: a high quantile of its recent durations.

Its unit of work is one measured duration in integer nanoseconds. It follows a slower machine within a few runs (a high
quantile of a short window rises at once) and a faster one within a window. It never sees a clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable

# Below this many samples the smallest counts, with a margin: the first runs of a model allocate and warm caches.
_FEW = 4
_KEEP = 3


class DurationEstimate:
    """A quantile over the last durations, ns. For one thread."""

    __slots__ = ("_order", "_prior", "_quantile", "_recent", "_window", "value")

    def __init__(self, window: int = 64, quantile: float = 0.95, prior: int = 0) -> None:
        """window: durations kept. quantile: 0..1. prior: used until there are a few samples; 0: nothing known."""
        self._window = window
        self._quantile = quantile
        self._recent: deque[int] = deque()
        self._order: list[int] = []
        self._prior = prior
        self.value = prior
        """The expected duration, ns; 0 while nothing is known."""

    def __len__(self) -> int:
        """Count the kept durations."""
        return len(self._recent)

    def add(self, duration: int) -> None:
        """Learn one duration, ns."""
        recent, order = self._recent, self._order
        if len(recent) == 1 and 2 * recent[0] > 3 * duration:
            self._remove(recent.popleft())  # the first run of all warms up
        if len(recent) == self._window:
            self._remove(recent.popleft())
        recent.append(duration)
        insort(order, duration)
        self._update()

    def forget_slowest(self) -> None:
        """Drop the longest duration. For a job that no longer runs because of it, and so cannot learn better."""
        if len(self._order) > _KEEP:
            self._recent.remove(self._order[-1])
            self._order.pop()
            self._update()

    def _remove(self, duration: int) -> None:
        del self._order[bisect_left(self._order, duration)]

    def _update(self) -> None:
        count = len(self._order)
        if count < _FEW:
            few = self._order[0] + self._order[0] // 4
            self.value = max(few, self._prior) if self._prior else few
        else:
            self.value = self._order[int(self._quantile * (count - 1))]


class JobDurations:
    """What one background job takes, by part: alone, and beside other background jobs. For one thread."""

    def __init__(self, quantile: float) -> None:
        """quantile: of recent durations that counts as the expected one."""
        self._quantile = quantile
        self._alone: dict[Hashable, DurationEstimate] = {}
        self._shared: dict[Hashable, DurationEstimate] = {}

    def prime(self, part: Hashable, prior: int) -> None:
        """Give a first figure, ns, used until there are a few samples."""
        self._alone[part] = DurationEstimate(quantile=self._quantile, prior=prior)

    def of(self, part: Hashable) -> tuple[int, int]:
        """Return the durations alone and beside others, ns; each stands in for the other; 0: nothing is known."""
        one, both = self._alone.get(part), self._shared.get(part)
        alone = one.value if one is not None else 0
        shared = both.value if both is not None else 0
        return alone or shared, shared or alone

    def add(self, part: Hashable, duration: int, together: bool) -> int:
        """Learn one duration, ns, and return what is expected now."""
        estimates = self._shared if together else self._alone
        estimate = estimates.get(part)
        if estimate is None:
            estimate = estimates[part] = DurationEstimate(quantile=self._quantile)
        estimate.add(duration)
        return estimate.value

    def forget_slowest(self, part: Hashable) -> None:
        """Drop the longest durations of a part."""
        for estimates in (self._alone, self._shared):
            if part in estimates:
                estimates[part].forget_slowest()
