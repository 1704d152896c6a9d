# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What goes in and out of a governor, and what a controller is.

A unit of work is one reading of the board, about once a second. A controller (the table, the predictive one) says how
much of its range every node should have; the governor around it changes rates in order of priority, few at a time,
and frees memory. Nothing here knows ROS, a clock or a board's files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge_stack_core.board.types import BoardState

CRITICAL, ESSENTIAL, BACKGROUND = "critical", "essential", "background"


@dataclass(frozen=True)
class NodeDemand:
    """
    One model node: what it should do, and how it fares.

    wanted_hz: the rate without any trouble. floor_hz: the rate that a governor may lower it to; at least wanted_hz
    for one that must not be lowered. rate_hz: measured rate. duration_s: time of one inference on the gpu,
    None while unknown. deadline_misses: since the node is active; None where others are not to blame for them.
    admission_delay_s: typical wait for admission. memory_mb: what its process holds. variants: how many smaller variants
    of its model there are. pinned: to be left alone.
    """

    name: str
    priority_class: str
    wanted_hz: float
    floor_hz: float = 0.0
    rate_hz: float = 0.0
    duration_s: float | None = None
    deadline_misses: int | None = 0
    admission_delay_s: float = 0.0
    memory_mb: float | None = None
    variants: int = 0
    pinned: bool = False

    @property
    def range_hz(self) -> float:
        """How far the rate can be lowered, Hz."""
        fixed = self.pinned or self.priority_class == CRITICAL
        return 0.0 if fixed else max(0.0, self.wanted_hz - self.floor_hz)


@dataclass(frozen=True)
class Target:
    """
    What a controller wants: for each node a fraction of its range (1: the wanted rate, 0: the floor).

    Nodes that are not named have 1. urgent: at once, as far as the limit of changes allows. reason: why rates are
    held down; empty if none is. controller: which one decided.
    """

    fractions: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    urgent: bool = False
    controller: str = ""


@dataclass(frozen=True)
class Allocation:
    """
    What every node should do now.

    rate_hz: for each node, critical ones included. reason: for each node that has less than it wants. variant: for
    each node with variants, 0 for the full model, n for its nth variant. off: nodes to deactivate and clean up.
    controller: which one decided. summary: why rates are held down; empty if none is.
    """

    rate_hz: Mapping[str, float]
    reason: Mapping[str, str] = field(default_factory=dict)
    variant: Mapping[str, int] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    controller: str = ""
    summary: str = ""


class RateController(Protocol):
    """Decides how far nodes give way."""

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Target:
        """Take one reading; nodes in order of the configuration, critical ones included."""


class Governor(Protocol):
    """Decides what every node does."""

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Allocation:
        """Take one reading; nodes in order of the configuration, critical ones included."""
