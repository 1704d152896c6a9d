# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
SCHED_FIFO for the threads of a critical inference, as long as they leave the processor often enough.

Its unit is one set of threads, from take() to give_back(). The policy node uses it where the policy needs no admission. The
kernel stops real-time threads that use 95 % of a core in a second, the control thread on that core with them (or runs
ordinary threads ahead of them): threads that compute nearly all the time are therefore given the normal policy again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from edge_stack_core.runtime import process

# Share of a core, measured over a second or more, and processor time of one piece of work, from which threads run too much.
MOST_SHARE = 0.8
MOST_AT_ONCE_S = 0.8
WINDOW_S = 1.0
# Windows in a row: a first inference that compiles or loads counts once.
WINDOWS = 3


class InferenceThreads:
    """The threads that compute, and the policy they have. All methods are for one thread."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_time: Callable[[int], float] | None = None,
        set_policy: Callable[[str, int, Collection[int]], str | None] = process.set_policy,
    ) -> None:
        """clock, cpu_time, set_policy: monotonic time, s; processor time of a thread, s; see process.set_policy."""
        self._clock = clock
        self._cpu_time = cpu_time or cpu_time_s
        self._set_policy = set_policy
        self._used: dict[int, float] = {}
        self._begun_s = self._sum_s = self._longest_s = 0.0
        self._windows = 0

    def take(self, priority: int, threads: Collection[int]) -> str | None:
        """Give threads SCHED_FIFO at a priority; return what was refused, or None."""
        refusal = self._set_policy("fifo", priority, threads)
        if refusal is not None:
            self._set_policy("other", 0, threads)
            return refusal
        self._used = {thread: self._cpu_time(thread) for thread in threads}
        self._windows = 0
        self._begin(self._clock())
        return None

    def give_back(self) -> None:
        """Give the threads the normal policy again. Harmless if they have it."""
        threads, self._used = list(self._used), {}
        if threads:
            self._set_policy("other", 0, threads)

    def run_too_much(self) -> bool:
        """Look, after a piece of work, whether the threads leave too little; then they have the normal policy again."""
        if not self._used:
            return False
        work_s = 0.0
        for thread, before_s in self._used.items():
            self._used[thread] = used_s = self._cpu_time(thread)
            work_s = max(work_s, used_s - before_s)
        self._sum_s += work_s
        self._longest_s = max(self._longest_s, work_s)
        now_s = self._clock()
        elapsed_s = now_s - self._begun_s
        if elapsed_s < WINDOW_S:
            return False
        too_much = self._sum_s > MOST_SHARE * elapsed_s or self._longest_s > MOST_AT_ONCE_S
        self._windows = self._windows + 1 if too_much else 0
        self._begin(now_s)
        if self._windows < WINDOWS:
            return False
        self.give_back()
        return True

    def _begin(self, now_s: float) -> None:
        self._begun_s, self._sum_s, self._longest_s = now_s, 0.0, 0.0


def cpu_time_s(thread: int) -> float:
    """Return the processor time of a thread of this process by its id, s; 0 once it has ended."""
    try:
        # The kernel's own clock of each thread: its id inverted, the scheduler's clock, of a thread (posix-timers.h).
        return time.clock_gettime(~thread << 3 | 6)
    except OSError:
        return 0.0
