# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads any Linux machine: thermal zones, cpufreq, pressure stall and available memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edge_stack_core.board.clocks import CpuClock
from edge_stack_core.board.files import BoardFiles
from edge_stack_core.board.heat import Heat
from edge_stack_core.board.limits import BoardLimits, find_limits
from edge_stack_core.board.memory import MemoryReader, ProcessMemory
from edge_stack_core.board.types import BoardState


class LinuxReader:
    """A BoardReader of what every Linux has; others begin with it and add what their board tells besides."""

    name = "linux"

    def __init__(self, sysfs_root: str = "/", limits: BoardLimits | None = None) -> None:
        """
        Find what there is below sysfs_root. What is not there is None in every state.

        limits: of this board; by default what boards/*.yaml say of it by its device tree.
        Raises ConfigurationError for a file of boards/ that is wrong.
        """
        self.files = BoardFiles(sysfs_root)
        self.limits = limits or find_limits(sysfs_root)
        self._heat = Heat(self.files, None if self.limits is None else self.limits.throttle_c)
        self._cpu = CpuClock(self.files)
        self._memory = MemoryReader(self.files)
        self._processes = ProcessMemory()

    @property
    def losses(self) -> int:
        """How often a source was lost, since the start."""
        return self.files.losses

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes whose memory is told by pid."""
        self._processes.watch(pids)

    def read(self, now_s: float) -> BoardState:
        """Return the state now. Never raises."""
        fields = self.fields(now_s)
        board = "" if self.limits is None else self.limits.name
        return BoardState(time_s=now_s, source=self.name, board=board, lost=self.files.lost, **fields)

    def close(self) -> None:
        """Hold nothing any more."""

    def fields(self, now_s: float) -> dict[str, Any]:
        """Read the fields of BoardState that this reader knows."""
        temperatures, highest = self._heat.temperatures_c()
        clock, top = self._cpu.frequency_hz()
        return {
            "temperatures_c": temperatures,
            "max_temperature_c": highest,
            "throttle_temperature_c": self._heat.throttle_temperature_c(),
            "throttling": self._heat.throttling(),
            "cpu_frequency_hz": clock,
            "cpu_frequency_max_hz": top,
            "cpu_load": self._cpu.load(),
            "memory_by_pid_mb": self._processes.read(),
            **self._memory.read(now_s),
        }
