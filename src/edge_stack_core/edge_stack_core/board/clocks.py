# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Clocks and loads of CPU, GPU and memory, from cpufreq, devfreq and Tegra's own files."""

from __future__ import annotations

from edge_stack_core.board.files import BoardFiles

_MOST_HZ = 1e11
_MOST_LOAD = 10.0
_POLICIES = "/sys/devices/system/cpu/cpufreq"
_DEVFREQ = "/sys/class/devfreq"
# Names of the GPU's devfreq device: by its address, by its chip, Thor's.
_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b", "gb10b")
_GPU_LOADS = (
    "/sys/devices/platform/bus@0/17000000.gpu/load",
    "/sys/devices/platform/gpu.0/load",
    "/sys/devices/platform/17000000.gpu/load",
    "/sys/devices/gpu.0/load",
)
# The memory's clock and activity; all below debug need root. Thor's clock is a devfreq device.
_EMC = "/sys/kernel/debug/bpmp/debug/clk/emc"
_EMC_DEVFREQ = f"{_DEVFREQ}/bwmgr"
# Highest clock that the power mode allows: from R36.4 on, and R35.
_EMC_CAPS = ("/sys/kernel/nvpmodel_clk_cap/emc", "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
_EMC_ACTIVITY = (
    "/sys/kernel/debug/cactmon/mc_all",
    "/sys/kernel/debug/bpmp/debug/actmon/mc_all_avg_activity",
    "/sys/kernel/actmon_avg_activity/mc_all",
)


class CpuClock:
    """The CPU's clock, and its load since the last reading."""

    def __init__(self, files: BoardFiles) -> None:
        """Find the clusters."""
        self._files = files
        self._policies = [f"{_POLICIES}/{name}" for name in files.names(_POLICIES, "policy")]
        self._last: tuple[int, int] | None = None

    def frequency_hz(self) -> tuple[float | None, float | None]:
        """Return the clock of the fastest cluster now, and the hardware's highest."""
        # A cluster of which all cores are offline (Jetson's 7W mode) answers nothing, and is not lost.
        online = [policy for policy in self._policies if self._files.text(f"{policy}/affected_cpus")]
        now = [self._files.number(f"{p}/scaling_cur_freq", 0.0, _MOST_HZ, 1e3) for p in online]
        top = [self._files.number(f"{p}/cpuinfo_max_freq", 1.0, _MOST_HZ, 1e3) for p in online]
        return _highest(now), _highest(top)

    def load(self) -> float | None:
        """Return the share of time that cores were busy since the last call; None at the first."""
        times = self._files.parse("/proc/stat", _cpu_times)
        last, self._last = self._last, times
        if times is None or last is None or times[1] <= last[1]:
            return None
        busy, total = times[0] - last[0], times[1] - last[1]
        return min(1.0, max(0.0, busy / total))


class GpuClock:
    """The integrated GPU's clock and load."""

    def __init__(self, files: BoardFiles) -> None:
        """Find the device."""
        self._files = files
        names = files.names(_DEVFREQ)
        self._device = next(
            (f"{_DEVFREQ}/{n}" for n in names if any(known in n.lower() for known in _GPU_NAMES)), None
        )
        loads = (f"{self._device}/device/load", *_GPU_LOADS) if self._device else _GPU_LOADS
        self._load = next((path for path in loads if files.exists(path)), None)

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return self._device is not None

    def frequency_hz(self) -> tuple[float | None, float | None]:
        """Return the clock now, and the hardware's highest."""
        if self._device is None:
            return None, None
        now = self._files.number(f"{self._device}/cur_freq", 0.0, _MOST_HZ)
        top = self._files.parse(f"{self._device}/available_frequencies", _highest_of)
        if top is None:
            top = self._files.number(f"{self._device}/max_freq", 1.0, _MOST_HZ)
        return now, top

    def load(self) -> float | None:
        """Return the share of time that the GPU is busy. Its counters can tell a little more than all."""
        load = None if self._load is None else self._files.number(self._load, 0.0, _MOST_LOAD, 1e-3)
        return None if load is None else min(1.0, load)


class MemoryClock:
    """The external memory's clock and the share of its bandwidth in use."""

    def __init__(self, files: BoardFiles) -> None:
        """Find what the kernel lets us see."""
        self._files = files
        self._activity = next((path for path in _EMC_ACTIVITY if files.exists(path)), None)
        self._cap = next((path for path in _EMC_CAPS if files.exists(path)), None)
        devfreq = files.exists(f"{_EMC_DEVFREQ}/cur_freq")
        self._now = f"{_EMC_DEVFREQ}/cur_freq" if devfreq else f"{_EMC}/rate"
        self._top = f"{_EMC_DEVFREQ}/max_freq" if devfreq else f"{_EMC}/max_rate"

    def frequency_hz(self) -> tuple[float | None, float | None]:
        """Return the clock now, and the hardware's highest."""
        now, top = self._files.number(self._now, 1.0, _MOST_HZ), self._files.number(self._top, 1.0, _MOST_HZ)
        return now, top

    def cap_hz(self) -> float | None:
        """Return the highest clock that the power mode allows."""
        return None if self._cap is None else self._files.number(self._cap, 1.0, _MOST_HZ)

    def load(self, frequency_hz: float | None) -> float | None:
        """Return the share of the bandwidth in use at this clock."""
        if self._activity is None or frequency_hz is None:
            return None
        # In percent of the clock in kHz: jetson-stats divides so.
        activity = self._files.number(self._activity, 0.0, 100.0 * _MOST_HZ)
        return None if activity is None else min(1.0, activity / (frequency_hz * 1e-3) / 100.0)


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _highest_of(text: str) -> float:
    value = max(float(word) for word in text.split())
    if not 1.0 <= value <= _MOST_HZ:
        raise ValueError(f"{value} Hz cannot be")
    return value


def _cpu_times(text: str) -> tuple[int, int]:
    """Busy and total time of all cores, jiffies: user nice system idle iowait irq softirq steal."""
    words = text.split(maxsplit=9)
    if words[0] != "cpu":
        raise ValueError("does not begin with cpu")
    times = [int(word) for word in words[1:9]]
    total = sum(times)
    return total - times[3] - times[4], total
