# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Lines as tegrastats of Jetson Linux 36 prints them, of the simulated board."""

from __future__ import annotations

from datetime import datetime

from edge_stack_sim.board.plant import PlantState

_ORDER = ("cpu", "soc2", "soc0", "gpu", "tj", "soc1")


class Tegrastats:
    """Writes lines; the second figure of each rail is its average since the start, as there."""

    def __init__(self) -> None:
        """Start without an average."""
        self._sums: dict[str, float] = {}
        self._lines = 0

    def line(self, state: PlantState, at: datetime) -> str:
        """Return one line, without its end; at: the time that it bears."""
        board = state.board
        used_mb = board.memory_total_mb - state.memory_available_mb
        blocks = int(0.81 * state.memory_available_mb / 4.0)
        core = f"{state.cpu_load * 100.0:.0f}%@{state.cpu_hz / 1e6:.0f}"
        cores = ",".join(core if number < state.cores else "off" for number in range(board.cores))
        temperatures = state.temperatures_c
        self._lines += 1
        rails = []
        for name, watts in state.rails_w.items():
            self._sums[name] = self._sums.get(name, 0.0) + watts
            rails.append(f"{name} {watts * 1e3:.0f}mW/{self._sums[name] / self._lines * 1e3:.0f}mW")
        parts = [
            at.strftime("%m-%d-%Y %H:%M:%S"),
            f"RAM {used_mb:.0f}/{board.memory_total_mb:.0f}MB (lfb {blocks}x4MB)",
            f"SWAP {state.swap_used_mb:.0f}/{board.swap_total_mb:.0f}MB (cached 0MB)",
            f"CPU [{cores}]",
            f"EMC_FREQ {state.emc_load * 100.0:.0f}%@{state.emc_hz / 1e6:.0f}",
            f"GR3D_FREQ {state.gpu_load * 100.0:.0f}%@[{state.gpu_hz / 1e6:.0f}]",
            *(f"{name}@{temperatures[f'{name}-thermal']:.3f}C" for name in _ORDER),
            *rails,
        ]
        return " ".join(parts)
