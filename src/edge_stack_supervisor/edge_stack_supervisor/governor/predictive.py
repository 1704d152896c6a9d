# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The predictive controller: the rates with the most utility whose predicted temperature stays below the limit.

A unit of work is one reading. It learns how heat follows power (thermal_fit) and how power follows the use of the
gpu, and fills what the limit leaves with the work that is worth most. While its prediction cannot be trusted,
the table decides; for causes other than heat and power the table always does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor.interface import BACKGROUND, ESSENTIAL, NodeDemand, Target
from edge_stack_supervisor.governor.settings import GovernorSettings
from edge_stack_supervisor.governor.table import HEAT_SIGNALS, TableController
from edge_stack_supervisor.governor.thermal_fit import LeastSquares, Prior, ThermalFit

SMOOTH_S = 10.0
SOON_S = 10.0
# Utility of a node at a fraction f of its range: weight * log(1 + f / HALF). Concave: the first inferences are worth most.
HALF = 0.5
POWER_NOISE_W = 0.5
OVER_C = 0.5  # predicted beyond the margin by more: lower at once, not at the next decision


@dataclass(frozen=True)
class Share:
    """What a node can use of the gpu: at its floor, and above it at its wanted rate; 1 is all of it."""

    name: str
    floor: float
    above: float
    weight: float


class PredictiveController:
    """Fills the heat budget with the work that is worth most."""

    def __init__(self, settings: GovernorSettings) -> None:
        """Know nothing of the board but the settings' prior."""
        p = settings.predictive
        self._settings = settings
        self._fit = ThermalFit(Prior(p.ambient_c, p.junction_c_per_w, p.heatsink_c_per_w), p.forgetting_s)
        self._power_per_use = _PowerModel(p.full_use_w, p.forgetting_s)
        self._fallback = TableController(settings)
        self._others = TableController(settings, without=HEAT_SIGNALS)
        self._fractions: dict[str, float] = {}
        self._decided_s = -math.inf
        self._reason = ""

    def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Target:
        """Take one reading."""
        fallback = self._fallback.update(board, nodes, now_s)
        others = self._others.update(board, nodes, now_s)
        doubt = self._learn(board, nodes, now_s)
        if doubt:
            self._fractions = dict(fallback.fractions)  # where it goes on from, once trusted
            self._decided_s = -math.inf
            reason = f"{fallback.reason} ({doubt})" if fallback.reason else ""
            return Target(fallback.fractions, reason, fallback.urgent, "table")
        if fallback.urgent:
            self._fractions = {name: min(1.0, f) for name, f in fallback.fractions.items()}
            return fallback
        self._decide(board, nodes, now_s)
        self._fallback.follow(self._fractions, nodes)
        heat = {node.name: self._fractions.get(node.name, 1.0) for node in nodes}
        fractions = {name: min(f, others.fractions.get(name, 1.0)) for name, f in heat.items()}
        reasons = [self._reason] if any(f < 1.0 for f in heat.values()) else []
        reasons += [others.reason] if others.reason else []
        return Target(fractions, "; ".join(reasons), others.urgent, "predictive")

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _is_hot(self, board: BoardState) -> bool:
        """Whether it is as hot as where the table begins: a prediction alone takes nothing from anybody."""
        heat = self._settings.table.signals.get("temperature_c")
        limit_c, hottest_c = self._settings.limit(board), board.max_temperature_c
        return heat is None or limit_c is None or hottest_c is None or hottest_c - limit_c >= heat.lower

    def _learn(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> str:
        """Learn from a reading; return why nothing may be concluded from it, or an empty string."""
        p = self._settings.predictive
        self._power_per_use.add(
            board.total_power_w, sum(n.rate_hz * (n.duration_s or 0.0) for n in nodes), now_s
        )
        if board.lost:
            return "the board cannot be read"
        if board.max_temperature_c is None or self._settings.limit(board) is None:
            return "the board tells no temperature, or not where it throttles"
        self._fit.add(board.max_temperature_c, self._power_per_use.now_w, now_s)
        if self._fit.age_s < p.trust_after_s:
            return f"predictions begin in {p.trust_after_s - self._fit.age_s:.0f} s"
        if self._fit.error_c > p.trust_error_c:
            return f"the prediction is not trusted: {self._fit.describe()}"
        return ""

    def _decide(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> None:
        """Choose new fractions if it is time to, or if the present ones lead too far."""
        p = self._settings.predictive
        limit_c = (self._settings.limit(board) or math.inf) - p.margin_c
        shares = {
            priority_class: [
                Share(
                    n.name,
                    n.floor_hz * n.duration_s,
                    n.range_hz * n.duration_s,
                    self._settings.weights.get(n.name, 1.0),
                )
                for n in nodes
                if n.priority_class == priority_class and n.range_hz > 0.0 and n.duration_s
            ]
            for priority_class in (BACKGROUND, ESSENTIAL)
        }
        model = self._power_per_use
        # At the horizon it must be back below the margin; soon, half of the margin is there for what nobody could foresee.
        most_w = min(
            self._fit.most_power_w(limit_c, p.horizon_s),
            self._fit.most_power_w(limit_c + 0.5 * p.margin_c, SOON_S),
        )
        budget_w = self._settings.budget_w(board)
        by_heat = budget_w is None or most_w < budget_w
        most_w = most_w if budget_w is None else min(most_w, budget_w)
        # What the nodes that can give way may use: what they use now, and what the power that is left allows.
        used = sum(n.rate_hz * n.duration_s for n in nodes if n.range_hz > 0.0 and n.duration_s)
        may_use = used + (most_w - model.now_w) / model.per_use_w
        granted = sum(
            s.floor + self._fractions.get(s.name, 1.0) * s.above
            for members in shares.values()
            for s in members
        )
        if by_heat and may_use < granted and not self._is_hot(board):
            return
        over_c = self._fit.temperature_c(model.now_w, p.horizon_s) - limit_c
        over_budget = budget_w is not None and model.now_w > budget_w + POWER_NOISE_W
        must = (over_c > OVER_C or over_budget) and may_use < granted
        if not must and now_s - self._decided_s < p.decide_every_s:
            return
        # The last step up is taken however small it is: nobody is held down for nothing.
        full = sum(s.floor + s.above for members in shares.values() for s in members)
        all_may = granted < full <= may_use
        if abs(may_use - granted) <= p.deadband and not must and not all_may:
            return
        wanted = fill(shares, may_use)
        new = towards(self._fractions, wanted, shares, may_use)
        if new == self._fractions:
            return
        self._fractions = new
        self._decided_s = now_s
        cause = f"heat: {limit_c:.0f} C in {p.horizon_s:.0f} s" if by_heat else "the power budget"
        self._reason = f"{cause} allows {max(0.0, most_w):.1f} W ({self._fit.describe()})"


class _PowerModel:
    """The power now, smoothed, and what the whole gpu's use adds to it; learned from what was drawn so far."""

    def __init__(self, full_use_w: float, forgetting_s: float) -> None:
        self._full_use_w = full_use_w
        self._fit = LeastSquares(
            np.array([0.0, full_use_w]),
            np.diag([1e-6, (0.3 * full_use_w) ** -2.0]),
            POWER_NOISE_W,
            forgetting_s,
            least=np.array([-math.inf, 0.25 * full_use_w]),
            most=np.array([math.inf, 4.0 * full_use_w]),
        )
        self._last_s = math.nan
        self.now_w = 0.0

    def add(self, power_w: float | None, use: float, now_s: float) -> None:
        """Take one reading. use: of the gpu by all nodes, 0..1; stands for the power where that is not told."""
        measured_w = self._full_use_w * use if power_w is None else power_w
        duration_s = now_s - self._last_s
        first = math.isnan(duration_s)
        self._last_s = now_s
        if first:
            self.now_w, self._use = measured_w, use
            return
        part = 1.0 - math.exp(-max(0.0, duration_s) / SMOOTH_S)
        self.now_w += part * (measured_w - self.now_w)
        self._use += part * (use - self._use)
        if duration_s > 0.0 and power_w is not None:
            self._fit.add(np.array([1.0, self._use]), self.now_w, duration_s)

    @property
    def per_use_w(self) -> float:
        """Power of the whole gpu's use, W; within a quarter and four times what was believed at first."""
        return float(self._fit.solution[1])


Shares = Mapping[str, Sequence[Share]]


def fill(shares: Shares, may_use: float) -> dict[str, float]:
    """
    Return the fraction of each node with the most utility for a share of the gpu: essential nodes first.

    Within a class: maximise sum(weight * log(1 + f / HALF)) while sum(above * f) <= what is left; its solution is f =
    weight / (price * above) - HALF within 0..1 at one price, found by bisection.
    """
    left = may_use - sum(s.floor for members in shares.values() for s in members)
    fractions: dict[str, float] = {}
    for priority_class in (ESSENTIAL, BACKGROUND):
        members = shares[priority_class]
        given = _best(members, left)
        fractions.update(given)
        left -= sum(s.above * given[s.name] for s in members)
    return fractions


def _best(members: Sequence[Share], left: float) -> dict[str, float]:
    if left <= 0.0:
        return {s.name: 0.0 for s in members}
    if sum(s.above for s in members) <= left:
        return {s.name: 1.0 for s in members}

    def at(price: float) -> dict[str, float]:
        return {s.name: min(1.0, max(0.0, s.weight / (price * s.above) - HALF)) for s in members}

    low, high = 1e-9, max(s.weight / (HALF * s.above) for s in members)
    for _ in range(60):
        price = math.sqrt(low * high)
        if sum(s.above * at(price)[s.name] for s in members) > left:
            low = price
        else:
            high = price
    return at(high)


def towards(
    present: Mapping[str, float], wanted: Mapping[str, float], shares: Shares, may_use: float
) -> dict[str, float]:
    """
    Return the present fractions with as few of them changed to the wanted ones as it takes to use what may be used.

    The node whose change makes the largest difference changes first.
    """
    new = {name: present.get(name, 1.0) for name in wanted}
    above = {s.name: s.above for members in shares.values() for s in members}
    use = sum(s.floor + new[s.name] * s.above for members in shares.values() for s in members)
    down = use > may_use
    order = (BACKGROUND, ESSENTIAL) if down else (ESSENTIAL, BACKGROUND)
    for priority_class in order:
        members = [s.name for s in shares[priority_class]]
        for name in sorted(members, key=lambda n: -abs(wanted[n] - new[n]) * above[n]):
            change = (wanted[name] - new[name]) * above[name]
            if (change < 0.0) is not down or change == 0.0:
                continue
            if down and use <= may_use:
                return new
            if not down and use + change > may_use:
                change = max(0.0, may_use - use)
            new[name] += change / above[name]
            use += change
    return new
