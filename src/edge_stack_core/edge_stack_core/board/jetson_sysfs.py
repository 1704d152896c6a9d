# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads a Jetson from its files: what every Linux has, GPU and memory clocks, power rails, power mode, over-current."""

from __future__ import annotations

from typing import Any

from edge_stack_core.board.clocks import GpuClock, MemoryClock
from edge_stack_core.board.jetson_files import NvpmodelMode, OverCurrentEvents, PowerRails
from edge_stack_core.board.limits import BoardLimits, mode_budget_w
from edge_stack_core.board.linux import LinuxReader


class JetsonSysfsReader(LinuxReader):
    """A BoardReader of a Jetson, real or simulated, below sysfs_root."""

    name = "jetson_sysfs"

    def __init__(self, sysfs_root: str = "/", limits: BoardLimits | None = None) -> None:
        """Find what there is below sysfs_root. limits: as LinuxReader's."""
        super().__init__(sysfs_root, limits)
        self._gpu = GpuClock(self.files)
        self._emc = MemoryClock(self.files)
        self._rails = PowerRails(self.files)
        self._mode = NvpmodelMode(self.files)
        self._over_current = OverCurrentEvents(self.files)

    def fields(self, now_s: float) -> dict[str, Any]:
        """Read the fields of BoardState that this reader knows."""
        fields = super().fields(now_s)
        gpu, gpu_top = self._gpu.frequency_hz()
        emc, emc_top = self._emc.frequency_hz()
        power, total = self._rails.read_w()
        mode, limit = self.power_mode(), self._rails.limit_w()
        budget = mode_budget_w(mode, self.limits)
        events, events_per_s = self._over_current.read(now_s)
        held = self.gpu_memory_mb()
        fields["memory_by_pid_mb"] = {
            pid: mb + held.get(pid, 0.0) for pid, mb in fields["memory_by_pid_mb"].items()
        }
        return {
            **fields,
            "gpu_frequency_hz": gpu,
            "gpu_frequency_max_hz": gpu_top,
            "gpu_load": self._gpu.load(),
            "emc_frequency_hz": emc,
            "emc_frequency_max_hz": emc_top,
            "emc_frequency_cap_hz": self._emc.cap_hz(),
            "emc_load": self._emc.load(emc),
            "power_w": power,
            "total_power_w": total,
            "power_mode": mode,
            "power_budget_w": limit if budget is None else budget,
            "power_limit_w": limit,
            "over_current_events": events,
            "over_current_per_s": events_per_s,
        }

    def power_mode(self) -> str | None:
        """Return the nvpmodel mode's name."""
        return self._mode.read()

    def gpu_memory_mb(self) -> dict[int, float]:
        """Return what processes hold of the GPU's memory, by pid, where it can be seen."""
        return self._memory.gpu_mb()
