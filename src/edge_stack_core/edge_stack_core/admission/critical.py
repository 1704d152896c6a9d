# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A critical job's side of admission: it says when it will run, and never asks or waits.

Its unit of work is one inference: announce() when its release is known, begin() and end() around it. Each is a few stores
into shared memory and at most one system call that cannot block. Background jobs keep clear of what it announces for one
lease: a critical job that died or was stopped delays nobody beyond it.
"""

from __future__ import annotations

import time
from types import TracebackType

from edge_stack_core.admission import layout, protocol
from edge_stack_core.admission.co_run import InterferenceModel
from edge_stack_core.admission.device import AdmissionDevice
from edge_stack_core.admission.estimate import DurationEstimate
from edge_stack_core.admission.membership import Member


class CriticalJob(Member):
    """
    A periodic job that background jobs make way for. Used by one thread at a time.

    with job: around each inference is the same as begin() and end().
    """

    STATE = layout.CRITICAL

    def __init__(
        self,
        device: AdmissionDevice | str,
        name: str,
        period_s: float,
        budget_s: float | None = None,
        lease_s: float | None = None,
    ) -> None:
        """
        Join admission of a device.

        Args:
            device: the AdmissionDevice or its name.
            name: of the job, the same after each restart.
            period_s: between releases.
            budget_s: reserved execution time, until it is learned from what the job takes; None: a third of the period.
            lease_s: how long a release or a begin binds others when nothing more is heard; None: one period, or twice the
                budget if that is longer.
        """
        super().__init__(device, name)
        self._period_ns = round(period_s * 1e9)
        self._lease_s = lease_s
        self._estimate = DurationEstimate(quantile=0.9)
        self._interference = InterferenceModel(self._period_ns)
        self._ran: dict[tuple[int, int], int] | None = None
        self._join()
        learned = self._words[self._base + layout.S_LEARNED]
        given = round(budget_s * 1e9) if budget_s is not None else 0
        self._budget_ns = given or learned or self._period_ns // 3

    @property
    def budget_s(self) -> float:
        """The reserved execution time: learned, once there are a few inferences."""
        return self._budget_ns * 1e-9

    def announce(self, release_s: float) -> None:
        """Say when the next inference will begin: a monotonic time (time.monotonic()), s. Again to change it."""
        self._announce(round(release_s * 1e9))

    def begin(self) -> None:
        """
        Begin an inference, now.

        The following release is announced with it, one period after the announced one. Where a release is dropped, begin
        and end need not be called: its lease runs out, or announce() the next.
        """
        now_ns = time.monotonic_ns()
        if self._words[self._base + layout.S_TOKEN] != self._token or now_ns >= self._look_at_ns:
            self._look_after(now_ns)
        if not self._words[self._base + layout.C_PERIOD]:
            self._announce(now_ns)
        protocol.begin(self._words, self._slot, now_ns)
        # Where nobody may run beside it, nobody is looked for.
        open_to_others = self._words[layout.H_CO_RUN] or self._words[self._base + layout.C_CO_RUN]
        self._ran = protocol.time_run(self._words, now_ns) if open_to_others else {}

    def end(self) -> None:
        """End the inference: its results are complete, on a GPU too. Those who wait look again at once."""
        now_ns = time.monotonic_ns()
        words, base = self._words, self._base
        # Closed meanwhile, the slot may be another job's.
        began_ns = words[base + layout.C_ACTIVE] if words[base + layout.S_TOKEN] == self._token else 0
        ran, self._ran = self._ran, None
        ran_since = protocol.time_run(words, now_ns) if ran else {}
        if began_ns:
            self._estimate.add(now_ns - began_ns)
            if len(self._estimate) >= 8:
                self._budget_ns = words[base + layout.S_LEARNED] = self._estimate.value
            words[base + layout.C_LEASE] = self._lease_ns()
            protocol.end(words, self._slot, now_ns, self._budget_ns)
        self._page.wake(words[layout.H_HEADS] or 0xFFFFFFFF)
        if began_ns and ran is not None:
            # After the wake-up: it concerns the next inference only.
            co_run = {job: time_run - ran.get(job, time_run) for job, time_run in ran_since.items()}
            self._interference.learn(now_ns - began_ns, co_run)
            protocol.allow_co_run(
                words, self._slot, self._interference.allowed(now_ns, words[layout.H_CO_RUN])
            )

    def withdraw(self) -> None:
        """Take the announcement back, for example when the node is deactivated. Others may use all the time."""
        protocol.withdraw(self._words, self._slot)
        self._page.wake(0xFFFFFFFF)

    def close(self) -> None:
        """Leave admission. Happens by itself when the process ends."""
        if not self._page.stale:
            self.withdraw()
            self._page.release(self._slot, self._token)

    def __enter__(self) -> CriticalJob:
        """Begin an inference."""
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, also after an exception."""
        self.end()

    def _announce(self, release_ns: int) -> None:
        protocol.announce(
            self._words, self._slot, release_ns, self._period_ns, self._budget_ns, self._lease_ns()
        )

    def _lease_ns(self) -> int:
        if self._lease_s is not None:
            return round(self._lease_s * 1e9)
        return max(self._period_ns, 2 * self._budget_ns)

    def _look_after(self, now_ns: int) -> bool:
        joined_anew = super()._look_after(now_ns)
        if joined_anew:
            self._announce(now_ns)
        return joined_anew
