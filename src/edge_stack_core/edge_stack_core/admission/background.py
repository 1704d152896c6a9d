# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A background job's side of admission: it asks before each piece of work, waits for its slack, and learns how long it takes.

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
_LATEST_DEADLINE = 1_000_000_000
# An earlier waiter that could run and does not take its turn for so long is passed over: it is stopped or gets no core.
_PATIENCE = 5_000_000
# One that asks again at once may go on for so long before an earlier deadline, if that is met all the same: about the slack
# of a 24 Hz loop, so that jobs mostly change places at the critical one, where all of them sleep anyway.
_QUANTUM_NS = 30_000_000
_AT_ONCE = 300_000
# After so many requests at once the next is counted on: within the turn, those who wait are not woken in between.
_USUALLY = 3
# A refused job's slowest runs are forgotten one by one: they may be what keeps it out.
_FORGET_EVERY = 100_000_000
# A job that is longer than the slack and runs all the same begins within this after a critical job's end.
_AT_THE_START = 3_000_000


class _AdmissionRequest(NamedTuple):
    # Times in ns: when asked, how long at most to wait, the absolute deadline; expected durations alone and beside others.
    asked: int
    wait: int
    due: int
    alone: int
    shared: int


class Admission:
    """
    One admission, a context. The figures are there once it is entered.

    delay_s: from asking to being admitted. reason: why it was delayed first, "none" if it was not. expected_s: the
    duration it was admitted with.
    """

    __slots__ = ("_deadline", "_expected", "_job", "_part", "_wait", "delay_s", "expected_s", "reason")

    def __init__(self, job: BackgroundJob, expected: int, deadline: int, wait: int, part: Hashable) -> None:
        """expected: duration, 0: learned. deadline, wait: from asking. All ns."""
        self._job = job
        self._expected, self._deadline, self._wait, self._part = expected, deadline, wait, part
        self.delay_s = 0.0
        self.expected_s = 0.0
        self.reason = "none"

    def __enter__(self) -> Admission:
        """Wait until the job is admitted. Raises Refused."""
        delay, reason, expected = self._job._enter(self._expected, self._deadline, self._wait, self._part)
        self.delay_s, self.expected_s = delay * 1e-9, expected * 1e-9
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
                end, at most once each lower_rate_s. "split": it is refused with the number of pieces; for jobs that
                can be run in pieces.
            period_s: the deadline of requests that name none.
            lower_rate_s: see policy.
            quantile: of recent durations that counts as the expected one.
        """
        super().__init__(device, name)
        self._oversize = OversizeRuns(policy, round(lower_rate_s * 1e9))
        self._by_cpu = self._device.measure == "cpu"
        self._period = round(period_s * 1e9)
        self._durations = JobDurations(quantile)
        # A request that was refused leaves its place in the order to the next one.
        self._asking_since = 0
        self._forgot_at = 0
        # Of the run that is admitted.
        self._running = self._is_oversize = False
        self._part: Hashable = None
        self._started = self._ends = self._cpu = self._admissions = 0
        # Of the run before, and of the turn that it was in.
        self._ended = self._quantum_ends_ns = self._requests_at_once = 0
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
        part: Hashable = None,
    ) -> Admission:
        """
        Return a context that is entered once the job may run.

        Args:
            expected_s: duration to count with; None: learned.
            deadline_s: from now; who has the earliest goes first. None: the job's period.
            wait_s: refuse after waiting so long. The place in the order is kept for the next request.
            part: key of the piece of work, where pieces of different length run under one name.
        """
        expected = 0 if expected_s is None else max(1, round(expected_s * 1e9))
        deadline = self._period if deadline_s is None else round(deadline_s * 1e9)
        return Admission(self, expected, deadline, round(wait_s * 1e9), part)

    def prime(self, expected_s: float, part: Hashable = None) -> None:
        """Give a first figure of the duration, used until it is learned."""
        self._durations.prime(part, round(expected_s * 1e9))

    def expected_s(self, part: Hashable = None) -> float:
        """Return the learned duration, alone if it ran alone, s; 0 while nothing is known."""
        return self._durations.of(part)[0] * 1e-9

    def critical_is_announced(self) -> bool:
        """
        Return whether a living critical job binds others now, for callers that ask for admission only then.

        A look without a lock, some microseconds. A critical job that died counts no longer, even within its lease.
        """
        now = time.monotonic_ns()
        if (
            now >= self._look_at
            or self._page.stale
            or self._words[self._base + layout.S_TOKEN] != self._token
        ):
            self._look_after(now)
        return any(self._page.alive(slot) for slot in protocol.live_criticals(self._words, now))

    def close(self) -> None:
        """Leave admission. Happens by itself when the process ends."""
        if not self._page.stale:
            self._page.release(self._slot, self._token)

    # One admission, in the order it happens.

    def _enter(self, expected: int, deadline: int, wait: int, part: Hashable) -> tuple[int, int, int]:
        """Return the delay, its first reason, and the expected duration."""
        if self._running:
            raise RuntimeError(
                f"admission: job {self.name!r} is already admitted; it runs one piece of work at a time"
            )
        asked = time.monotonic_ns()
        if (
            asked >= self._look_at
            or self._page.stale
            or self._words[self._base + layout.S_TOKEN] != self._token
        ):
            self._look_after(asked)
        alone, shared = (expected, expected) if expected else self._durations.of(part)
        since = self._asking_since or asked
        due = since + (deadline if deadline < _LATEST_DEADLINE else _LATEST_DEADLINE)
        request = _AdmissionRequest(asked, wait, due, alone, shared)
        self._part = part
        self._is_oversize = False
        reason = decision.NONE
        try:
            now, seen, verdict = self._ask(request)
            if not verdict.admitted:
                reason = verdict.reason
                now = self._wait(request, now, seen, verdict)
        except BaseException:
            self._asking_since = since
            self._step_back()
            raise
        if self._is_oversize:
            self._oversize.ran(now)
            self._words[self._base + layout.B_OVERSIZE_RUNS] += 1
        self._running = True
        self._asking_since = 0
        protocol.count_delay(self._words, self._slot, now - asked, reason)
        self._started = now
        if now > self._ended + _AT_ONCE or now > self._quantum_ends_ns:
            self._quantum_ends_ns = now + _QUANTUM_NS
        self._ends = self._words[self._base + layout.B_ENDS_AT]
        if self._by_cpu:
            self._cpu = time.thread_time_ns()
        return now - asked, reason, self._ends - now

    def _leave(self, succeeded: bool) -> None:
        cpu = time.thread_time_ns() - self._cpu if self._by_cpu else 0
        words, started = self._words, self._started
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
            now = time.monotonic_ns()
            goes_on = self._requests_at_once >= _USUALLY and now + (now - started) <= self._quantum_ends_ns
            self._ended = now
            other = protocol.finish(words, self._slot, now, self._page.alive)
            overlap, first = protocol.critical_overlap(words, started, now)
            together = words[layout.H_LIMIT] > 1 and (
                words[layout.H_ADMISSIONS] != self._admissions
                or protocol.co_runners(words, self._slot, now) > 0
            )
        finally:
            self._page.mutex.unlock()
        if other >= 0 and not goes_on:
            self._page.wake(layout.bit_of(other))
        if now > self._ends:
            words[self._base + layout.B_OVERRAN] += 1
        duration = now - started
        if overlap:
            words[self._base + layout.B_OVERLAPPED] += 1
            # Time beside a critical inference says little of the job: it is left out as far as the job had not begun it.
            outside = max(duration - overlap, first - started)
            # One that ran there all along teaches nothing, unless nothing else ever did.
            succeeded = succeeded and (outside > 0 or not self._durations.of(self._part)[0])
            duration = outside or duration
        if self._by_cpu:
            # What other programs took from it does not count, but for the little that always happens.
            duration = min(duration, cpu + cpu // 4)
        if succeeded:
            learned = self._durations.add(self._part, duration, together)
            words[self._base + (layout.S_LEARNED_SHARED if together else layout.S_LEARNED)] = learned

    def _ask(self, request: _AdmissionRequest) -> tuple[int, int, AdmissionDecision]:
        """Join the waiting and get a first decision; returns the time and the value to wait on with it."""
        page, words, slot = self._page, self._words, self._slot
        self._lock()
        try:
            now = time.monotonic_ns()
            alone, shared = request.alone, request.shared
            if not alone:
                # Never run: count with half of the largest slack, so that it begins early in one.
                alone = shared = max(1, decision.largest_slack(protocol.view_of(words).criticals, now) // 2)
            seen = page.wake_value()
            protocol.ask(words, slot, now, alone, shared, request.due)
            at_once = now < self._ended + _AT_ONCE
            self._requests_at_once = self._requests_at_once + 1 if at_once else 0
            quantum_ends_ns = self._quantum_ends_ns if at_once else 0
            verdict, other = protocol.consider(words, slot, now, page.alive, (), quantum_ends_ns)
            self._admissions = words[layout.H_ADMISSIONS]
        finally:
            page.mutex.unlock()
        # Who asks anew passes no wake-up on: whoever may start was woken by what allowed it.
        if other >= 0 and verdict.admitted:
            page.wake(layout.bit_of(other))
        return now, seen, verdict

    def _wait(self, request: _AdmissionRequest, now: int, seen: int, verdict: AdmissionDecision) -> int:
        """Wait until admitted and return when that was. Raises Refused."""
        page, words, slot = self._page, self._words, self._slot
        limit = request.asked + request.wait
        fit_is_known = False
        earlier, earlier_since = -1, 0
        passed_over: set[int] = set()
        while not verdict.admitted:
            if not fit_is_known and verdict.reason in (decision.ACTIVE, decision.SLACK):
                fit_is_known = True
                if self._make_fit(request, limit, now):
                    seen = page.wake_value() - 1 & 0xFFFFFFFF  # decide anew at once
            elif verdict.reason == decision.ORDER:
                if verdict.winner != earlier:
                    earlier, earlier_since = verdict.winner, now
                elif now >= earlier_since + _PATIENCE:
                    passed_over.add(earlier)
                    words[self._base + layout.B_PASSED_OVER] += 1
            if now >= limit:
                raise self._timed_out(request, verdict.reason)
            until = min(verdict.look_again, limit)
            if verdict.reason == decision.ORDER:
                until = now if verdict.winner in passed_over else min(until, now + _PATIENCE)
            if until > now:
                page.wait(seen, until, layout.bit_of(slot))
            self._lock()
            try:
                now = time.monotonic_ns()
                seen = page.wake_value()
                verdict, other = protocol.consider(words, slot, now, page.alive, passed_over)
                self._admissions = words[layout.H_ADMISSIONS]
            finally:
                page.mutex.unlock()
            if other >= 0:
                seen = page.wake(layout.bit_of(other), seen)
        return now

    def _make_fit(self, request: _AdmissionRequest, limit: int, now: int) -> bool:
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
        largest = decision.largest_slack(criticals, now)
        room = largest - view.guard
        may_cross = not decision.kept_apart(view, self._slot, now)
        if largest < 0 or may_cross or request.alone <= room:
            self._oversize.fits()
            words[base + layout.B_FITS] = 0
            if may_cross or not 0 <= room < request.shared:
                return False
            words[base + layout.B_SHARED] = request.alone  # beside others it never fits; alone it does
            return True
        words[base + layout.B_FITS] = max(room, 1)
        may_run_at = self._oversize.may_run_at(now)
        if may_run_at > limit or room <= 0:
            if now >= self._forgot_at + _FORGET_EVERY:
                self._forgot_at = now
                self._durations.forget_slowest(self._part)
            words[base + (layout.B_MUST_SPLIT if self.policy == "split" else layout.B_NEVER_FITS)] += 1
            raise oversize.refusal(self.name, self._device.name, self.policy, request.alone, room)
        self._is_oversize = True
        if may_run_at > now:
            self._step_back()
            time.sleep((may_run_at - now) * 1e-9)
        at_the_start = max(1, room - _AT_THE_START)
        self._lock()
        try:
            protocol.ask(words, self._slot, time.monotonic_ns(), at_the_start, at_the_start, request.due)
        finally:
            self._page.mutex.unlock()
        return True

    # When things go wrong.

    def _timed_out(self, request: _AdmissionRequest, reason: int) -> Refused:
        self._words[self._base + layout.B_TIMED_OUT] += 1
        text = (
            f"{self.name} was not admitted on {self._device.name} within {request.wait * 1e-6:.0f} ms"
            f" ({decision.REASONS[reason]})"
        )
        return Refused(text, "timeout", request.alone * 1e-9)

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
