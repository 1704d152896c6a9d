# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The table: thresholds with hysteresis, and a ladder of steps down which nodes go one at a time.

A unit of work is one reading. The worst signal decides whether to go down the ladder, to stay, or (when all have been
calm for a while) to come up; each rung lowers one node by one step. It predicts nothing and learns nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor.interface import BACKGROUND, CRITICAL, ESSENTIAL, NodeDemand, Target
from edge_stack_supervisor.governor.rates import givers
from edge_stack_supervisor.governor.settings import GovernorSettings

MISSES_WINDOW_S = 10.0
HEAT_SIGNALS = ("temperature_c", "power")
_UNITS: dict[str, tuple[str, Callable[[float], str]]] = {
    "temperature_c": (
        "temperature",
        lambda v: f"{-v:.1f} C below the limit" if v < 0 else f"{v:.1f} C above the limit",
    ),
    "power": ("power", lambda v: f"{v:.0%} of the budget"),
    "over_current": ("over-current", lambda v: f"slows the board down {v:.0f} times a second"),
    "memory_pressure": ("memory", lambda v: f"tasks wait for it {v:.0%} of the time"),
    "critical_misses": ("critical deadlines", lambda v: f"{v:.1%} missed"),
    "essential_misses": ("essential deadlines", lambda v: f"{v:.0%} missed"),
    "admission_delay": ("admission", lambda v: f"takes {v:.0%} of a period"),
}


class _Rung(NamedTuple):
    """One node's next step down."""

    node: str
    priority_class: str
    fraction: float


class TableController:
    """Goes down and up a ladder of steps."""

    def __init__(self, settings: GovernorSettings, without: Sequence[str] = ()) -> None:
        """without: signals that somebody else looks after."""
        self._settings = settings
        self._signals = {n: t for n, t in settings.table.signals.items() if n not in without}
        self._heat_is_mine = "temperature_c" not in without
        self._level = 0
        self._changed_s = -math.inf
        self._not_calm_s = -math.inf
        self._reason = ""
        # Coming up rung by rung; else node by node, which takes fewer changes, and where it was too much is not done again.
        self._careful = True
        self._restored: set[str] = set()  # nodes that have all of their range back, whatever the rung
        self._heat_was_told = False
        self._raised = False  # since it went down last
        self._misses = {c: _Misses(c) for c in (CRITICAL, ESSENTIAL)}

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Target:
        """Take one reading."""
        table = self._settings.table
        order = givers(nodes, self._settings.weights)
        rungs = _ladder(order, table.steps)
        self._level = min(self._level, len(rungs))
        values = self._read(board, nodes, now_s)
        down = [name for name, value in values.items() if value > self._signals[name].lower]
        urgent = [name for name, value in values.items() if value > self._signals[name].urgent]
        if board.throttling and self._heat_is_mine:
            urgent.append("throttling")
        # All zones may be asleep: nothing is given back while nobody knows how hot it is.
        self._heat_was_told = self._heat_was_told or "temperature_c" in values
        calm = (
            not urgent
            and not board.lost
            and (not self._heat_was_told or "temperature_c" in values)
            and all(v < self._signals[n].raise_ for n, v in values.items())
        )
        if not calm:
            self._not_calm_s = now_s
        if urgent or down:
            self._reason = "; ".join(_words(name, values) for name in urgent or down)
            by_heat = any(name in ("temperature_c", "throttling") for name in urgent or down)
            relapsed = self._raised and now_s - self._changed_s <= table.raise_after_s
            self._careful = by_heat or relapsed or (self._careful and self._level > 0)
            self._raised = False
            if self._restored:
                self.follow(self._fractions(rungs, order), nodes)
            self._go_down(rungs, bool(urgent), now_s)
        elif (
            self._level
            and now_s - self._not_calm_s >= table.raise_after_s
            and now_s - self._changed_s >= table.raise_every_s
        ):
            self._go_up(rungs, now_s)
        fractions = self._fractions(rungs, order)
        reason = self._reason if self._level else ""
        if board.lost:
            fractions = _conservative(order, fractions, table.lost_fraction)
            reason = f"the board's {', '.join(board.lost)} cannot be read" + (f"; {reason}" if reason else "")
        return Target(fractions, reason, bool(urgent), "table")

    def follow(self, fractions: Mapping[str, float], nodes: Sequence[NodeDemand]) -> None:
        """Stand on the rung that is nearest to what somebody else decided, to go on from there."""
        order = givers(nodes, self._settings.weights)
        given = sum(fractions.get(node.name, 1.0) for node in order)
        own = {node.name: 1.0 for node in order}
        self._level = 0
        self._restored.clear()
        for rung in _ladder(order, self._settings.table.steps):
            if sum(own.values()) <= given:
                break
            own[rung.node] = rung.fraction
            self._level += 1

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _fractions(self, rungs: Sequence[_Rung], order: Sequence[NodeDemand]) -> dict[str, float]:
        fractions = {node.name: 1.0 for node in order}
        fractions.update((rung.node, rung.fraction) for rung in rungs[: self._level])
        return {name: 1.0 if name in self._restored else fraction for name, fraction in fractions.items()}

    def _go_up(self, rungs: Sequence[_Rung], now_s: float) -> None:
        """Go one rung up, or give the node that was lowered last all of its range back."""
        self._raised, self._changed_s = True, now_s
        if self._careful:
            self._level -= 1
            return
        low = [rung.node for rung in reversed(rungs[: self._level]) if rung.node not in self._restored]
        self._restored.update(low[:1])
        if len(set(low)) <= 1:
            self._level = 0
            self._restored.clear()

    def _go_down(self, rungs: Sequence[_Rung], urgent: bool, now_s: float) -> None:
        """Go one rung down; when it is urgent, at once to the one where all background nodes are at their floor."""
        bottom = sum(rung.priority_class == BACKGROUND for rung in rungs)
        if urgent and self._level < bottom:
            self._level = bottom
            self._changed_s = now_s
        elif self._level < len(rungs) and now_s - self._changed_s >= self._settings.table.lower_every_s:
            self._level += 1
            self._changed_s = now_s

    def _read(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> dict[str, float]:
        """Return the value of each signal that is known, larger = worse."""
        values: dict[str, float | None] = {**self._settings.signals(board)}
        for priority_class, misses in self._misses.items():
            values[f"{priority_class}_misses"] = misses.share(nodes, now_s)
        delays = [n.admission_delay_s * n.wanted_hz for n in nodes if n.priority_class == ESSENTIAL]
        values["admission_delay"] = max(delays, default=None)
        return {n: v for n, v in values.items() if n in self._signals and v is not None and math.isfinite(v)}


class _Misses:
    """Which share of their deadlines the nodes of a class miss, over a recent window; that of the worst node."""

    def __init__(self, priority_class: str) -> None:
        self._class = priority_class
        self._counts: dict[str, deque[tuple[float, int]]] = {}

    def share(self, nodes: Sequence[NodeDemand], now_s: float) -> float | None:
        """
        Take the nodes' counters, which start anew with a node; None where there is no such node at work.

        An essential node without a rate of its own (a robot's driver, a simulation) counts by its own units: left out.
        """
        worst = None
        members = [
            n
            for n in nodes
            if n.priority_class == self._class
            and n.rate_hz > 0.0
            and (n.wanted_hz > 0.0 or self._class == CRITICAL)
        ]
        # None: what it misses is its own doing. When that is over, it starts anew.
        members = [n for n in members if n.deadline_misses is not None]
        self._counts = {n.name: self._counts.get(n.name, deque()) for n in members}
        for node in members:
            counts = self._counts[node.name]
            count = node.deadline_misses or 0
            if counts and count < counts[-1][1]:
                counts.clear()
            counts.append((now_s, count))
            while now_s - counts[0][0] > MISSES_WINDOW_S:
                counts.popleft()
            missed = counts[-1][1] - counts[0][1]
            worst = max(worst or 0.0, missed / (node.rate_hz * MISSES_WINDOW_S))
        return worst


def _ladder(order: Sequence[NodeDemand], steps: Sequence[float]) -> list[_Rung]:
    """Return the rungs from the top down: all background nodes by one step before any by the next, then essential ones."""
    return [
        _Rung(node.name, priority_class, step)
        for priority_class in (BACKGROUND, ESSENTIAL)
        for step in steps
        for node in order
        if node.priority_class == priority_class
    ]


def _conservative(
    order: Sequence[NodeDemand], fractions: Mapping[str, float], most: float
) -> dict[str, float]:
    """Return fractions with background nodes held down: nobody knows how hot it is."""
    return {
        node.name: min(fractions[node.name], most)
        if node.priority_class == BACKGROUND
        else fractions[node.name]
        for node in order
    }


def _words(name: str, values: Mapping[str, float]) -> str:
    if name not in _UNITS:
        return name
    what, figure = _UNITS[name]
    return f"{what}: {figure(values[name])}"
