# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Changes the nodes' rates towards a target: in order of priority, and few at a time.

A unit of work is one target. What holds after every one: no essential node is below its wanted rate while a
background node is above its floor; in any window no more rates change than allowed, all nodes together; and raising
uses at most half of them, so that lowering always has the other half. It keeps each node's fraction of its range and
knows nothing of causes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from edge_stack_supervisor.governor.interface import BACKGROUND, CRITICAL, ESSENTIAL, NodeDemand

WINDOW_S = 60.0
STEPS = 100  # fractions are multiples of 1/100, so that equal ones are equal


class RateChanges:
    """The fraction of its range that each node has (1: the wanted rate, 0: its floor)."""

    def __init__(self, max_per_minute: int) -> None:
        """max_per_minute: rate changes in any minute, over all nodes; at least 2."""
        self._max = max_per_minute
        self._raises = max_per_minute // 2
        self._changed: deque[tuple[float, bool]] = deque()
        self._begun = False
        self.fractions: dict[str, float] = {}
        self.count = 0
        """Rate changes since the start."""

    def left(self, now_s: float, raising: bool = False) -> int:
        """Return how many rates may change now."""
        while self._changed and now_s - self._changed[0][0] >= WINDOW_S:
            self._changed.popleft()
        left = self._max - len(self._changed)
        return min(left, self._raises - sum(up for _, up in self._changed)) if raising else left

    def rate_hz(self, node: NodeDemand) -> float:
        """Return a node's rate."""
        fraction = self.fractions.get(node.name, 1.0)
        if node.range_hz == 0.0 or fraction >= 1.0:
            return node.wanted_hz
        return round(node.floor_hz + fraction * node.range_hz, 2)

    def apply(self, target: Mapping[str, float], nodes: Sequence[NodeDemand], now_s: float) -> None:
        """Change what may change now. A node that joins later begins with its target: no change."""
        movable = {node.name: node for node in nodes if node.range_hz > 0.0}
        wanted = {name: _rounded(target.get(name, 1.0)) for name in movable}
        began = [name for name in movable if name not in self.fractions]
        start = wanted if self._begun else dict.fromkeys(movable, 1.0)
        self._begun = True
        self.fractions = {name: self.fractions.get(name, start[name]) for name in movable}
        self._keep_order(movable, began, wanted)
        for priority_class in (BACKGROUND, ESSENTIAL):
            if priority_class == ESSENTIAL and self._any_above_floor(movable):
                break
            self._lower(self._members(movable, priority_class), wanted, now_s)
        for priority_class in (ESSENTIAL, BACKGROUND):
            if priority_class == BACKGROUND and self._any_essential_low(movable):
                break
            self._raise(self._members(movable, priority_class), wanted, now_s)

    # ---- inside -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _members(movable: Mapping[str, NodeDemand], priority_class: str) -> list[str]:
        return [name for name, node in movable.items() if node.priority_class == priority_class]

    def _any_above_floor(self, movable: Mapping[str, NodeDemand]) -> bool:
        return any(self.fractions[name] > 0.0 for name in self._members(movable, BACKGROUND))

    def _any_essential_low(self, movable: Mapping[str, NodeDemand]) -> bool:
        return any(self.fractions[name] < 1.0 for name in self._members(movable, ESSENTIAL))

    def _keep_order(
        self, movable: Mapping[str, NodeDemand], began: Iterable[str], wanted: Mapping[str, float]
    ) -> None:
        """Restore the order of priority where nodes began, or changed their class."""
        if self._any_essential_low(movable) and self._any_above_floor(movable):
            newcomers = {name for name in began if movable[name].priority_class == ESSENTIAL}
            for name in newcomers:  # the others have their rates still
                self.fractions[name] = 1.0
            if self._any_essential_low(movable):
                for name in self._members(movable, BACKGROUND):
                    self.fractions[name] = 0.0

    def _lower(self, names: list[str], wanted: Mapping[str, float], now_s: float) -> None:
        """Lower in order of the distance, the farthest first."""
        for name in sorted(names, key=lambda n: wanted[n] - self.fractions[n]):
            if wanted[name] < self.fractions[name] and self.left(now_s) > 0:
                self._set(name, wanted[name], now_s, up=False)

    def _raise(self, names: list[str], wanted: Mapping[str, float], now_s: float) -> None:
        """Raise in order of the distance, the farthest first."""
        for name in sorted(names, key=lambda n: self.fractions[n] - wanted[n]):
            if wanted[name] > self.fractions[name] and self.left(now_s, raising=True) > 0:
                self._set(name, wanted[name], now_s, up=True)

    def _set(self, name: str, fraction: float, now_s: float, up: bool) -> None:
        self.fractions[name] = fraction
        self._changed.append((now_s, up))
        self.count += 1


def _rounded(fraction: float) -> float:
    return round(min(1.0, max(0.0, fraction)) * STEPS) / STEPS


def givers(nodes: Sequence[NodeDemand], weights: Mapping[str, float]) -> list[NodeDemand]:
    """Return the nodes whose rates may go down, in the order in which they do: by class, weight, last in the file first."""
    able = [node for node in reversed(nodes) if node.range_hz > 0.0 and node.priority_class != CRITICAL]
    return sorted(able, key=lambda n: (n.priority_class == ESSENTIAL, weights.get(n.name, 1.0)))
