# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether messages of a topic are lost on their way.

Its unit of work is one count of messages that came or were lost. The watch over an input (ros/input_watch.py) calls it from
any thread. It keeps no message and no history beyond its window.
"""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["LossMeter"]

WINDOW_S, ENDS_S = 10, 2
BEGINS_SHARE, ENDS_SHARE = 0.05, 0.02
LEAST_LOST = 3
"""Lost messages in a window that are no accident."""


class LossMeter:
    """
    The share of messages that were lost in the last seconds.

    A loss begins above 5 % of 10 s, and ends below 2 % of the last 2 s in which something came, or of 10 s.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of each of the last seconds: which one it was, how many came, how many were lost.
        self._seconds: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_S + 1)
        self._losing = False

    def count(self, now_s: float, arrived: int = 0, lost: int = 0) -> None:
        """Count messages at a monotonic time."""
        second = int(now_s)
        with self._lock:
            if self._seconds and self._seconds[-1][0] == second:
                _, before, lost_before = self._seconds.pop()
                arrived, lost = arrived + before, lost + lost_before
            self._seconds.append((second, arrived, lost))

    def is_losing(self, now_s: float) -> bool:
        """Return whether too many messages are lost."""
        with self._lock:
            lost, share = self._lost(now_s, WINDOW_S)
            if self._losing:
                recent_lost, recent_share = self._lost(now_s, ENDS_S)
                told = recent_lost + sum(a for second, a, _ in self._seconds if now_s - second <= ENDS_S)
                if share < ENDS_SHARE or (told and recent_share < ENDS_SHARE):
                    self._losing = False
                    self._seconds.clear()  # else what is over would begin it again
            elif lost >= LEAST_LOST and share > BEGINS_SHARE:
                self._losing = True
            return self._losing

    def _lost(self, now_s: float, window_s: float) -> tuple[int, float]:
        """Return how many messages were lost in the last seconds, and the share of all."""
        recent = [(a, n) for second, a, n in self._seconds if now_s - second <= window_s]
        arrived, lost = sum(a for a, _ in recent), sum(n for _, n in recent)
        return lost, lost / (arrived + lost) if arrived + lost else 0.0

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._seconds.clear()
            self._losing = False
