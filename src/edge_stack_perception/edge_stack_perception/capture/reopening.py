# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Keeps a source open: what vanishes is closed, and opened again with growing pauses, until it is back.

A unit of work is one read. It never raises for a source that is lost; `problem` says what is wrong meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.base import (
    CapturedFrame,
    EndOfSourceError,
    FrameSource,
    SourceLostError,
    wait_until,
)

__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "ReopeningSource"]

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0


class ReopeningSource:
    """
    A source that comes back.

    problem: why there are no frames at the moment, "" while there are. losses: how often it was lost. ended: it gave
    its last frame, and read() returns None from now on.
    """

    def __init__(
        self,
        source: FrameSource,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """source: closed or open. clock, sleep: for tests."""
        self.source = source
        self.problem = ""
        self.losses = 0
        self.ended = False
        self._clock = clock
        self._sleep = sleep
        self._is_open = False
        self._pause_s = FIRST_PAUSE_S
        self._again_s = 0.0

    def open(self) -> None:
        """Open the source for the first time; raises ConfigurationError if it is not there."""
        self.source.open()
        self._is_open, self.ended, self.problem, self._pause_s = True, False, "", FIRST_PAUSE_S

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the source's next frame, or None; opens the source again when its pause is over."""
        if self.ended:
            self._sleep(timeout_s)
            return None
        if not self._is_open and not self._reopened(timeout_s):
            return None
        try:
            frame = self.source.read(due_s, timeout_s)
        except EndOfSourceError as end:
            self.ended, self.problem = True, str(end)
            return None
        except SourceLostError as lost:
            self._lose(str(lost))
            return None
        if frame is not None:
            # Only a frame proves that it is back: a device may open and give none.
            self.problem, self._pause_s = "", FIRST_PAUSE_S
        return frame

    def close(self) -> None:
        """Close the source."""
        self._is_open = False
        self.source.close()

    def _lose(self, reason: str) -> None:
        self.losses += 1
        self.source.close()
        self._is_open = False
        self._plan(reason)

    def _plan(self, reason: str) -> None:
        self.problem = f"{reason}; it is opened again as soon as it is back"
        self._again_s = self._clock() + self._pause_s
        self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)

    def _reopened(self, timeout_s: float) -> bool:
        if not wait_until(self._again_s, timeout_s, self._clock, self._sleep):
            return False
        try:
            self.source.open()
        except (ConfigurationError, SourceLostError) as error:
            self._plan(str(error))
            return False
        self._is_open = True
        return True
