# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The control thread: calls a tick at absolute times of a fixed grid, whatever else the process and the machine do.

Its unit of work is one tick. The thread sleeps to CLOCK_MONOTONIC times under SCHED_FIFO where it may, and says once what
it may not have and what would give it. A tick that starts late by more than a period takes the place of those it missed:
they are skipped and counted, never run in a bunch. A tick that raises is counted and reported and the next one runs. The
thread never runs ROS callbacks, never logs, and takes no lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_stack_core.runtime import linux, process
from edge_stack_core.runtime.garbage import GarbageKeeper
from edge_stack_core.runtime.histogram import Histogram
from edge_stack_core.runtime.progress import WorkProgress

# A thread that wants the interpreter waits this long before it asks the running one to yield (Python's default: 5 ms).
SWITCH_INTERVAL_S = 0.0001
# Without real-time rights: a short slice makes the scheduler run the thread sooner after it wakes (Linux 6.12 and later).
# It helps only if the process is in a session of its own, where autogroups are on: else the whole session shares one turn.
FALLBACK_SLICE_NS = 100_000
# The longest uninterrupted sleep, so that stop() is quick at any rate.
_LONGEST_SLEEP_NS = 100_000_000
_NS = 1_000_000_000


@dataclass(frozen=True)
class ControlThreadSettings:
    """
    What the thread asks of the system.

    priority: SCHED_FIFO 1..99; 0: the normal policy with a short time slice. companion_priority: SCHED_FIFO for the
    process's other threads, so that none of them is descheduled while it holds the interpreter or a lock that a tick needs;
    0 leaves them.
    cpu_affinity: cores of the thread; empty: all. lock_memory: no page of the process is ever swapped out.
    manage_gc: garbage is collected after ticks only.
    """

    priority: int = 80
    companion_priority: int = 40
    cpu_affinity: tuple[int, ...] = ()
    lock_memory: bool = True
    manage_gc: bool = True


@dataclass(frozen=True)
class ControlThreadFigures:
    """
    What the thread did since start().

    skipped: releases without a tick. overruns: ticks that ended after their deadline, one period past the release.
    misses: skipped and overruns. max_gap_ms: longest time between the starts of two ticks.
    """

    ticks: int
    skipped: int
    overruns: int
    errors: int
    rate_hz: float
    max_gap_ms: float
    lateness: Histogram
    duration: Histogram

    @property
    def misses(self) -> int:
        """Deadlines missed: releases without a tick and ticks that ended too late."""
        return self.skipped + self.overruns


class ControlThread:
    """Calls tick(release_ns) on a grid. start() and stop() are called by one other thread; figures() by any."""

    def __init__(
        self,
        tick: Callable[[int], None],
        rate_hz: float,
        settings: ControlThreadSettings | None = None,
        on_error: Callable[[Exception], None] | None = None,
        progress: WorkProgress | None = None,
        name: str = "control",
    ) -> None:
        """
        Prepare the thread without starting it.

        tick: gets its release, monotonic ns. on_error: gets what a tick raised, in the control thread: it must be brief.
        progress: is told at each tick what the thread does.
        """
        if not 0.0 < rate_hz <= 10_000.0:
            raise ValueError(f"rate_hz: {rate_hz}, must be above 0 and at most 10000")
        self._tick = tick
        self.period_ns = round(_NS / rate_hz)
        self._settings = settings or ControlThreadSettings()
        self._on_error = on_error
        self._progress = progress or WorkProgress()
        self._name = name
        self._thread: threading.Thread | None = None
        self._stop = False
        self._shift_ns = 0
        self._ready = threading.Event()
        self._refused: list[str] = []
        self._granted = ""
        self._reset_figures()

    @property
    def running(self) -> bool:
        """Whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def granted(self) -> str:
        """Policy, priority and cores of the thread as the system runs it, as text; empty before start()."""
        return self._granted

    def start(self, timeout_s: float = 5.0) -> list[str]:
        """
        Start ticking; the first release is one period from now.

        Returns what the system refused, one sentence each with the remedy and what was done instead; empty if nothing.
        """
        if self.running:
            raise RuntimeError("the control thread runs already")
        self._stop = False
        self._ready.clear()
        self._reset_figures()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        if not self._ready.wait(timeout_s):
            self._stop = True
            raise RuntimeError(f"the control thread was not running within {timeout_s} s")
        return list(self._refused)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Stop ticking; return whether the thread ended within the limit (a tick that hangs can keep it)."""
        thread = self._thread
        self._stop = True
        if thread is None:
            return True
        if thread is not threading.current_thread():
            thread.join(timeout_s)
        if thread.is_alive():
            return False
        self._thread = None
        return True

    def shift(self, shift_ns: int) -> None:
        """Put the grid off by a time, once. Called by the tick."""
        self._shift_ns = shift_ns

    def figures(self) -> ControlThreadFigures:
        """Return counts and histograms of this moment."""
        ticks, first_ns, last_ns = self._ticks, self._first_ns, self._last_ns
        rate_hz = (ticks - 1) * _NS / (last_ns - first_ns) if ticks > 1 and last_ns > first_ns else 0.0
        return ControlThreadFigures(
            ticks=ticks,
            skipped=self._skipped,
            overruns=self._overruns,
            errors=self._errors,
            rate_hz=rate_hz,
            max_gap_ms=self._max_gap_ns * 1e-6,
            lateness=self._lateness.copy(),
            duration=self._duration.copy(),
        )

    # ---- inside the thread ------------------------------------------------------------------------------------------

    def _reset_figures(self) -> None:
        self._ticks = self._skipped = self._overruns = self._errors = 0
        self._first_ns = self._last_ns = self._max_gap_ns = 0
        self._lateness, self._duration = Histogram(), Histogram()

    def _run(self) -> None:
        garbage = GarbageKeeper() if self._settings.manage_gc else None
        switch_interval_s = sys.getswitchinterval()
        before = {tid: _policy_of(tid) for tid in process.thread_ids()}
        sys.setswitchinterval(min(switch_interval_s, SWITCH_INTERVAL_S))
        try:
            self._refused = self._ask_system()
            self._granted = process.describe_thread()
            if garbage is not None:
                garbage.start()
            self._ready.set()
            self._loop(garbage)
        finally:
            self._progress.ended()
            if garbage is not None:
                garbage.stop()
            sys.setswitchinterval(switch_interval_s)
            _restore_policies(before)

    def _loop(self, garbage: GarbageKeeper | None) -> None:
        sleep_until = linux.AbsoluteSleeper().sleep_until
        now_ns = time.monotonic_ns
        period_ns = self.period_ns
        release_ns = now_ns() + period_ns
        while not self._stop:
            now = now_ns()
            if now < release_ns:
                sleep_until(min(release_ns, now + _LONGEST_SLEEP_NS))
                now = now_ns()
                if now < release_ns:
                    continue
                if self._stop:
                    return
            late_ns = now - release_ns
            self._lateness.add(late_ns)
            if late_ns >= period_ns:
                missed = late_ns // period_ns
                self._skipped += missed
                release_ns += missed * period_ns
            if self._ticks:
                self._max_gap_ns = max(self._max_gap_ns, now - self._last_ns)
            else:
                self._first_ns = now
            self._last_ns = now
            self._progress.busy()
            try:
                self._tick(release_ns)
            except Exception as error:  # noqa: BLE001 (one bad tick must not end the commands)
                self._errors += 1
                self._report(error)
            end = now_ns()
            self._ticks += 1
            self._duration.add(end - now)
            release_ns += period_ns + self._shift_ns
            self._shift_ns = 0
            self._progress.waiting(max(release_ns - end, 0) * 1e-9)
            if end > release_ns:
                self._overruns += 1
            elif garbage is not None:
                garbage.after_tick(release_ns - end)

    def _report(self, error: Exception) -> None:
        if self._on_error is not None:
            try:
                self._on_error(error)
            except Exception:  # noqa: BLE001
                self._errors += 1

    def _ask_system(self) -> list[str]:
        """Apply the settings to this thread and process; return what was refused and what stands in for it."""
        wanted = self._settings
        refused: list[str] = []
        me = threading.get_native_id()
        if wanted.cpu_affinity:
            problem = process.set_affinity(wanted.cpu_affinity, [me])
            refused += [problem] if problem else []
        if wanted.lock_memory:
            problem = process.lock_memory()
            refused += [problem] if problem else []
        if wanted.priority > 0:
            highest = process.rights().max_rt_priority
            priority = min(wanted.priority, highest) if highest else wanted.priority
            problem = process.set_policy("fifo", priority, [me])
            if problem:
                refused.append(f"{problem}; {self._fall_back(process.rights().min_nice)}")
            elif priority < wanted.priority:
                refused.append(
                    f"control priority {wanted.priority} is not permitted: runs at {priority}; {process.REMEDY}"
                )
            if not problem and wanted.companion_priority > 0:
                others = [tid for tid in process.thread_ids() if tid != me]
                companion = min(wanted.companion_priority, max(priority - 1, 1))
                problem = process.set_policy("fifo", companion, others)
                refused += [problem] if problem else []
        else:
            self._fall_back()
        return refused

    def _fall_back(self, nice: int | None = None) -> str:
        """Do the best that a normal process may, for all its threads (they share the interpreter); return what that was."""
        done = []
        if nice is not None and nice < os.getpriority(os.PRIO_PROCESS, 0) and process.set_nice(nice) is None:
            done.append(f"nice {nice}")
        with contextlib.suppress(OSError):
            linux.set_timer_slack_ns(1)
            done.append("no timer slack")
        with contextlib.suppress(OSError):
            for tid in process.thread_ids():
                with contextlib.suppress(ProcessLookupError):
                    linux.set_slice_ns(FALLBACK_SLICE_NS, tid)
            done.append("a short time slice")
        return "until then the control thread runs with " + (", ".join(done) if done else "the normal policy")


def _policy_of(tid: int) -> tuple[int, int] | None:
    try:
        return os.sched_getscheduler(tid), os.sched_getparam(tid).sched_priority
    except OSError:
        return None


def _restore_policies(before: dict[int, tuple[int, int] | None]) -> None:
    """Give every thread its policy back; threads that began meanwhile get that of the main thread."""
    main = before.get(os.getpid())
    for tid in process.thread_ids():
        policy = before.get(tid, main)
        if policy is None:
            continue
        try:
            os.sched_setscheduler(tid, policy[0], os.sched_param(policy[1]))
        except OSError:
            continue
