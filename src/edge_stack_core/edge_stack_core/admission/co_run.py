# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Learns which background jobs may run beside a critical inference: those that do not stretch it.

Its unit of work is one critical inference: how long it took, and how long each background job ran meanwhile. What it took
more than alone is laid to those who ran, each by its share, by asymmetric least squares: jobs that come in changing
company are told apart by and by, and what they do to the slow inferences counts. A job that takes longer than its period
even alone is not made punctual by keeping others away, only starves them: everyone may run beside it. Times are
nanoseconds, given by the caller; nothing here waits or sees a clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_stack_core.admission.estimate import DurationEstimate
from edge_stack_core.admission.layout import mask_of

# Background jobs may make the critical inference longer by this share, or by this time where that is more.
SLOWDOWN = 0.15
LEAST_NS = 500_000
# Inferences that tell how long it takes alone: so many first, then one in so many, while nobody may run beside it.
_FIRST = 8
_ALONE_EVERY = 16
# Others ran for less than this share of an inference: it was alone.
_ALONE_SHARE = 0.05
# How much of what one inference says is believed: more where it took longer than expected, so that what is learned is near
# the slow ones and not their mean (an expectile; Newey and Powell, Econometrica 55(4), 1987). And the most that it can
# say, in units of what a job may do.
_RISE, _FALL = 0.2, 0.03
_MOST = 3.0
# An inference that takes so many periods alone is not tried alone again: others hardly make one twice as long, so it would
# show beside them if it had become short enough.
_FAR_TOO_LONG = 2
EVERYONE = -1
# A job that is kept apart is tried for one inference in so long: the models or the machine may have changed.
_RETRY_NS = 30_000_000_000


class InterferenceModel:
    """What the background jobs do to one critical job. A job is known by its slot and the slot's token. For one thread."""

    def __init__(self, period_ns: int) -> None:
        """Know nobody: the first inferences are to be alone. period_ns: of the critical job."""
        self._period_ns = period_ns
        self._alone = DurationEstimate(window=32, quantile=0.5)
        self._since_alone = 0
        self._retry_at_ns = 0
        # How far each job stretches the inference if it runs all along; 1: as far as it may.
        self._slowdown: dict[tuple[int, int], float] = {}

    def learn(self, duration_ns: int, co_run: Mapping[tuple[int, int], int]) -> None:
        """Learn from one inference. co_run: how long each background job there is ran meanwhile."""
        shares = {job: min(1.0, ran / max(1, duration_ns)) for job, ran in co_run.items() if ran > 0}
        self._since_alone += 1
        if sum(shares.values()) < _ALONE_SHARE:
            self._alone.add(duration_ns)
            self._since_alone = 0
        elif self.too_long:
            if duration_ns < self._alone.value:  # alone it would have been no longer
                self._alone.add(duration_ns)
        elif len(self._alone) >= _FIRST:
            alone_ns = self._alone.value
            slowdown = (duration_ns - alone_ns) / max(SLOWDOWN * alone_ns, LEAST_NS)
            known = sum(self._slowdown.get(job, 0.0) * share for job, share in shares.items())
            error = max(-_MOST, min(_MOST, slowdown)) - known
            rate = _RISE if error > 0.0 else _FALL
            for job, share in shares.items():
                self._slowdown[job] = self._slowdown.get(job, 0.0) + rate * error * share
        if self._slowdown.keys() - co_run.keys():
            self._slowdown = {job: value for job, value in self._slowdown.items() if job in co_run}

    @property
    def too_long(self) -> bool:
        """Whether it takes longer than its period even alone."""
        return bool(len(self._alone)) and self._alone.value > self._period_ns

    def allowed(self, now_ns: int, at_once: int = 1) -> int:
        """
        Return who may run beside the next inference: the word with a bit for each slot; 0: nobody.

        at_once: how many of them may run at a time, 0 if none may beside one that can be on time. Those who may stretch it
        together no further than one may.
        """
        if self.too_long:
            far = self._alone.value >= _FAR_TOO_LONG * self._period_ns
            return EVERYONE if far or self._since_alone < _ALONE_EVERY else 0
        if not at_once:
            return 0
        if len(self._alone) < _FIRST or self._since_alone >= _ALONE_EVERY:
            return 0
        calm: list[float] = []
        apart = []
        for slowdown, slot in sorted((slowdown, slot) for (slot, _), slowdown in self._slowdown.items()):
            # In rising order, the last ones are those that stretch it most.
            if sum(max(0.0, other) for other in [*calm, slowdown][-at_once:]) > 1.0:
                apart.append(slot)
            else:
                calm.append(slowdown)
        if not apart:
            self._retry_at_ns = now_ns + _RETRY_NS
        elif now_ns >= self._retry_at_ns:
            self._retry_at_ns = now_ns + _RETRY_NS
            return EVERYONE
        return mask_of(~sum(1 << slot for slot in apart))
