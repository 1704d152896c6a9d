# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a stack shows while its policy is computed here and there: commands, chunks, endpoints; and what follows.

Its unit is one message, given as plain values with its time on the system's clock, s. Nothing here knows ROS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

AROUND_S = (0.5, 2.0)  # what belongs to a change: before it and after it


@dataclass(frozen=True)
class Chunk:
    """One action chunk: when it came, when it was asked for (its first action), and when its last action is over."""

    arrived_s: float
    start_s: float
    end_s: float
    step_s: float


@dataclass(frozen=True)
class PolicyReport:
    """One status of the policy node: endpoint of the newest chunk, changes so far and why the last, round trips to afar."""

    time_s: float
    endpoint: str
    changes: int
    reason: str
    rtt_p50_s: float
    rtt_p99_s: float


@dataclass
class OffloadObservations:
    """Everything that was seen in one run, in the order of its arrival."""

    commands_s: list[float] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    reports: list[PolicyReport] = field(default_factory=list)
    ages_s: list[tuple[float, float]] = field(default_factory=list)
    """Age of the action that is executed: (when, age)."""

    def figures(self, begin_s: float, end_s: float, cuts_s: Sequence[float] = ()) -> dict[str, Any]:
        """Return the figures of a stretch. cuts_s: times at which something was done to the network."""
        reports = [r for r in self.reports if begin_s <= r.time_s <= end_s]
        endpoints = Counter(r.endpoint for r in reports)
        changes = [b for a, b in pairwise(reports) if b.changes > a.changes]
        around = [*(r.time_s for r in changes), *cuts_s]
        windows = [(max(t - AROUND_S[0], begin_s), min(t + AROUND_S[1], end_s)) for t in around]
        windows = windows or [(begin_s, end_s)]
        took = [1e3 * (c.arrived_s - c.start_s) for c in self.chunks if begin_s <= c.arrived_s <= end_s]
        ages = [1e3 * age for t, age in self.ages_s if begin_s <= t <= end_s and math.isfinite(age)]
        late, dry_s = self.late(begin_s, end_s)
        last = reports[-1] if reports else None
        return {
            "endpoints": {endpoint: round(n / len(reports), 3) for endpoint, n in endpoints.most_common()},
            "changes": len(changes),
            "reasons": list(dict.fromkeys(r.reason for r in changes)),
            "rtt_ms": {
                "p50": _milliseconds(last.rtt_p50_s if last else math.nan),
                "p99": _milliseconds(last.rtt_p99_s if last else math.nan),
            },
            "chunks": len(took),
            "chunk_ms": quantiles(took),
            "action_age_ms": quantiles(ages),
            "actions_late": late,
            "no_fresh_action_ms": round(1e3 * dry_s, 1),
            "fallback_gap_ms": round(1e3 * max(longest_gap_s(self.commands_s, a, b) for a, b in windows), 1),
            "control_gap_ms": round(1e3 * longest_gap_s(self.commands_s, begin_s, end_s), 1),
        }

    def late(self, begin_s: float, end_s: float) -> tuple[int, float]:
        """
        Return how many actions were missing because their chunk came late, and the longest time without one, s.

        Between the end of the newest chunk and the arrival of the next, the robot has no action of its own to follow.
        """
        missing, longest_s = 0, 0.0
        for before, after in pairwise(self.chunks):
            dry_s = after.arrived_s - before.end_s
            if dry_s > 0.0 and begin_s <= after.arrived_s <= end_s:
                missing += math.ceil(dry_s / before.step_s)
                longest_s = max(longest_s, dry_s)
        return missing, longest_s


def longest_gap_s(times_s: Sequence[float], begin_s: float, end_s: float) -> float:
    """Return the longest time between two events in a stretch, from the last one before it to its end, s."""
    before = max((t for t in times_s if t <= begin_s), default=begin_s)
    inside = sorted(t for t in times_s if begin_s < t <= end_s)
    # What comes right after the end is no gap: the last one inside counts up to the next, or to the end.
    after = min((t for t in times_s if t > end_s), default=end_s)
    return max(b - a for a, b in pairwise([before, *inside, after]))


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p50 and p99; None if there is no value."""
    if not values:
        return {"p50": None, "p99": None}
    p50, p99 = np.quantile(values, (0.5, 0.99))
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def _milliseconds(seconds: float) -> float | None:
    return round(1e3 * seconds, 2) if math.isfinite(seconds) else None
