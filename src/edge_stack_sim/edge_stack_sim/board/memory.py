# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The one memory of the simulated board, shared by CPU and GPU: what is used, what goes to swap, and how tasks stall.

The unit is one step. Demand is set from outside; the pool decides what fits.
"""

from __future__ import annotations

import math

from edge_stack_sim.board.spec import BoardSpec

_AVERAGE_S = 10.0  # of avg10 in /proc/pressure/memory


class SimulatedMemory:
    """used_mb: demand beyond the base of the system. Everything in MiB."""

    def __init__(self, board: BoardSpec) -> None:
        """Start with what the system uses at rest."""
        self._board = board
        self.used_mb = 0.0
        self.pressure = 0.0
        self.stalled_s = 0.0

    @property
    def swap_used_mb(self) -> float:
        """What did not fit: with less than half the reserve left the kernel swaps."""
        over = self._demand_mb - (self._board.memory_total_mb - 0.5 * self._board.memory_reserve_mb)
        return min(self._board.swap_total_mb, max(0.0, over))

    @property
    def available_mb(self) -> float:
        """MemAvailable: what can be had without swapping."""
        return max(0.0, self._board.memory_total_mb - self._demand_mb + self.swap_used_mb)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel would have to kill: memory and swap are full."""
        return self._demand_mb > self._board.memory_total_mb + self._board.swap_total_mb

    def step(self, dt_s: float) -> None:
        """
        Let pressure follow what is available.

        [R] Nobody stalls above the reserve; at half of it, where swapping begins, a third of the time; each half reserve in
        swap takes as much again of what is left. avg10 follows within its 10 s.
        """
        reserve = self._board.memory_reserve_mb
        short = max(0.0, reserve - self.available_mb + self.swap_used_mb) / (0.5 * reserve)
        stall = 1.0 - math.exp(-0.4 * short)
        self.stalled_s += stall * dt_s
        self.pressure += (stall - self.pressure) * (1.0 - math.exp(-dt_s / _AVERAGE_S))

    @property
    def _demand_mb(self) -> float:
        return self._board.memory_base_mb + self.used_mb
