# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A thread that works on the latest input at a fixed rate.

Its unit of work is one input at one release. Releases lie on a grid of absolute monotonic times, k periods after its
origin. A release takes the newest input that was not used yet, or waits for the next; offering an input replaces the
one before. A release that falls into running work is late: the newest late one is served at once, those before it are
skipped and counted. It never queues more than one input and never works twice on one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_stack_core.runtime.progress import WorkProgress

__all__ = ["PacedWorker", "ReleaseGrid"]

Input = TypeVar("Input")


class ReleaseGrid:
    """
    The releases of one rate, by number. Not thread-safe.

    period_s: between releases; None while paused (rate 0).
    """

    def __init__(self, rate_hz: float, now_s: float) -> None:
        """Start with a release at once."""
        self.period_s: float | None = None
        self._origin_s = now_s
        self._next = 0
        self.set_rate(rate_hz, now_s)

    def set_rate(self, rate_hz: float, now_s: float) -> None:
        """Start a new grid with a release at once; 0 pauses."""
        self.period_s = 1.0 / rate_hz if rate_hz > 0.0 else None
        self._origin_s = now_s
        self._next = 0

    def next_release_s(self) -> float:
        """Return the time of the next release; infinity while paused."""
        return math.inf if self.period_s is None else self._origin_s + self._next * self.period_s

    def start(self, now_s: float) -> None:
        """Use the newest release that is due; those before it had no input and are gone."""
        self._next = max(self._next, self._due(now_s)) + 1

    def finish(self, now_s: float) -> int:
        """Skip all releases that fell into the work but the newest, and return how many were skipped."""
        if self.period_s is None:
            return 0
        skipped = max(0, self._due(now_s) - self._next)
        self._next += skipped
        return skipped

    def _due(self, now_s: float) -> int:
        """Return the number of the newest release up to now."""
        assert self.period_s is not None
        # The small addend keeps a release that is exactly now from being lost to rounding.
        return math.floor((now_s - self._origin_s) / self.period_s + 1e-9)


class PacedWorker(Generic[Input]):
    """Runs ``work`` on the latest input in a thread of its own, from start() to stop()."""

    def __init__(
        self,
        work: Callable[[Input, float], None],
        rate_hz: float,
        *,
        skipped: Callable[[int], None] = lambda count: None,
        failed: Callable[[Exception], None] = lambda error: None,
        progress: WorkProgress | None = None,
        name: str = "worker",
    ) -> None:
        """
        Prepare; nothing runs before start().

        work: called with an input and the monotonic time of its release, s; the later of grid time and arrival.
        rate_hz: releases per second, 0 = paused. skipped: called with the number of releases that work overran.
        failed: called with what work raised; the worker goes on. progress: is told what it does. name: of the thread.
        """
        self._work, self._skipped, self._failed = work, skipped, failed
        self._progress = progress or WorkProgress()
        self._changed = threading.Condition()
        self._grid = ReleaseGrid(rate_hz, time.monotonic())
        self._input: tuple[Input, float] | None = None
        self._running = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; the first release is now."""
        with self._changed:
            self._running = True
            self._grid.set_rate(self._rate_hz(), time.monotonic())
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the work it is in; return whether it ended within the limit."""
        with self._changed:
            self._running = False
            self._input = None
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def offer(self, item: Input) -> None:
        """Make an input the latest."""
        with self._changed:
            if self._running:
                self._input = item, time.monotonic()
                self._changed.notify_all()

    def set_rate(self, rate_hz: float) -> None:
        """Change the rate at once: a waiting worker wakes and starts a new grid; 0 pauses."""
        with self._changed:
            self._grid.set_rate(rate_hz, time.monotonic())
            self._changed.notify_all()

    def _rate_hz(self) -> float:
        return 0.0 if self._grid.period_s is None else 1.0 / self._grid.period_s

    def _run(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                self._progress.ended()
                return
            item, release_s = taken
            self._progress.busy()
            try:
                self._work(item, release_s)
            except Exception as error:  # noqa: BLE001 (one bad input must not end the worker)
                self._failed(error)
            # Free the input before waiting: an image may be megabytes.
            del taken, item
            with self._changed:
                count = self._grid.finish(time.monotonic())
            if count:
                self._skipped(count)

    def _take(self) -> tuple[Input, float] | None:
        """Wait for a release and an input; None when the worker is to end."""
        with self._changed:
            while self._running:
                now_s = time.monotonic()
                release_s = self._grid.next_release_s()
                if now_s < release_s:
                    self._progress.waiting(release_s - now_s)
                    self._changed.wait(None if release_s == math.inf else release_s - now_s)
                elif self._input is None:
                    self._progress.waiting()
                    self._changed.wait()
                else:
                    item, arrival_s = self._input
                    self._input = None
                    self._grid.start(now_s)
                    return item, max(release_s, arrival_s)
            return None
