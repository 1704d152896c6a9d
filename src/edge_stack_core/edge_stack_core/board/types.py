# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a board tells about itself at one moment: heat, power, frequencies, load and memory.

The unit is one BoardState, whatever it was read from. What a board does not tell is None, or an empty mapping: nothing
is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BoardState:
    """
    One reading.

    time_s: monotonic clock at the reading. source: name of the reader. Temperatures in degrees Celsius, loads and
    memory pressure 0..1, memory in MiB.
    """

    time_s: float
    source: str
    board: str = ""
    """Name of the board by boards/*.yaml; empty: no file knows it."""
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    """By thermal zone, as the kernel names it: "cpu-thermal", "gpu-thermal", "tj-thermal"."""
    max_temperature_c: float | None = None
    """Highest of the zones that count for throttling."""
    throttle_temperature_c: float | None = None
    """Where the board begins to throttle: the kernel's lowest trip that holds a clock down, else as its maker says."""
    throttling: bool | None = None
    """Whether heat holds a frequency down now."""
    over_current_events: int | None = None
    """Since boot."""
    over_current_per_s: float | None = None
    """Over the last 10 s. They say something near power_limit_w alone: they are edges, of which some boards count many."""
    power_w: Mapping[str, float] = field(default_factory=dict)
    """By power rail: "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"."""
    total_power_w: float | None = None
    power_budget_w: float | None = None
    """What the power mode is meant to draw in all: by its name, else by boards/*.yaml, else power_limit_w."""
    power_limit_w: float | None = None
    """Where the board's over-current protection slows it down."""
    power_mode: str | None = None
    """The nvpmodel mode's name: "15W", "MAXN_SUPER"."""
    cpu_frequency_hz: float | None = None
    """
    Of the fastest cluster of cores: what was asked of the hardware. Over-current protection and the power firmware slow a
    core down below it unseen; its true clock (cpuinfo_cur_freq) is root's to read.
    """
    cpu_frequency_max_hz: float | None = None
    """The hardware's highest, whatever the power mode allows; so are the GPU's and the memory's."""
    gpu_frequency_hz: float | None = None
    gpu_frequency_max_hz: float | None = None
    emc_frequency_hz: float | None = None
    """External memory clock."""
    emc_frequency_max_hz: float | None = None
    emc_frequency_cap_hz: float | None = None
    """Highest memory clock that the power mode allows."""
    cpu_load: float | None = None
    """Mean over the cores that are online."""
    gpu_load: float | None = None
    emc_load: float | None = None
    memory_total_mb: float | None = None
    """CPU and GPU share it on a Jetson: one pool."""
    memory_available_mb: float | None = None
    swap_used_mb: float | None = None
    memory_pressure: float | None = None
    """Share of the last 10 s in which some task waited for memory: PSI some avg10, else estimated from /proc/vmstat."""
    memory_by_pid_mb: Mapping[int, float] = field(default_factory=dict)
    """Share of each process that was asked about."""
    largest_allocation_mb: float | None = None
    """The largest that would still fit."""
    lost: tuple[str, ...] = ()
    """Sources that were there and are gone, or tell nonsense: who decides on this state must be careful."""
