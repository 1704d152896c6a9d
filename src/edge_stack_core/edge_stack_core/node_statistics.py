# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Statistics of one node: how often it works, how long that takes, what it dropped and which events it saw.

A unit of work is one processed input; work_done() is called by the working thread, snapshot() by the one that reports.
Windows are bounded; counters run since reset().
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

WINDOW_S = 10.0
WINDOW_MAX = 1024


@dataclass(frozen=True)
class Quantiles:
    """Median and 99th percentile of a duration, ms; NaN while there is none."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class StatisticsSnapshot:
    """What one node did. rate_hz and latencies: over the recent window; counts: since reset."""

    rate_hz: float
    latency: Quantiles
    stages: dict[str, Quantiles]
    processed: int
    dropped: int
    deadline_misses: int
    events: dict[tuple[str, str], int] = field(default_factory=dict)


class RateMeter:
    """Rate of events over a recent window, from the times between them, Hz."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        """window_s: how far back events count."""
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=WINDOW_MAX)

    def tick(self, now_s: float) -> None:
        """Count one event at a monotonic time."""
        self._times.append(now_s)

    def rate_hz(self, now_s: float) -> float:
        """Return events per second; falls towards 0 when events stop."""
        while self._times and now_s - self._times[0] > self._window_s:
            self._times.popleft()
        count = len(self._times)
        if count < 2:
            return count / self._window_s
        span_s = self._times[-1] - self._times[0]
        silent_s = now_s - self._times[-1]
        period_s = span_s / (count - 1)
        # A gap longer than a period and a half is silence, not spacing: it counts against the rate.
        if silent_s > 1.5 * period_s:
            span_s += silent_s
        return (count - 1) / span_s if span_s > 0.0 else 0.0

    def clear(self) -> None:
        """Forget all events."""
        self._times.clear()


class LatencyWindow:
    """The most recent durations, ms, and their quantiles."""

    def __init__(self, size: int = 512) -> None:
        """size: how many durations are kept."""
        self._values = np.zeros(size)
        self._count = 0

    def add(self, duration_ms: float) -> None:
        """Keep one duration, in place of the oldest."""
        self._values[self._count % len(self._values)] = duration_ms
        self._count += 1

    def quantiles(self) -> Quantiles:
        """Return p50 and p99 of the kept durations."""
        if self._count == 0:
            return Quantiles(float("nan"), float("nan"))
        kept = self._values[: min(self._count, len(self._values))]
        p50, p99 = np.percentile(kept, (50.0, 99.0))
        return Quantiles(float(p50), float(p99))

    def clear(self) -> None:
        """Forget all durations."""
        self._count = 0


class NodeStatistics:
    """Everything a node counts about itself. Safe to call from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic time, s."""
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = RateMeter()
        self._latency = LatencyWindow()
        self._stages: dict[str, LatencyWindow] = {}
        self._processed = 0
        self._dropped = 0
        self._deadline_misses = 0
        self._events: Counter[tuple[str, str]] = Counter()

    def work_done(self, latency_ms: float, stages_ms: Mapping[str, float] | None = None) -> None:
        """Count one processed input: its latency from capture to published result, and how long each stage took."""
        with self._lock:
            self._processed += 1
            self._rate.tick(self._clock())
            self._latency.add(latency_ms)
            for name, duration_ms in (stages_ms or {}).items():
                self._stages.setdefault(name, LatencyWindow()).add(duration_ms)

    def dropped(self, count: int = 1) -> None:
        """Count inputs that should have been processed and were not."""
        with self._lock:
            self._dropped += count

    def deadline_missed(self, count: int = 1) -> None:
        """Count work that ended after its deadline."""
        with self._lock:
            self._deadline_misses += count

    def event(self, topic: str, name: str, count: int = 1) -> None:
        """Count a QoS event or a refused message (its reason) on a topic."""
        with self._lock:
            self._events[(topic, name)] += count

    def reset(self) -> None:
        """Start all counters and windows anew."""
        with self._lock:
            self._rate.clear()
            self._latency.clear()
            self._stages.clear()
            self._processed = self._dropped = self._deadline_misses = 0
            self._events.clear()

    def snapshot(self) -> StatisticsSnapshot:
        """Return all figures at one moment."""
        with self._lock:
            return StatisticsSnapshot(
                rate_hz=self._rate.rate_hz(self._clock()),
                latency=self._latency.quantiles(),
                stages={name: window.quantiles() for name, window in self._stages.items()},
                processed=self._processed,
                dropped=self._dropped,
                deadline_misses=self._deadline_misses,
                events=dict(self._events),
            )
