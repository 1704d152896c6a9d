# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Histogram of durations with fixed logarithmic buckets: quantiles of a run of any length in 10 KiB.

Its unit of work is one duration in nanoseconds, added by one writing thread. It takes no lock and never allocates on
add(); a reader in another thread sees counts that may lag by the value being added. It never forgets: clear() starts
anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A bucket spans 1/32 of a power of two: a quantile is at most 3.2 % too high, and never too low.
_SUB_BITS = 5
_SUB = 1 << _SUB_BITS
# Values below 32 ns share the exact buckets 0..31; above 2**45 ns (9.8 hours) they share the last one.
_MAX_BITS = 45
BUCKETS = (_MAX_BITS - _SUB_BITS + 1) * _SUB


def bucket_of(value_ns: int) -> int:
    """Return the index of the bucket that a duration falls into; durations below zero count as zero."""
    if value_ns < _SUB:
        return max(0, value_ns)
    shift = value_ns.bit_length() - _SUB_BITS - 1
    index = (shift << _SUB_BITS) + (value_ns >> shift)
    return index if index < BUCKETS else BUCKETS - 1


def bucket_upper_ns(index: int) -> int:
    """Return the largest duration of a bucket, ns."""
    if index < 2 * _SUB:
        return index
    shift = (index >> _SUB_BITS) - 1
    mantissa = index - (shift << _SUB_BITS)
    return ((mantissa + 1) << shift) - 1


@dataclass(frozen=True)
class Summary:
    """Quantiles of a histogram, ms; NaN while it is empty."""

    n: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    def as_dict(self) -> dict[str, float]:
        """Return the quantiles under the keys that reports and benchmarks use."""
        return {"p50": self.p50_ms, "p99": self.p99_ms, "p999": self.p999_ms, "max": self.max_ms}


class Histogram:
    """Counts of durations. One thread adds; any thread reads."""

    def __init__(self) -> None:
        """Start empty."""
        self._counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self._max_ns = 0
        self._n = 0

    def __len__(self) -> int:
        """Count the durations added since the start or the last clear()."""
        return self._n

    @property
    def max_ms(self) -> float:
        """Largest duration, exact, ms; NaN while there is none."""
        return self._max_ns * 1e-6 if self._n else float("nan")

    def add(self, value_ns: int) -> None:
        """Count one duration, ns."""
        self._counts[bucket_of(value_ns)] += 1
        self._n += 1
        self._max_ns = max(self._max_ns, value_ns)

    def merge(self, other: Histogram) -> None:
        """Add all counts of another histogram to this one."""
        self._counts += other._counts
        self._n += other._n
        self._max_ns = max(self._max_ns, other._max_ns)

    def copy(self) -> Histogram:
        """Return a histogram of the same counts that no longer changes."""
        twin = Histogram()
        twin.merge(self)
        return twin

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for another process: max_ns and the counts that are not zero, by bucket."""
        filled = np.flatnonzero(self._counts)
        return {"max_ns": self._max_ns, "counts": [[int(i), int(self._counts[i])] for i in filled]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Histogram:
        """Return the histogram that as_dict() was called on."""
        histogram = cls()
        for index, count in values["counts"]:
            histogram._counts[index] = count
            histogram._n += count
        histogram._max_ns = values["max_ns"]
        return histogram

    def clear(self) -> None:
        """Forget everything."""
        self._counts[:] = 0
        self._max_ns = self._n = 0

    def quantile_ms(self, q: float) -> float:
        """
        Return the smallest bucket bound that at least a share q of the durations does not exceed, ms.

        q: 0..1. NaN while there is no duration.
        """
        cumulated = np.cumsum(self._counts)
        total = int(cumulated[-1])
        if total == 0:
            return float("nan")
        rank = min(max(int(np.ceil(q * total)), 1), total)
        upper = bucket_upper_ns(int(np.searchsorted(cumulated, rank)))
        return min(upper, self._max_ns) * 1e-6

    def summary(self) -> Summary:
        """Return count, p50, p99, p999 and max of one moment."""
        still = self.copy()
        return Summary(
            n=len(still),
            p50_ms=still.quantile_ms(0.50),
            p99_ms=still.quantile_ms(0.99),
            p999_ms=still.quantile_ms(0.999),
            max_ms=still.max_ms,
        )
