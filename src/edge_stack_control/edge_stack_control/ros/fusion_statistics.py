# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the fusion node counts about itself: as every node, with the figures of its control thread for those of its work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_stack_core.node_statistics import NodeStatistics, Quantiles, StatisticsSnapshot
from edge_stack_core.runtime.control_thread import ControlThreadFigures


class ControlStatistics(NodeStatistics):
    """Counts of the node with the figures of its control thread, which takes no lock to count."""

    def __init__(self, control: Callable[[], tuple[ControlThreadFigures | None, float, Quantiles]]) -> None:
        """control: figures of the control thread, rate, Hz, and ages of actions, ms."""
        super().__init__()
        self._control = control

    def snapshot(self) -> StatisticsSnapshot:
        """Return all figures at one moment."""
        counted = super().snapshot()
        figures, rate_hz, action_age = self._control()
        if figures is None:
            return counted
        ticks = figures.duration.summary()
        return replace(
            counted,
            rate_hz=rate_hz,
            latency=action_age,
            stages={"tick": Quantiles(ticks.p50_ms, ticks.p99_ms)},
            processed=figures.ticks,
            deadline_misses=figures.misses,
        )
