# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A simulated board that lives: physics at its own pace, its file tree, and tegrastats lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_stack_sim.board.plant import Load, Plant, PlantState
from edge_stack_sim.board.tegrastats import Tegrastats
from edge_stack_sim.board.tree import BoardTree

_MOST_ELAPSED_S = 1.0  # a process that was stopped does not make up for it
_MOST_LOG_BYTES = 1 << 20


@dataclass(slots=True)
class BoardSurroundings:
    """
    What may be changed while the board runs.

    ambient_c: the room. fan_failed: whether the fan stands. power_mode: nvpmodel's. time_scale: simulated seconds in one
    real one. extra_power_w: what else the module draws. memory_used_mb: what else is used of its memory.
    """

    ambient_c: float = 25.0
    fan_failed: bool = False
    power_mode: str = "MAXN_SUPER"
    time_scale: float = 1.0
    extra_power_w: float = 0.0
    memory_used_mb: float = 0.0


class LiveBoard:
    """
    One board with its tree below root.

    tegrastats: takes a line each simulated second. Raises what BoardTree and Plant raise for a root or mode that cannot be.
    """

    def __init__(
        self, plant: Plant, root: str | Path, tegrastats: Callable[[str], None] | None = None
    ) -> None:
        """Make the tree."""
        self.plant = plant
        self._tree = BoardTree(root, plant.state())
        self._print = tegrastats
        self._stats = Tegrastats()
        self._next_line_s = 0.0

    def advance(self, elapsed_s: float, load: Load, around: BoardSurroundings) -> PlantState:
        """Let elapsed_s real seconds pass and bring the tree up to date. memory_used_mb counts as given."""
        plant = self.plant
        plant.ambient_c = around.ambient_c
        plant.fan_failed = around.fan_failed
        plant.extra_power_w = around.extra_power_w
        plant.memory_used_mb = around.memory_used_mb
        if plant.power_mode != around.power_mode:
            plant.set_power_mode(around.power_mode)
        state = plant.step(max(1e-6, min(elapsed_s, _MOST_ELAPSED_S) * around.time_scale), load)
        self._tree.write(state)
        if self._print is not None and state.time_s >= self._next_line_s:
            self._next_line_s = state.time_s + 1.0
            self._print(self._stats.line(state, datetime.now()))
        return state

    def close(self) -> None:
        """Remove the tree."""
        self._tree.remove()


def log_to(path: str | Path) -> Callable[[str], None]:
    """Return what appends lines to a file, which begins anew at 1 MiB; the one before is kept as PATH.1."""
    path = Path(path)

    def append(line: str) -> None:
        with path.open("a", encoding="ascii") as file:
            file.write(line + "\n")
            full = file.tell() > _MOST_LOG_BYTES
        if full:
            os.replace(path, f"{path}.1")

    return append
