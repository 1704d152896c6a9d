# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Lines as tegrastats prints them, of the simulated board."""

from __future__ import annotations

from datetime import datetime

from edge_stack_sim.board.plant import PlantState

_ORDER = ("cpu", "soc2", "soc0", "gpu", "tj", "soc1")


class Tegrastats:
    """
    Writes lines as the board's release does.

    Jetson Linux 36: temperature; power now and its average since the start. 39: temperature now and its highest; power now,
    average and highest.
    """

    def __init__(self) -> None:
        """Start without an average."""
        self._sums: dict[str, float] = {}
        self._most: dict[str, float] = {}
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
        new = board.release != "R36.4"
        rails, zones = [], []
        for name, watts in state.rails_w.items():
            self._sums[name] = self._sums.get(name, 0.0) + watts
            figures = [watts, self._sums[name] / self._lines, self._highest(name, watts)]
            rails.append(f"{name} " + "/".join(f"{w * 1e3:.0f}mW" for w in figures[: 3 if new else 2]))
        for name in _ORDER:
            now_c = temperatures[f"{name}-thermal"]
            most_c = self._highest(name, now_c)
            zones.append(f"{name}@{now_c:.0f}C/{most_c:.0f}C" if new else f"{name}@{now_c:.3f}C")
        parts = [
            at.strftime("%m-%d-%Y %H:%M:%S"),
            f"RAM {used_mb:.0f}/{board.memory_total_mb:.0f}MB (lfb {blocks}x4MB)",
            f"SWAP {state.swap_used_mb:.0f}/{board.swap_total_mb:.0f}MB (cached 0MB)",
            f"CPU [{cores}]",
            f"EMC_FREQ {state.emc_load * 100.0:.0f}%@{state.emc_hz / 1e6:.0f}",
            f"GR3D_FREQ {state.gpu_load * 100.0:.0f}%@[{state.gpu_hz / 1e6:.0f}]",
            *zones,
            *rails,
        ]
        return " ".join(parts)

    def _highest(self, name: str, value: float) -> float:
        self._most[name] = max(value, self._most.get(name, value))
        return self._most[name]
