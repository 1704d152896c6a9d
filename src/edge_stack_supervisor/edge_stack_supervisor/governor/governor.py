# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The governor of a stack: a controller, whose target is taken a few changes at a time; memory; variants.

A unit of work is one reading of the board, about once a second. It reads no file, sends nothing, and knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor.interface import CRITICAL, Allocation, NodeDemand, RateController
from edge_stack_supervisor.governor.memory import MemoryGuard
from edge_stack_supervisor.governor.predictive import PredictiveController
from edge_stack_supervisor.governor.rates import RateChanges
from edge_stack_supervisor.governor.settings import GovernorSettings
from edge_stack_supervisor.governor.table import TableController
from edge_stack_supervisor.governor.variants import VariantChoice

CONTROLLERS: Mapping[str, Callable[[GovernorSettings], RateController]] = {
    "table": TableController,
    "predictive": PredictiveController,
}


def open_governor(controller: str, settings: GovernorSettings) -> StackGovernor:
    """Return a governor with the controller of this name. KeyError if there is none."""
    return StackGovernor(CONTROLLERS[controller](settings), settings)


class StackGovernor:
    """Decides what every node of a stack does."""

    def __init__(self, controller: RateController, settings: GovernorSettings) -> None:
        """Begin with every node at its wanted rate."""
        self._controller = controller
        self._rates = RateChanges(settings.max_changes_per_minute)
        self._memory = MemoryGuard(settings.memory, settings.weights)
        self._variants = VariantChoice(settings.variants)

    def keep_off(self, off: Mapping[str, str]) -> None:
        """Take over nodes that a former governor has switched off for want of memory, by name with the reason."""
        self._memory.keep_off(off)

    @property
    def rate_changes(self) -> int:
        """How often a rate was changed, over all nodes."""
        return self._rates.count

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Allocation:
        """Take one reading; nodes in order of the configuration, critical ones included."""
        self._memory.update(board, nodes, now_s)
        off = self._memory.off
        target = self._controller.update(board, [n for n in nodes if n.name not in off], now_s)
        self._rates.apply(target.fractions, nodes, now_s)
        self._variants.update(self._rates.fractions, nodes, now_s)
        rates = {node.name: self._rates.rate_hz(node) for node in nodes}
        reason = {
            node.name: target.reason or "coming back"
            for node in nodes
            if node.priority_class != CRITICAL and rates[node.name] < node.wanted_hz
        }
        return Allocation(
            rate_hz=rates,
            reason={**reason, **off},
            variant=dict(self._variants.chosen),
            off=frozenset(off),
            controller=target.controller,
            summary="; ".join(dict.fromkeys((*([target.reason] if target.reason else []), *off.values()))),
        )
