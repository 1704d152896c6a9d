# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where frames come from: the Protocol that every source fulfils, and what a frame is.

A unit of work is one frame. Sources are opened, read by one thread, and closed; they know no ROS and no rate grid, and
they never reopen themselves (see reopening.py). All times are CLOCK_MONOTONIC (time.monotonic()), so that a step of the
system's clock changes no pacing; the node turns them into stamps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

__all__ = ["EndOfSourceError", "CapturedFrame", "FrameSource", "SourceLostError", "wait_until"]


class SourceLostError(Exception):
    """A source that was open gives no frames any more; the text says which and why. It may come back."""


class EndOfSourceError(Exception):
    """A source has given its last frame, and was not asked to start again."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """
    One picture.

    image: [H, W] or [H, W, C] of its encoding (see vision.image), valid until the next read(). encoding: rgb8,
    bgr8, ... captured_s: when it was captured, CLOCK_MONOTONIC. sequence: counts the frames of the source, from 0; a
    gap is a frame that was skipped. origin: what else the source knows of it (the header of a relayed message), or None.
    """

    image: NDArray[Any]
    encoding: str
    captured_s: float
    sequence: int
    origin: Any = None


class FrameSource(Protocol):
    """
    A camera, or what stands in for one.

    name: for messages, such as "video /data/a.mp4". live: frames come by themselves and go stale (a device), rather
    than when they are asked for (a file). rate_hz: frames a second that it can give, 0 where unknown or unlimited.
    warning: what is not as it was asked for, "" if all is.
    """

    name: str
    live: bool
    rate_hz: float

    @property
    def warning(self) -> str:
        """Say what is not as it was asked for; "" if all is."""

    def open(self) -> None:
        """Open it, and make sure that a frame can be had. Raises ConfigurationError that says what would be right."""

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """
        Return the first frame that was not returned before and was captured at or after due_s; wait for it.

        Returns None if there is none after about timeout_s; a device's driver may take longer. Raises SourceLostError or
        EndOfSourceError.
        """

    def close(self) -> None:
        """Give it back. May be called at any time, and twice."""


def wait_until(
    due_s: float,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Sleep until a time, but no longer than timeout_s; return whether the time has come."""
    wait_s = due_s - clock()
    if wait_s > timeout_s:
        sleep(max(0.0, timeout_s))
        return False
    if wait_s > 0.0:
        sleep(wait_s)
    return True
