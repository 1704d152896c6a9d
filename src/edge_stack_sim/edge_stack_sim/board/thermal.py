# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Heat as a lumped network: junctions to package to heatsink to the air in the case to the room.

The unit is one step of any length, in which power and the fan's speed stand still; within it the solution is exact
(matrix exponential), so that large steps are as stable as small ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_stack_sim.board.spec import BoardSpec

NODES = ("cpu", "gpu", "soc", "package", "sink", "case")
CPU, GPU, SOC, PACKAGE, SINK, CASE = range(6)
FloatArray = NDArray[np.float64]
_RPM_STEP = 50.0  # conductances are computed for these; finer than what the fan's loop holds


class ThermalNetwork:
    """Temperatures of NODES, degrees Celsius."""

    def __init__(self, board: BoardSpec, ambient_c: float) -> None:
        """Start with everything as warm as the room."""
        self._board = board
        capacities = [board.capacity_j_k[name] for name in NODES[:CASE]] + [board.cooling.case_capacity_j_k]
        self._capacity: FloatArray = np.array(capacities)
        self.temperatures_c: FloatArray = np.full(len(NODES), ambient_c)
        self._propagator = lru_cache(maxsize=512)(self._make_propagator)

    def step(self, dt_s: float, power_w: FloatArray, fan_rpm: float, ambient_c: float) -> None:
        """Go on by dt_s with power_w [6] into the nodes."""
        decay, gain = self._propagator(dt_s, round(fan_rpm / _RPM_STEP))
        # Relative to the room, which stands still within a step.
        self.temperatures_c = ambient_c + decay @ (self.temperatures_c - ambient_c) + gain @ power_w

    def steady_c(self, power_w: FloatArray, fan_rpm: float, ambient_c: float) -> FloatArray:
        """Return where temperatures [6] end with this power and fan."""
        conductance = self._conductance(round(fan_rpm / _RPM_STEP))
        return np.asarray(ambient_c + np.linalg.solve(conductance, power_w))

    def stored_j(self, reference_c: float) -> float:
        """Return the heat above a reference temperature in all nodes."""
        return float(self._capacity @ (self.temperatures_c - reference_c))

    def lost_w(self, ambient_c: float) -> float:
        """Return the heat that flows to the room now."""
        return float(self._board.cooling.case_conductance_w_k * (self.temperatures_c[CASE] - ambient_c))

    def _conductance(self, fan_step: int) -> FloatArray:
        """Conductance matrix [6,6] towards the room, W/K."""
        board, cooling = self._board, self._board.cooling
        speed = min(1.0, fan_step * _RPM_STEP / board.fan_full_rpm)
        sink = cooling.still_conductance_w_k + cooling.forced_conductance_w_k * speed**board.fan_exponent
        matrix = np.zeros((len(NODES), len(NODES)))
        links = [(n, PACKAGE, board.junction_conductance_w_k[NODES[n]]) for n in (CPU, GPU, SOC)]
        links += [(PACKAGE, SINK, board.package_conductance_w_k), (SINK, CASE, sink)]
        for a, b, conductance in links:
            matrix[a, a] += conductance
            matrix[b, b] += conductance
            matrix[a, b] -= conductance
            matrix[b, a] -= conductance
        matrix[CASE, CASE] += cooling.case_conductance_w_k
        return matrix

    def _make_propagator(self, dt_s: float, fan_step: int) -> tuple[FloatArray, FloatArray]:
        """Matrices [6,6] of the exact step: what is left of the old temperatures, and what power adds."""
        conductance = self._conductance(fan_step)
        root = np.sqrt(self._capacity)
        # C dT/dt = -G T + P, made symmetric so that the eigenvalues are real.
        values, vectors = np.linalg.eigh(conductance / np.outer(root, root))
        decay = (vectors * np.exp(-values * dt_s)) @ vectors.T * np.outer(1.0 / root, root)
        gain = (np.eye(len(NODES)) - decay) @ np.linalg.inv(conductance)
        return decay, gain
