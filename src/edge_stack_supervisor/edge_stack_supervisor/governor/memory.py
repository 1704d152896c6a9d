# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frees memory before the kernel must: which background nodes to deactivate and clean up, and when they may come back.

A unit of work is one reading. The largest background node goes first, one at a time; the one that went last comes back
first, once there has been room for it, and a margin, for a while. Critical and essential nodes are never touched.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor.interface import BACKGROUND, NodeDemand
from edge_stack_supervisor.governor.settings import MemorySettings

MEMORY = "memory"  # how every reason here begins
TREND_S = 10.0
# What a node that never told its size is taken for, MiB: a small model with its runtime.
UNKNOWN_MB = 500.0


class MemoryGuard:
    """Which nodes are off for want of memory."""

    def __init__(self, settings: MemorySettings, weights: Mapping[str, float]) -> None:
        """weights: what a node's work is worth; the least goes first."""
        self._settings = settings
        self._weights = weights
        self._available: deque[tuple[float, float]] = deque()
        self._off: dict[str, tuple[float, str]] = {}  # name -> (MiB that it held, why), oldest first
        self._changed_s = -math.inf
        self._roomy_since_s = math.inf

    def keep_off(self, off: Mapping[str, str]) -> None:
        """Take over nodes that another guard has switched off, by name with the reason."""
        self._off = {name: (UNKNOWN_MB, why) for name, why in off.items()}

    @property
    def off(self) -> dict[str, str]:
        """The nodes that are off, and why."""
        return {name: why for name, (_, why) in self._off.items()}

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> None:
        """Take one reading."""
        present = {node.name for node in nodes if not node.pinned}
        self._off = {name: entry for name, entry in self._off.items() if name in present}
        if board.memory_available_mb is None:
            return
        self._available.append((now_s, board.memory_available_mb))
        while now_s - self._available[0][0] > TREND_S:
            self._available.popleft()
        settings = self._settings
        why = self._short(board)
        if why:
            self._roomy_since_s = math.inf
            if now_s - self._changed_s >= settings.settle_s:
                self._take(nodes, why, now_s)
        else:
            self._give_back(board, now_s)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _short(self, board: BoardState) -> str:
        """Say why memory is short; empty if it is not."""
        settings = self._settings
        available_mb = self._available[-1][1]
        if available_mb < settings.low_mb:
            return f"{MEMORY}: {available_mb:.0f} MiB available, below {settings.low_mb:.0f}"
        if board.memory_pressure is not None and board.memory_pressure > settings.pressure:
            return f"{MEMORY}: tasks wait for it {board.memory_pressure:.0%} of the time"
        ahead_mb = available_mb + self._slope_mb_s() * settings.horizon_s
        if available_mb < settings.trend_below_mb and ahead_mb < settings.low_mb:
            return f"{MEMORY}: {available_mb:.0f} MiB available, {max(0.0, ahead_mb):.0f} in {settings.horizon_s:.0f} s"
        return ""

    def _slope_mb_s(self) -> float:
        """Return how fast available memory grows, from the recent readings; 0 until they cover half of their window."""
        times = [t - self._available[0][0] for t, _ in self._available]
        if times[-1] < 0.5 * TREND_S:
            return 0.0
        values = [mb for _, mb in self._available]
        mean_t, mean_mb = sum(times) / len(times), sum(values) / len(values)
        spread = sum((t - mean_t) ** 2 for t in times)
        return sum((t - mean_t) * (mb - mean_mb) for t, mb in zip(times, values, strict=True)) / spread

    def _take(self, nodes: Sequence[NodeDemand], why: str, now_s: float) -> None:
        candidates = [
            n for n in nodes if n.priority_class == BACKGROUND and not n.pinned and n.name not in self._off
        ]
        if not candidates:
            return
        node = min(candidates, key=lambda n: (self._weights.get(n.name, 1.0), -(n.memory_mb or 0.0)))
        self._off[node.name] = (node.memory_mb or UNKNOWN_MB, why)
        self._change(now_s)

    def _give_back(self, board: BoardState, now_s: float) -> None:
        if not self._off:
            return
        name, (held_mb, _) = next(reversed(self._off.items()))
        if self._available[-1][1] < held_mb + self._settings.back_mb or board.lost:
            self._roomy_since_s = math.inf
            return
        self._roomy_since_s = min(self._roomy_since_s, now_s)
        if now_s - self._roomy_since_s >= self._settings.back_after_s:
            del self._off[name]
            self._change(now_s)

    def _change(self, now_s: float) -> None:
        """Look at readings from now on: those before tell of another set of nodes."""
        self._changed_s = now_s
        self._available.clear()
        self._roomy_since_s = math.inf
