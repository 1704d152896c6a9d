# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is known of one endpoint where a policy can be computed: how long a call takes, how often it fails, whether to use it.

Its unit of work is one outcome: of a call that was in use, or of a probe. An endpoint in use that fails once is left
at once. The way back is slow on purpose: a pause that doubles with each fall, then several good probes in a row; so a
link that comes and goes does not take the policy with it. Times are given by the caller, on any clock that never goes
back.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np

NOT_TRIED = "not tried yet"
_WINDOW = 64  # durations behind the published quantiles
_RECENT = 16  # durations behind what is expected of the next call
_OUTCOMES = 50  # calls and probes behind the published loss
_LEARNED = 16  # durations from which on their p99 says how long a call may take
_ON_BOARD_REST = (
    9.0  # times a bad probe's duration, before the next: probes take no more than a tenth of the time
)


@dataclass(frozen=True)
class FailoverSettings:
    """
    When an endpoint is left and when it is used again.

    age_max_s: a chunk that takes longer is not waited for; its observation would be too old. wait_times_p99, wait_min_s: nor
    is one that takes so many times as long as calls do (p99), though never less than the minimum: it leaves time for one
    retransmission of TCP, which takes Linux 0.2 s and a round trip at least. good_probes: in a row, before a
    endpoint is used again. probe_period_s: between good probes; after a bad one the time doubles, up to probe_period_max_s.
    pause_s: after a fall nothing is probed for so long; it doubles with each fall up to pause_max_s, and begins anew once a
    endpoint was in use for stable_s. margin_s: on top of what a call is expected to take.
    """

    age_max_s: float = 0.5
    wait_times_p99: float = 4.0
    wait_min_s: float = 0.3
    good_probes: int = 3
    probe_period_s: float = 0.4
    probe_period_max_s: float = 4.0
    pause_s: float = 1.0
    pause_max_s: float = 30.0
    stable_s: float = 20.0
    margin_s: float = 0.01

    def longest_return_s(self) -> float:
        """Return how long a remote endpoint that is good again stays unused at most, but for its probes' duration, s."""
        return self.pause_max_s + self.probe_period_max_s + (self.good_probes - 1) * self.probe_period_s


@dataclass(frozen=True)
class EndpointStatus:
    """One endpoint as it is published. since_s: for how long it has been as it is. rtt: NaN before the first. loss: 0..1."""

    name: str
    loaded: bool
    healthy: bool
    since_s: float
    rtt_p50_ms: float
    rtt_p99_ms: float
    loss: float
    calls: int
    reason: str


class EndpointHealth:
    """Judges one endpoint. It begins unproven: the first good probes bring it into use."""

    def __init__(self, settings: FailoverSettings, now_s: float, *, on_board: bool = False) -> None:
        """now_s: the time from which on it may be probed. on_board: probes take what this computer's work needs."""
        self._settings = settings
        self._rest = _ON_BOARD_REST if on_board else 0.0
        self.healthy = False
        self.reason = NOT_TRIED
        self.since_s = now_s
        self.calls = 0
        self.good_probes = 0
        self._durations_s: deque[float] = deque(maxlen=_WINDOW)
        self._recent_s: deque[float] = deque(maxlen=_RECENT)  # since it was last on the way into use
        self._arrived: deque[bool] = deque(maxlen=_OUTCOMES)
        self._next_probe_s = now_s
        self._period_s = settings.probe_period_s
        self._pause_s = settings.pause_s

    # ---- what is expected

    @property
    def expected_s(self) -> float:
        """How long the next call takes, by the recent ones: their median, s; 0 before the first."""
        return median(self._recent_s) if self._recent_s else 0.0

    @property
    def reserve_s(self) -> float:
        """The time to keep for a call that must not be late: the longest recent one and a margin, s."""
        return max(self._recent_s, default=0.0) + self._settings.margin_s

    @property
    def wait_s(self) -> float:
        """How long a call in use is waited for: what takes far longer than calls do here is lost, s."""
        settings = self._settings
        if len(self._durations_s) < _LEARNED:
            return settings.age_max_s
        p99_s = 1e-3 * self.quantiles_ms()[1]
        return min(settings.age_max_s, max(settings.wait_min_s, settings.wait_times_p99 * p99_s))

    @property
    def promising(self) -> bool:
        """Whether it is in use or on the way to it."""
        return self.healthy or self.good_probes > 0

    def quantiles_ms(self) -> tuple[float, float]:
        """Return p50 and p99 of the durations, ms; NaN before the first."""
        if not self._durations_s:
            return math.nan, math.nan
        p50, p99 = np.quantile(list(self._durations_s), (0.5, 0.99))
        return 1e3 * float(p50), 1e3 * float(p99)

    @property
    def loss(self) -> float:
        """Share of the recent calls and probes that brought no chunk in time."""
        return 1.0 - sum(self._arrived) / len(self._arrived) if self._arrived else 0.0

    # ---- what happens

    def succeeded(self, duration_s: float, now_s: float) -> None:
        """Take a call in use that brought a chunk in time."""
        self._count(duration_s, arrived=True)
        if not self.healthy:
            self.healthy, self.reason, self.since_s = True, "works", now_s
        if now_s - self.since_s >= self._settings.stable_s:
            self._pause_s = self._settings.pause_s

    def arrived_late(self, duration_s: float) -> None:
        """Take the duration of a call that had been given up: it was counted as lost already."""
        self._durations_s.append(duration_s)

    def failed(self, reason: str, now_s: float) -> None:
        """Take a call in use that brought nothing in time: the endpoint is left."""
        self._count(None, arrived=False)
        self.leave(reason, now_s)

    def leave(self, reason: str, now_s: float) -> None:
        """Use the endpoint no more until probes are good."""
        self.healthy, self.reason, self.since_s = False, reason, now_s
        self.good_probes = 0
        self._period_s = self._settings.probe_period_s
        self._next_probe_s = now_s + self._pause_s
        self._pause_s = min(2.0 * self._pause_s, self._settings.pause_max_s)

    def probe_due(self, now_s: float) -> bool:
        """Whether a probe should begin now."""
        return not self.healthy and now_s >= self._next_probe_s

    def probed(self, duration_s: float, now_s: float, reason: str = "") -> bool:
        """
        Take a probe's outcome; return whether the endpoint may be used from now on.

        reason: why it brought no chunk; empty if it did.
        """
        settings = self._settings
        late = duration_s > settings.age_max_s
        if not reason and late:
            reason = f"a probe took {1e3 * duration_s:.0f} ms, the limit is {1e3 * settings.age_max_s:.0f} ms"
            self.arrived_late(duration_s)
        if not self.good_probes:
            self._recent_s.clear()
        self._count(None if reason else duration_s, arrived=not reason)
        if reason:
            self.good_probes = 0
            self.reason = reason
            self._next_probe_s = now_s + max(self._period_s, self._rest * duration_s)
            self._period_s = min(2.0 * self._period_s, settings.probe_period_max_s)
            return False
        self.good_probes += 1
        self._period_s = settings.probe_period_s
        self._next_probe_s = now_s + self._period_s
        if self.good_probes < settings.good_probes:
            return False
        p50, p99 = self.quantiles_ms()
        self.healthy, self.since_s = True, now_s
        self.reason = f"{self.good_probes} good probes in a row (p50 {p50:.0f}, p99 {p99:.0f} ms)"
        self.good_probes = 0
        return True

    def status(self, name: str, loaded: bool, now_s: float) -> EndpointStatus:
        """Return what is published of it."""
        p50, p99 = self.quantiles_ms()
        since_s = max(0.0, now_s - self.since_s)
        return EndpointStatus(
            name, loaded, self.healthy, since_s, p50, p99, self.loss, self.calls, self.reason
        )

    def _count(self, duration_s: float | None, *, arrived: bool) -> None:
        self.calls += 1
        self._arrived.append(arrived)
        if duration_s is not None:
            self._durations_s.append(duration_s)
            self._recent_s.append(duration_s)
