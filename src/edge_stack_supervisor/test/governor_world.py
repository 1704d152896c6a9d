# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A world for tests of the governor: a board as two thermal nodes, and nodes that do what they are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor import Allocation, Governor, NodeDemand

LIMIT_C = 90.0
NODES = (
    NodeDemand("policy", "critical", 24.0, 24.0, duration_s=0.015),
    NodeDemand("detect", "essential", 10.0, 4.0, duration_s=0.010),
    NodeDemand("segment", "background", 8.0, duration_s=0.020),
    NodeDemand("pose", "background", 8.0, duration_s=0.012),
    NodeDemand("depth", "background", 4.0, 1.0, duration_s=0.030),
)


@dataclass
class World:
    """A board with a chip on a heatsink; power follows the use of the gpu."""

    governor: Governor
    nodes: Sequence[NodeDemand] = NODES
    ambient_c: float = 30.0
    base_w: float = 6.0
    full_use_w: float = 12.0
    chip_c_per_w: float = 0.6
    heatsink_c_per_w: float = 2.5
    heatsink_s: float = 300.0
    state: BoardState = field(default_factory=lambda: BoardState(0.0, "test", memory_available_mb=4000.0))
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.rates = {node.name: node.wanted_hz for node in self.nodes}
        self.sink_c = self.chip_c = self.ambient_c
        self.allocations: list[Allocation] = []
        self.history: list[tuple[float, float, dict[str, float]]] = []
        self.off: frozenset[str] = frozenset()

    def power_w(self) -> float:
        use = sum(self.rates[n.name] * (n.duration_s or 0.0) for n in self.nodes if n.name not in self.off)
        return self.base_w + self.full_use_w * min(1.0, use)

    def run(self, seconds: int) -> World:
        for _ in range(seconds):
            self.now_s += 1.0
            power_w = self.power_w()
            end_c = self.ambient_c + self.heatsink_c_per_w * power_w
            self.sink_c += (1.0 - math.exp(-1.0 / self.heatsink_s)) * (end_c - self.sink_c)
            chip_end_c = self.sink_c + self.chip_c_per_w * power_w
            self.chip_c += (1.0 - math.exp(-1.0 / 4.0)) * (chip_end_c - self.chip_c)
            board = replace(
                self.state,
                time_s=self.now_s,
                max_temperature_c=None if self.state.lost else self.chip_c,
                total_power_w=power_w,
            )
            self.decide(board)
        return self

    def decide(self, board: BoardState) -> Allocation:
        demands = [replace(n, rate_hz=0.0 if n.name in self.off else self.rates[n.name]) for n in self.nodes]
        allocation = self.governor.update(board, demands, self.now_s)
        self.rates = dict(allocation.rate_hz)
        self.off = allocation.off
        self.allocations.append(allocation)
        self.history.append((self.now_s, board.max_temperature_c or math.nan, self.rates))
        check_order(self.nodes, self.rates)
        return allocation

    def changes(self) -> list[float]:
        """Return the times of all rate changes, one for each node, the first decision's included."""
        times = []
        before = {node.name: node.wanted_hz for node in self.nodes}
        for now_s, _, rates in self.history:
            times += [now_s for name in rates if rates[name] != before[name]]
            before = rates
        return times

    def most_changes_per_minute(self) -> int:
        times = self.changes()
        return max((sum(start <= t < start + 60.0 for t in times) for start in times), default=0)


def check_order(nodes: Sequence[NodeDemand], rates: dict[str, float]) -> None:
    """Fail unless rates keep the order of priority, floors and wanted rates."""
    for node in nodes:
        assert rates[node.name] <= node.wanted_hz
        assert rates[node.name] >= min(node.floor_hz, node.wanted_hz)
        if node.priority_class == "critical":
            assert rates[node.name] == node.wanted_hz
    if any(rates[n.name] < n.wanted_hz for n in nodes if n.priority_class == "essential"):
        for node in nodes:
            if node.priority_class == "background":
                assert rates[node.name] <= node.floor_hz, f"{node.name} works while essential nodes give way"
