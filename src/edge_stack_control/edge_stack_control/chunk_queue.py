# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The action to execute at a time, from the newest action chunks, without a jump where one takes over from another.

Its unit of work is sample(now). A chunk is read by its time stamps: between two actions the position is interpolated
linearly; before the first and after the last it stays. A newer chunk takes over from the moment it arrives (or from its
start, if that is later): over blend_s the position moves from the older chunk's to the newer one's with a weight that rises
as 3u^2 - 2u^3, so that neither position nor speed jumps. While a blend lasts both chunks run on; then the older one is
dropped. At most MAX_CHUNKS are kept: beyond that, the two oldest become a fixed position at their blended value.

Where no newer chunk comes, execution eases into the last action: over the last easing_s() of a chunk time runs ever slower,
with constant deceleration, so that the position comes to rest there and does not stop dead; likewise before its observation
is max_age_s old, where a hold is due. Chunks that come before that never feel it. It never extrapolates, and never checks a
chunk: that is done at the intake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_stack_control.chunk_intake import ActionChunk
from edge_stack_core.easing import easing_s

FloatArray = npt.NDArray[np.float64]

MAX_CHUNKS = 4
# Nearer to the last action than this is at it; times near 2e9 s are exact to 2.4e-7 s.
_AT_REST_S = 1e-5


@dataclass
class _QueuedChunk:
    positions: FloatArray
    start_s: float
    step_s: float
    stamp_s: float
    blend_from_s: float
    blend_s: float
    # Time by which slowed execution trails behind the chunk's own time stamps, and how much of it is easing.
    lag_s: float = 0.0
    eased_s: float = 0.0

    @property
    def is_target(self) -> bool:
        """Whether it is a single position: slower execution changes nothing of it, and does not make it last longer."""
        return len(self.positions) == 1

    def end_s(self) -> float:
        return self.start_s + len(self.positions) * self.step_s + self.lag_s

    def ease(self, now_s: float, progress_s: float, max_age_s: float) -> None:
        """Take back part of the progress made since the last time if the last action or the greatest age is near."""
        zone_s = easing_s(len(self.positions), self.step_s)
        left_s = self.end_s() - self.step_s - now_s
        if zone_s <= 0.0 or left_s < -progress_s:
            return
        back_s = 0.0
        before_s = min(left_s + progress_s, zone_s)
        if left_s < zone_s and before_s >= _AT_REST_S:
            # Constant deceleration: the root of what is left falls linearly with time.
            root = math.sqrt(before_s) - (before_s - left_s) / (2.0 * math.sqrt(zone_s))
            back_s = max(root, 0.0) ** 2 - left_s
        speed = max(self.stamp_s + max_age_s - now_s, 0.0) / (2.0 * zone_s)
        if speed < 1.0:
            back_s = max(back_s, (1.0 - speed) * progress_s)
        self.lag_s += back_s
        self.eased_s += back_s

    def value(self, now_s: float, out: FloatArray) -> None:
        last = len(self.positions) - 1
        place = (now_s - self.lag_s - self.start_s) / self.step_s
        if place <= 0.0:
            out[:] = self.positions[0]
        elif place >= last:
            out[:] = self.positions[last]
        else:
            index = int(place)
            np.subtract(self.positions[index + 1], self.positions[index], out=out)
            out *= place - index
            out += self.positions[index]

    def weight(self, now_s: float) -> float:
        u = (
            (now_s - self.blend_from_s) / self.blend_s
            if self.blend_s > 0.0
            else float(now_s >= self.blend_from_s)
        )
        u = min(max(u, 0.0), 1.0)
        return u * u * (3.0 - 2.0 * u)


class ChunkQueue:
    """
    The newest chunks and the blends between them. For one thread.

    blend_s: duration of a blend. max_age_s: age of an observation at which its actions should have come to rest.
    """

    def __init__(self, joints: int, blend_s: float = 0.1) -> None:
        """joints: A. blend_s: duration of a blend, s."""
        self.blend_s = blend_s
        self.max_age_s = math.inf
        self._entries: list[_QueuedChunk] = []
        self._out = np.zeros(joints)
        self._upper = np.zeros(joints)

    def __len__(self) -> int:
        """Count the chunks and fixed positions that are kept."""
        return len(self._entries)

    @property
    def has_actions(self) -> bool:
        """Whether a chunk has ever been pushed since clear()."""
        return bool(self._entries) and math.isfinite(self._entries[-1].stamp_s)

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()

    def push(self, chunk: ActionChunk, now_s: float) -> None:
        """Let a checked chunk take over from now (or from its start) on."""
        begin_s, blend_s = -math.inf, 0.0
        if self._entries:
            begin_s = max(now_s, chunk.start_s)
            before = self._entries[-1]
            # A slow way back to the actions stays slow when another chunk arrives on the way.
            # What is left of it is never more than all of it, whatever the clock does.
            left_s = before.blend_from_s + before.blend_s - begin_s
            blend_s = max(self.blend_s, min(left_s, before.blend_s))
        self._entries.append(
            _QueuedChunk(chunk.positions, chunk.start_s, chunk.step_s, chunk.stamp_s, begin_s, blend_s)
        )
        if len(self._entries) > MAX_CHUNKS:
            self._merge_oldest(now_s)

    def newest_at(self, now_s: float) -> FloatArray | None:
        """Return the newest chunk's own position at a time, [A], without blends; None if there is no chunk."""
        if not self.has_actions:
            return None
        self._entries[-1].value(now_s, self._upper)
        return self._upper

    def rejoin(self, position: FloatArray, now_s: float, blend_s: float) -> None:
        """
        Begin at a position and move to the newest chunk over blend_s: after a start or a hold.

        position: [A], where the robot is commanded to be.
        """
        newest = self._entries[-1] if self.has_actions else None
        self._entries = [_fixed(position)]
        if newest is not None:
            newest.blend_from_s, newest.blend_s = max(now_s, newest.start_s), max(blend_s, self.blend_s)
            self._entries.append(newest)

    def delay(self, lost_s: float) -> None:
        """Let execution fall behind by a time: the robot moves slower than the chunk, or not at all."""
        for entry in self._entries:
            if not entry.is_target:
                entry.lag_s += lost_s

    def ease(self, now_s: float, progress_s: float) -> None:
        """Slow down towards the end of the actions. progress_s: how far the actions have gone on since the last sample."""
        newest = self._entries[-1] if self.has_actions else None
        for entry in self._entries:
            if not entry.is_target and (entry is newest or entry.eased_s > 0.0):
                entry.ease(now_s, progress_s, self.max_age_s)

    @property
    def is_easing(self) -> bool:
        """Whether the newest chunk has been slowed down because none followed in time."""
        return self.has_actions and self._entries[-1].eased_s > 0.0

    def is_dry(self, now_s: float) -> bool:
        """Whether the newest chunk would be over by now, had it not been slowed down at its end."""
        newest = self._entries[-1] if self.has_actions else None
        return newest is not None and now_s >= newest.end_s() - newest.eased_s

    def take_time(self, blend_s: float) -> None:
        """Let the newest chunk take over in no less than blend_s."""
        self._entries[-1].blend_s = max(self._entries[-1].blend_s, blend_s)

    def sample(self, now_s: float) -> FloatArray:
        """Return the position at a time, [A]; the array is overwritten by the next call. The queue must not be empty."""
        base = 0
        for index in range(len(self._entries) - 1, 0, -1):
            if self._entries[index].weight(now_s) >= 1.0:
                base = index
                break
        del self._entries[:base]
        out, upper = self._out, self._upper
        self._entries[0].value(now_s, out)
        for entry in self._entries[1:]:
            weight = entry.weight(now_s)
            if weight > 0.0:
                entry.value(now_s, upper)
                upper -= out
                upper *= weight
                out += upper
        return out

    def cover_s(self, now_s: float) -> float:
        """Return how long the queued actions still last, s; 0 when there is none or the last one is over."""
        if not self.has_actions:
            return 0.0
        return max(0.0, self._entries[-1].end_s() - now_s)

    def action_age_s(self, now_s: float) -> float:
        """Return the time since the observation that most of the present action comes from, s; NaN if there is none."""
        for entry in reversed(self._entries):
            if math.isfinite(entry.stamp_s) and (entry is self._entries[0] or entry.weight(now_s) >= 0.5):
                return now_s - entry.stamp_s
        return now_s - self._entries[-1].stamp_s if self.has_actions else math.nan

    def _merge_oldest(self, now_s: float) -> None:
        first, second = self._entries[0], self._entries[1]
        first.value(now_s, self._out)
        second.value(now_s, self._upper)
        merged = _fixed(self._out + second.weight(now_s) * (self._upper - self._out))
        self._entries[:2] = [merged]


def _fixed(position: FloatArray) -> _QueuedChunk:
    """Return an entry that stands for one position at all times; it has no observation."""
    return _QueuedChunk(
        np.array(position, dtype=np.float64).reshape(1, -1), 0.0, 1.0, math.nan, -math.inf, 0.0
    )
