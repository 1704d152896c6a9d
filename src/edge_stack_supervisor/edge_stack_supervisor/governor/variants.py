# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which variant of a model a node runs: the full one, or a smaller one while its rate is held down.

A unit of work is one reading. A node that has been held below a fraction of its range for a while takes its next
smaller variant; one that has had its wanted rate for longer takes the next larger one back. A change is rare: it
loads a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_stack_supervisor.governor.interface import CRITICAL, NodeDemand
from edge_stack_supervisor.governor.settings import VariantSettings


class VariantChoice:
    """The variant of each node that has some: 0 for the full model, n for the nth smaller one."""

    def __init__(self, settings: VariantSettings) -> None:
        """Begin with the full models."""
        self._settings = settings
        self._since: dict[str, tuple[int, float]] = {}  # name -> (direction, since when)
        self.chosen: dict[str, int] = {}

    def update(self, fractions: Mapping[str, float], nodes: Sequence[NodeDemand], now_s: float) -> None:
        """Take the nodes' fractions of their ranges."""
        able = {n.name: n for n in nodes if n.variants and n.priority_class != CRITICAL}
        self.chosen = {name: min(self.chosen.get(name, 0), n.variants) for name, n in able.items()}
        for name, node in able.items():
            fraction = fractions.get(name, 1.0)
            direction = self._direction(fraction, self.chosen[name], node.variants)
            before, since_s = self._since.get(name, (0, now_s))
            if direction != before:
                since_s = now_s
            self._since[name] = (direction, since_s)
            wait_s = self._settings.after_s if direction > 0 else self._settings.back_after_s
            if direction and now_s - since_s >= wait_s:
                self.chosen[name] += direction
                del self._since[name]

    def _direction(self, fraction: float, chosen: int, most: int) -> int:
        if fraction < self._settings.below and chosen < most:
            return 1
        return -1 if fraction >= 1.0 and chosen > 0 else 0
