# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a working thread says of itself: that it waits or is busy, since when, and how long that may last.

A unit is one word, written by the working thread at each step and read by whoever reports it. Writing takes no lock and
about a microsecond. How long work may last is learned from how long it lasted; waiting for input may last for ever.
Nothing here judges: the supervisor does.
"""

from __future__ import annotations

import enum
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

# Work may take so many times as long as the longest of the recent ones did, and at least the floor.
MARGIN = 4.0
FLOOR_S = 0.25
REMEMBERED = 32
# A thread that may be slow for reasons of its own (a model whose device is shared or far away) is only shown as hung and not
# ended, for so many times longer, and at least for so long.
PATIENCE = 8.0
PATIENCE_S = 4.0
# The first work compiles, loads and warms up.
FIRST_S = 30.0


class Work(enum.IntEnum):
    """What a working thread does, by the constants of edge_stack_msgs/NodeStatus."""

    NONE = 0
    WAITING = 1
    BUSY = 2


class WorkState(NamedTuple):
    """
    A word as read: what the thread does, its steps so far and its id.

    age_s: since when it does so. allowed_s: how long that may take. limit_s: after which it should be ended by force.
    """

    work: Work
    steps: int
    age_s: float
    allowed_s: float
    limit_s: float
    thread_id: int


class _Word(NamedTuple):
    work: Work
    steps: int
    since_s: float
    allowed_s: float
    thread_id: int


class WorkProgress:
    """The word of one working thread. Written by that thread alone, read by any."""

    def __init__(
        self,
        floor_s: float = FLOOR_S,
        *,
        patient: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        floor_s: work may always take so long, s.

        patient: whether work that takes longer than it may could come to its end all the same, and is given a while.
        """
        self._patient = patient
        self._floor_s = floor_s
        self._clock = clock
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._word = _Word(Work.NONE, 0, clock(), math.inf, 0)
        self._hang_s = 0.0
        self._counts = True

    def busy(self) -> None:
        """Say that a piece of work begins."""
        now_s = self._clock()
        self._learn(now_s)
        # Not from the list while another thread reads it: the longest is looked up here.
        allowed_s = max(self._floor_s, MARGIN * max(self._durations)) if self._durations else FIRST_S
        self._word = _Word(Work.BUSY, self._word.steps + 1, now_s, allowed_s, threading.get_native_id())
        self._counts = True
        if self._hang_s:
            hang_s, self._hang_s = self._hang_s, 0.0
            time.sleep(hang_s)

    def skipped(self) -> None:
        """Say that the piece of work that has begun turned out to be none: how long it lasted teaches nothing."""
        self._counts = False

    def waiting(self, limit_s: float = math.inf) -> None:
        """Say that the thread begins to wait, at most for limit_s and the floor: for ever if it waits for input."""
        now_s = self._clock()
        self._learn(now_s)
        self._word = _Word(
            Work.WAITING, self._word.steps + 1, now_s, limit_s + self._floor_s, threading.get_native_id()
        )

    def ended(self) -> None:
        """Say that no thread works."""
        self._word = _Word(Work.NONE, self._word.steps + 1, self._clock(), math.inf, 0)

    def hang(self, duration_s: float) -> None:
        """Let the next piece of work hang for so long at its begin: a fault on demand. 0 takes it back."""
        self._hang_s = duration_s

    def state(self) -> WorkState:
        """Return what the thread does now."""
        word = self._word
        age_s = max(self._clock() - word.since_s, 0.0)
        limit_s = max(PATIENCE * word.allowed_s, PATIENCE_S) if self._patient else word.allowed_s
        return WorkState(word.work, word.steps, age_s, word.allowed_s, limit_s, word.thread_id)

    def _learn(self, now_s: float) -> None:
        if self._word.work is Work.BUSY and self._counts:
            self._durations.append(now_s - self._word.since_s)
