# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Garbage collection kept away from a periodic thread's ticks: switched off, and run right after a tick where time allows.

Its unit of work is after_tick(time left). A collection runs only if the time it took lately, with a margin, fits into what
is left until the next release; one that was put off too often runs all the same, because memory that grows for ever is
worse than one late tick. It never runs inside a tick.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

# Young collections once this many allocations have piled up: Python's own default is 700.
_YOUNG_ALLOCATIONS = 700
_MIDDLE_PERIOD_S = 10.0
_FULL_PERIOD_S = 60.0
# Time a collection must have, as a multiple of the longest recent one of its generation.
_MARGIN = 3.0
# How fast the remembered longest time fades, a collection.
_FADE = 0.9
# A young collection that is put off this many allocations runs all the same.
_OVERDUE_ALLOCATIONS = 200_000


class GarbageKeeper:
    """Owns the garbage collector of the process between start() and stop(). For one thread."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """clock_ns: monotonic time, ns."""
        self._clock_ns = clock_ns
        self._longest_ns = [0.0, 0.0, 0.0]
        self._due_ns = [0, 0, 0]
        self._was_enabled = True
        self.collections = 0
        self.put_off = 0
        self.forced = 0

    def start(self) -> None:
        """Collect once, take everything that lives out of later collections, and switch automatic collection off."""
        self._was_enabled = gc.isenabled()
        gc.collect()
        gc.freeze()
        gc.disable()
        now_ns = self._clock_ns()
        self._due_ns = [0, now_ns + int(_MIDDLE_PERIOD_S * 1e9), now_ns + int(_FULL_PERIOD_S * 1e9)]

    def stop(self) -> None:
        """Give the collector back as it was."""
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def after_tick(self, left_ns: int) -> None:
        """Collect at most one generation, if its time fits into left_ns until the next release."""
        now_ns = self._clock_ns()
        waiting = gc.get_count()[0]
        for generation in (2, 1, 0):
            due = waiting >= _YOUNG_ALLOCATIONS if generation == 0 else now_ns >= self._due_ns[generation]
            if not due:
                continue
            if self._longest_ns[generation] * _MARGIN <= left_ns:
                self._collect(generation)
                return
            self.put_off += 1
        if waiting >= _OVERDUE_ALLOCATIONS:
            self.forced += 1
            self._collect(0)

    def _collect(self, generation: int) -> None:
        begin_ns = self._clock_ns()
        gc.collect(generation)
        end_ns = self._clock_ns()
        self.collections += 1
        self._longest_ns[generation] = max(float(end_ns - begin_ns), self._longest_ns[generation] * _FADE)
        period_s = (0.0, _MIDDLE_PERIOD_S, _FULL_PERIOD_S)[generation]
        self._due_ns[generation] = end_ns + int(period_s * 1e9)
