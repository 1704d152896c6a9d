# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A background job's side of admission: it asks before each run, waits for its slack, and learns how long it takes.

Its unit of work is one admission:

    with job.admitted(deadline_s=0.2) as admission:
        session.run(...)

Waiting sleeps on a word of the shared page until the moment it may matter; it has a limit, after which it is refused. What
is admitted is never interrupted: on a GPU, the block must wait for the results.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from types import TracebackType
from typing import NamedTuple

from edge_stack_core.admission import decision, layout, oversize, protocol, system
from edge_stack_core.admission.decision import AdmissionDecision
from edge_stack_core.admission.device import AdmissionDevice
from edge_stack_core.admission.estimate import JobDurations
from edge_stack_core.admission.membership import Member
from edge_stack_core.admission.oversize import OversizeRuns, Refused

# No deadline orders a job later than this: none waits for ever behind more urgent ones.
_LATEST_DEADLINE_NS = 1_000_000_000
# An earlier waiter that could run and does not take its turn for so long is passed over: it is stopped or gets no core.
_PATIENCE_NS = 5_000_000
# One that asks again at once may go on for so long before an earlier deadline, if that is met all the same: about the slack
# of a 24 Hz loop, so that jobs mostly change places at the critical one, where all of them sleep anyway.
_QUANTUM_NS = 30_000_000
_AT_ONCE_NS = 300_000
# After so many requests at once the next is counted on: within the turn, those who wait are not woken in between.
_USUALLY = 3
# A refused job's slowest runs are forgotten one by one: they may be what keeps it out.
_FORGET_EVERY_NS = 100_000_000
# A job that is longer than the slack and runs all the same begins within this after a critical job's end.
_AT_THE_START_NS = 3_000_000


class _AdmissionRequest(NamedTuple):
    # Times in ns: when asked, how long at most to wait, the absolute deadline; expected durations alone and beside others.
    asked_ns: int
    wait_ns: int
    due_ns: int
    alone_ns: int
    shared_ns: int


class Admission:
    """
    One admission, a context. The figures are there once it is entered.

    delay_s: from asking to being admitted. reason: why it was delayed first, "none" if it was not. expected_s: the
    duration it was admitted with.
    """

    __slots__ = (
        "_deadline_ns",
        "_expected_ns",
        "_job",
        "_key",
        "_wait_ns",
        "delay_s",
        "expected_s",
        "reason",
    )

    def __init__(
        self, job: BackgroundJob, expected_ns: int, deadline_ns: int, wait_ns: int, key: Hashable
    ) -> None:
        """expected_ns: duration, 0: learned. deadline_ns, wait_ns: from asking."""
        self._job = job
        self._expected_ns, self._deadline_ns, self._wait_ns, self._key = (
            expected_ns,
            deadline_ns,
            wait_ns,
            key,
        )
        self.delay_s = 0.0
        self.expected_s = 0.0
        self.reason = "none"

    def __enter__(self) -> Admission:
        """Wait until the job is admitted. Raises Refused."""
        delay_ns, reason, expected_ns = self._job._enter(
            self._expected_ns, self._deadline_ns, self._wait_ns, self._key
        )
        self.delay_s, self.expected_s = delay_ns * 1e-9, expected_ns * 1e-9
        if reason:
            self.reason = decision.REASONS[reason]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run; its duration is learned unless it failed."""
        self._job._leave(kind is None)


class BackgroundJob(Member):
    """A job that runs in the slack of critical ones. Used by one thread at a time."""

    STATE = layout.IDLE

    def __init__(
        self,
        device: AdmissionDevice | str,
        name: str,
        policy: str = "refuse",
        period_s: float = 0.2,
        lower_rate_s: float = 1.0,
        quantile: float = 0.95,
    ) -> None:
        """
        Join admission of a device.

        Args:
            device: the AdmissionDevice or its name.
            name: of the job, the same after each restart: what was learned of it is found by it.
            policy: what happens if it is longer than any slack. "refuse": it is refused, and tried anew after 5 s, then 10,
                20 and so on, in case the machine became faster. "lower_rate": it runs whole, right after a critical job's
                end, at most once each lower_rate_s. "split": it is refused with the number of slices; for jobs that
                can be run in slices.
            period_s: the deadline of requests that name none.
            lower_rate_s: see policy.
            quantile: of recent durations that counts as the expected one.
        """
        super().__init__(device, name)
        self._oversize = OversizeRuns(policy, round(lower_rate_s * 1e9))
        self._by_cpu = self._device.measure == "cpu"
        self._period_ns = round(period_s * 1e9)
        self._durations = JobDurations(quantile)
        # A request that was refused leaves its place in the order to the next one.
        self._asking_since_ns = 0
        self._forgot_at_ns = 0
        # Of the run that is admitted.
        self._running = self._is_oversize = False
        self._key: Hashable = None
        self._started_ns = self._ends_ns = self._cpu_ns = self._admissions = 0
        # Of the run before, and of the turn that it was in.
        self._ended_ns = self._quantum_ends_ns = self._requests_at_once = 0
        self._join()
        learned = self._words[self._base + layout.S_LEARNED]
        if learned:
            self.prime(learned * 1e-9)

    @property
    def policy(self) -> str:
        """What happens if the job is longer than any slack."""
        return self._oversize.policy

    def admitted(
        self,
        expected_s: float | None = None,
        deadline_s: float | None = None,
        wait_s: float = 2.0,
        key: Hashable = None,
    ) -> Admission:
        """
        Return a context that is entered once the job may run.

        Args:
            expected_s: duration to count with; None: learned.
            deadline_s: from now; who has the earliest goes first. None: the job's period.
            wait_s: refuse after waiting so long. The place in the order is kept for the next request.
            key: names the slice, where slices of different length run under one name.
        """
        expected_ns = 0 if expected_s is None else max(1, round(expected_s * 1e9))
        deadline_ns = self._period_ns if deadline_s is None else round(deadline_s * 1e9)
        return Admission(self, expected_ns, deadline_ns, round(wait_s * 1e9), key)

    def prime(self, expected_s: float, key: Hashable = None) -> None:
        """Give a first figure of the duration, used until it is learned."""
        self._durations.prime(key, round(expected_s * 1e9))

    def expected_s(self, key: Hashable = None) -> float:
        """Return the learned duration, alone if it ran alone, s; 0 while nothing is known."""
        return self._durations.of(key)[0] * 1e-9

    def critical_is_announced(self) -> bool:
        """
        Return whether a living critical job binds others now, for callers that ask for admission only then.

        A look without a lock, some microseconds. A critical job that died counts no longer, even within its lease.
        """
        now_ns = time.monotonic_ns()
        if (
            now_ns >= self._look_at_ns
            or self._page.stale
            or self._words[self._base + layout.S_TOKEN] != self._token
        ):
            self._look_after(now_ns)
        return any(self._page.alive(slot) for slot in protocol.live_criticals(self._words, now_ns))

    def close(self) -> None:
        """Leave admission. Happens by itself when the process ends."""
        if not self._page.stale:
            self._page.release(self._slot, self._token)

    # One admission, in the order it happens.

    def _enter(self, expected_ns: int, deadline_ns: int, wait_ns: int, key: Hashable) -> tuple[int, int, int]:
        """Return the delay, its first reason, and the expected duration."""
        if self._running:
            raise RuntimeError(f"admission: job {self.name!r} is already admitted; it runs one at a time")
        asked_ns = time.monotonic_ns()
        if (
            asked_ns >= self._look_at_ns
            or self._page.stale
            or self._words[self._base + layout.S_TOKEN] != self._token
        ):
            self._look_after(asked_ns)
        alone_ns, shared_ns = (expected_ns, expected_ns) if expected_ns else self._durations.of(key)
        since_ns = self._asking_since_ns or asked_ns
        due_ns = since_ns + (deadline_ns if deadline_ns < _LATEST_DEADLINE_NS else _LATEST_DEADLINE_NS)
        request = _AdmissionRequest(asked_ns, wait_ns, due_ns, alone_ns, shared_ns)
        self._key = key
        self._is_oversize = False
        reason = decision.NONE
        try:
            now_ns, seen, verdict = self._ask(request)
            if not verdict.admitted:
                reason = verdict.reason
                now_ns = self._wait(request, now_ns, seen, verdict)
        except BaseException:
            self._asking_since_ns = since_ns
            self._step_back()
            raise
        if self._is_oversize:
            self._oversize.ran(now_ns)
            self._words[self._base + layout.B_OVERSIZE_RUNS] += 1
        self._running = True
        self._asking_since_ns = 0
        protocol.count_delay(self._words, self._slot, now_ns - asked_ns, reason)
        self._started_ns = now_ns
        if now_ns > self._ended_ns + _AT_ONCE_NS or now_ns > self._quantum_ends_ns:
            self._quantum_ends_ns = now_ns + _QUANTUM_NS
        self._ends_ns = self._words[self._base + layout.B_ENDS_AT]
        if self._by_cpu:
            self._cpu_ns = time.thread_time_ns()
        return now_ns - asked_ns, reason, self._ends_ns - now_ns

    def _leave(self, succeeded: bool) -> None:
        cpu_ns = time.thread_time_ns() - self._cpu_ns if self._by_cpu else 0
        words, started_ns = self._words, self._started_ns
        self._running = False
        try:
            self._page.mutex.lock()
        except system.MutexBusy:
            # The run is over all the same. Who waits finds that when it looks again.
            if words[self._base + layout.S_TOKEN] == self._token:
                words[layout.STATES + self._slot] = layout.IDLE
            return
        try:
            if words[self._base + layout.S_TOKEN] != self._token:
                return  # closed meanwhile: the slot may be another job's
            now_ns = time.monotonic_ns()
            goes_on = (
                self._requests_at_once >= _USUALLY and now_ns + (now_ns - started_ns) <= self._quantum_ends_ns
            )
            self._ended_ns = now_ns
            other = protocol.finish(words, self._slot, now_ns, self._page.alive)
            overlap_ns, first_ns = protocol.critical_overlap(words, started_ns, now_ns)
            together = words[layout.H_LIMIT] > 1 and (
                words[layout.H_ADMISSIONS] != self._admissions
                or protocol.co_runners(words, self._slot, now_ns) > 0
            )
        finally:
            self._page.mutex.unlock()
        if other >= 0 and not goes_on:
            self._page.wake(layout.bit_of(other))
        if now_ns > self._ends_ns:
            words[self._base + layout.B_OVERRAN] += 1
        duration_ns = now_ns - started_ns
        if overlap_ns:
            words[self._base + layout.B_OVERLAPPED] += 1
            # Time beside a critical inference says little of the job: it is left out as far as the job had not begun it.
            outside_ns = max(duration_ns - overlap_ns, first_ns - started_ns)
            # One that ran there all along teaches nothing, unless nothing else ever did.
            succeeded = succeeded and (outside_ns > 0 or not self._durations.of(self._key)[0])
            duration_ns = outside_ns or duration_ns
        if self._by_cpu:
            # What other programs took from it does not count, but for the little that always happens.
            duration_ns = min(duration_ns, cpu_ns + cpu_ns // 4)
        if succeeded:
            learned = self._durations.add(self._key, duration_ns, together)
            words[self._base + (layout.S_LEARNED_SHARED if together else layout.S_LEARNED)] = learned

    def _ask(self, request: _AdmissionRequest) -> tuple[int, int, AdmissionDecision]:
        """Join the waiting and get a first decision; returns the time and the value to wait on with it."""
        page, words, slot = self._page, self._words, self._slot
        self._lock()
        try:
            now_ns = time.monotonic_ns()
            alone_ns, shared_ns = request.alone_ns, request.shared_ns
            if not alone_ns:
                # Never run: count with half of the largest slack, so that it begins early in one.
                alone_ns = shared_ns = max(
                    1, decision.largest_slack(protocol.view_of(words).criticals, now_ns) // 2
                )
            seen = page.wake_value()
            protocol.ask(words, slot, now_ns, alone_ns, shared_ns, request.due_ns)
            at_once = now_ns < self._ended_ns + _AT_ONCE_NS
            self._requests_at_once = self._requests_at_once + 1 if at_once else 0
            quantum_ends_ns = self._quantum_ends_ns if at_once else 0
            verdict, other = protocol.consider(words, slot, now_ns, page.alive, (), quantum_ends_ns)
            self._admissions = words[layout.H_ADMISSIONS]
        finally:
            page.mutex.unlock()
        # Who asks anew passes no wake-up on: whoever may start was woken by what allowed it.
        if other >= 0 and verdict.admitted:
            page.wake(layout.bit_of(other))
        return now_ns, seen, verdict

    def _wait(self, request: _AdmissionRequest, now_ns: int, seen: int, verdict: AdmissionDecision) -> int:
        """Wait until admitted and return when that was. Raises Refused."""
        page, words, slot = self._page, self._words, self._slot
        limit_ns = request.asked_ns + request.wait_ns
        fit_is_known = False
        earlier, earlier_since_ns = -1, 0
        passed_over: set[int] = set()
        while not verdict.admitted:
            if not fit_is_known and verdict.reason in (decision.ACTIVE, decision.SLACK):
                fit_is_known = True
                if self._make_fit(request, limit_ns, now_ns):
                    seen = page.wake_value() - 1 & 0xFFFFFFFF  # decide anew at once
            elif verdict.reason == decision.ORDER:
                if verdict.winner != earlier:
                    earlier, earlier_since_ns = verdict.winner, now_ns
                elif now_ns >= earlier_since_ns + _PATIENCE_NS:
                    passed_over.add(earlier)
                    words[self._base + layout.B_PASSED_OVER] += 1
            if now_ns >= limit_ns:
                raise self._timed_out(request, verdict.reason)
            until_ns = min(verdict.look_again_ns, limit_ns)
            if verdict.reason == decision.ORDER:
                until_ns = now_ns if verdict.winner in passed_over else min(until_ns, now_ns + _PATIENCE_NS)
            if until_ns > now_ns:
                page.wait(seen, until_ns, layout.bit_of(slot))
            self._lock()
            try:
                now_ns = time.monotonic_ns()
                seen = page.wake_value()
                verdict, other = protocol.consider(words, slot, now_ns, page.alive, passed_over)
                self._admissions = words[layout.H_ADMISSIONS]
            finally:
                page.mutex.unlock()
            if other >= 0:
                seen = page.wake(layout.bit_of(other), seen)
        return now_ns

    def _make_fit(self, request: _AdmissionRequest, limit_ns: int, now_ns: int) -> bool:
        """
        Act by the policy if the job is longer than any slack; return whether to decide anew.

        Raises:
            Refused: by the policy.
        """
        words, base = self._words, self._base
        self._lock()
        try:
            view = protocol.view_of(words)
            criticals = [critical for critical in view.criticals if self._page.alive(critical.slot)]
        finally:
            self._page.mutex.unlock()
        largest_ns = decision.largest_slack(criticals, now_ns)
        room_ns = largest_ns - view.guard_ns
        may_cross = not decision.kept_apart(view, self._slot, now_ns)
        if largest_ns < 0 or may_cross or request.alone_ns <= room_ns:
            self._oversize.fits()
            words[base + layout.B_FITS] = 0
            if may_cross or not 0 <= room_ns < request.shared_ns:
                return False
            words[base + layout.B_SHARED] = request.alone_ns  # beside others it never fits; alone it does
            return True
        words[base + layout.B_FITS] = max(room_ns, 1)
        may_run_at_ns = self._oversize.may_run_at(now_ns)
        if may_run_at_ns > limit_ns or room_ns <= 0:
            if now_ns >= self._forgot_at_ns + _FORGET_EVERY_NS:
                self._forgot_at_ns = now_ns
                self._durations.forget_slowest(self._key)
            words[base + (layout.B_MUST_SPLIT if self.policy == "split" else layout.B_NEVER_FITS)] += 1
            raise oversize.refusal(self.name, self._device.name, self.policy, request.alone_ns, room_ns)
        self._is_oversize = True
        if may_run_at_ns > now_ns:
            self._step_back()
            time.sleep((may_run_at_ns - now_ns) * 1e-9)
        at_the_start_ns = max(1, room_ns - _AT_THE_START_NS)
        self._lock()
        try:
            protocol.ask(
                words, self._slot, time.monotonic_ns(), at_the_start_ns, at_the_start_ns, request.due_ns
            )
        finally:
            self._page.mutex.unlock()
        return True

    # When things go wrong.

    def _timed_out(self, request: _AdmissionRequest, reason: int) -> Refused:
        self._words[self._base + layout.B_TIMED_OUT] += 1
        text = (
            f"{self.name} was not admitted on {self._device.name} within {request.wait_ns * 1e-6:.0f} ms"
            f" ({decision.REASONS[reason]})"
        )
        return Refused(text, "timeout", request.alone_ns * 1e-9)

    def _step_back(self) -> None:
        """Leave the waiting."""
        other = -1
        try:
            self._page.mutex.lock(0.01)
        except system.MutexBusy:
            self._words[layout.STATES + self._slot] = layout.IDLE
            return
        try:
            if self._words[self._base + layout.S_TOKEN] == self._token:
                other = protocol.finish(self._words, self._slot, time.monotonic_ns(), self._page.alive)
        finally:
            self._page.mutex.unlock()
        if other >= 0:
            self._page.wake(layout.bit_of(other))

    def _lock(self) -> None:
        try:
            self._page.mutex.lock()
        except system.MutexBusy as error:
            self._words[self._base + layout.B_STUCK] += 1
            text = f"{self.name}: a stopped process holds admission of {self._device.name}: {error}"
            raise Refused(text, "stuck") from None

    def _join(self) -> None:
        super()._join()
        self._words[self._base + layout.B_POLICY] = oversize.POLICIES.index(self.policy)
