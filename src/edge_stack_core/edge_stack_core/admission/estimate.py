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

    __slots__ = ("_order", "_prior_ns", "_quantile", "_recent", "_window", "value")

    def __init__(self, window: int = 64, quantile: float = 0.95, prior_ns: int = 0) -> None:
        """window: durations kept. quantile: 0..1. prior_ns: used until there are a few samples; 0: nothing known."""
        self._window = window
        self._quantile = quantile
        self._recent: deque[int] = deque()
        self._order: list[int] = []
        self._prior_ns = prior_ns
        self.value = prior_ns
        """The expected duration, ns; 0 while nothing is known."""

    def __len__(self) -> int:
        """Count the kept durations."""
        return len(self._recent)

    def add(self, duration_ns: int) -> None:
        """Learn one duration, ns."""
        recent, order = self._recent, self._order
        if len(recent) == 1 and 2 * recent[0] > 3 * duration_ns:
            self._remove(recent.popleft())  # the first run of all warms up
        if len(recent) == self._window:
            self._remove(recent.popleft())
        recent.append(duration_ns)
        insort(order, duration_ns)
        self._update()

    def forget_slowest(self) -> None:
        """Drop the longest duration. For a job that no longer runs because of it, and so cannot learn better."""
        if len(self._order) > _KEEP:
            self._recent.remove(self._order[-1])
            self._order.pop()
            self._update()

    def _remove(self, duration_ns: int) -> None:
        del self._order[bisect_left(self._order, duration_ns)]

    def _update(self) -> None:
        count = len(self._order)
        if count < _FEW:
            few = self._order[0] + self._order[0] // 4
            self.value = max(few, self._prior_ns) if self._prior_ns else few
        else:
            self.value = self._order[int(self._quantile * (count - 1))]


class JobDurations:
    """What one background job takes, by slice: alone, and beside other background jobs. For one thread."""

    def __init__(self, quantile: float) -> None:
        """quantile: of recent durations that counts as the expected one."""
        self._quantile = quantile
        self._alone: dict[Hashable, DurationEstimate] = {}
        self._shared: dict[Hashable, DurationEstimate] = {}

    def prime(self, key: Hashable, prior_ns: int) -> None:
        """Give a first figure, ns, used until there are a few samples."""
        self._alone[key] = DurationEstimate(quantile=self._quantile, prior_ns=prior_ns)

    def of(self, key: Hashable) -> tuple[int, int]:
        """Return the durations alone and beside others, ns; each stands in for the other; 0: nothing is known."""
        one, both = self._alone.get(key), self._shared.get(key)
        alone_ns = one.value if one is not None else 0
        shared_ns = both.value if both is not None else 0
        return alone_ns or shared_ns, shared_ns or alone_ns

    def add(self, key: Hashable, duration_ns: int, together: bool) -> int:
        """Learn one duration, ns, and return what is expected now."""
        estimates = self._shared if together else self._alone
        estimate = estimates.get(key)
        if estimate is None:
            estimate = estimates[key] = DurationEstimate(quantile=self._quantile)
        estimate.add(duration_ns)
        return estimate.value

    def forget_slowest(self, key: Hashable) -> None:
        """Drop the longest durations of a slice."""
        for estimates in (self._alone, self._shared):
            if key in estimates:
                estimates[key].forget_slowest()
