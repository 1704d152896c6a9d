# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The chunks that were sent, on their time stamps: what is left of them, for how long, how old it is, how well they join.

Its unit of work is one chunk that was sent. It takes over at that moment (or at its start, if that is later) from the one
before, and is read as fusion reads it: linear between two actions, still after the last. It knows what was sent, not what
the robot made of it: fusion's fusion_status says that.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WINDOW = 512
# Times near 2e9 s are exact to 2.4e-7 s.
_EPSILON_S = 1e-6


@dataclass(frozen=True)
class SentChunk:
    """
    One chunk. positions: [H, A] for start_s + i * step_s, each for one step. captured_s: when its observation was captured.

    All times on one clock, s.
    """

    positions: FloatArray
    start_s: float
    step_s: float
    captured_s: float

    @property
    def end_s(self) -> float:
        """Time until which the last action applies."""
        return self.start_s + len(self.positions) * self.step_s

    def at(self, time_s: float) -> FloatArray:
        """Return the position at a time, [A]."""
        place = min(max((time_s - self.start_s) / self.step_s, 0.0), len(self.positions) - 1.0)
        index = min(int(place), max(len(self.positions) - 2, 0))
        after = self.positions[min(index + 1, len(self.positions) - 1)]
        return np.asarray(self.positions[index] + (place - index) * (after - self.positions[index]))

    def velocity_at(self, time_s: float) -> FloatArray:
        """Return the velocity from a time on, [A], per s; 0 before the first and from the last action on."""
        place = (time_s - self.start_s) / self.step_s
        if not 0.0 <= place < len(self.positions) - 1:
            return np.zeros(self.positions.shape[1])
        index = int(place)
        return np.asarray((self.positions[index + 1] - self.positions[index]) / self.step_s)


class Spread:
    """The newest values of something, for quantiles, and the largest of all."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: deque[float] = deque(maxlen=WINDOW)
        self.max = math.nan

    def add(self, value: float) -> None:
        """Take one value."""
        self._values.append(value)
        self.max = value if math.isnan(self.max) else max(self.max, value)

    def quantile(self, quantile: float) -> float:
        """Return a quantile (0..1) of the newest values; NaN while there is none."""
        values = tuple(self._values)
        return float(np.quantile(values, quantile)) if values else math.nan


class ChunkTimeline:
    """
    What was sent so far. One thread writes; any thread reads.

    seam_position, seam_velocity: jumps where a chunk took over, of the joint that jumped most, rad and rad/s. age_s: ages
    that observations had reached when the next chunk took over.
    """

    def __init__(self) -> None:
        """Start with nothing sent."""
        self.seam_position, self.seam_velocity, self.age_s = Spread(), Spread(), Spread()
        self.count = 0
        self._underruns = 0
        self._newest: SentChunk | None = None

    @property
    def newest(self) -> SentChunk | None:
        """The chunk that was sent last; None if there is none, or it was forgotten."""
        return self._newest

    def add(self, chunk: SentChunk, now_s: float) -> None:
        """Take a chunk that is sent now."""
        before = self._running(now_s)
        if before is not None:
            at_s = max(now_s, chunk.start_s)
            self._underruns += self._is_dry(before, at_s)
            self.seam_position.add(float(np.abs(chunk.at(at_s) - before.at(at_s)).max()))
            self.seam_velocity.add(float(np.abs(chunk.velocity_at(at_s) - before.velocity_at(at_s)).max()))
            self.age_s.add(at_s - before.captured_s)
        self.count += 1
        self._newest = chunk

    def forget(self) -> None:
        """Let what was sent end here, on purpose; counts and figures stay."""
        self._newest = None

    def leftover(self, start_s: float, step_s: float) -> FloatArray | None:
        """Return what is left, [H', A], for the times start_s + i * step_s; None if nothing is."""
        chunk = self._running(start_s)
        if chunk is None:
            return None
        last_s = chunk.start_s + (len(chunk.positions) - 1) * chunk.step_s
        count = math.floor((last_s - start_s + _EPSILON_S) / step_s) + 1
        return np.stack([chunk.at(start_s + i * step_s) for i in range(count)]) if count > 0 else None

    def cover_s(self, now_s: float) -> float:
        """Return how long the actions still last, s; 0 if they are over or there are none."""
        chunk = self._running(now_s)
        return max(0.0, chunk.end_s - now_s) if chunk is not None else 0.0

    def action_age_s(self, now_s: float) -> float:
        """Return the time since the observation of the newest chunk, s; NaN if there is none."""
        chunk = self._running(now_s)
        return now_s - chunk.captured_s if chunk is not None else math.nan

    def underruns(self, now_s: float) -> int:
        """Return how often the actions were over before the next chunk was sent; also if they are now."""
        chunk = self._running(now_s)
        return self._underruns + (chunk is not None and self._is_dry(chunk, now_s))

    def _running(self, now_s: float) -> SentChunk | None:
        """Return the newest chunk, unless the clock was set back since."""
        chunk = self._newest
        return chunk if chunk is not None and now_s >= chunk.captured_s - chunk.step_s else None

    @staticmethod
    def _is_dry(chunk: SentChunk, now_s: float) -> bool:
        return now_s > chunk.end_s + _EPSILON_S
