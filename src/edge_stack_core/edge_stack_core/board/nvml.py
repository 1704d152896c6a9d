# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads a PC with an NVIDIA GPU: what every Linux has, and the first GPU through NVML (nvidia-ml-py)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from edge_stack_core.board.limits import BoardLimits
from edge_stack_core.board.linux import LinuxReader
from edge_stack_core.board.memory import RESERVE
from edge_stack_core.errors import ConfigurationError

T = TypeVar("T")
_MIB = 2.0**20


class NvmlReader(LinuxReader):
    """A BoardReader of a machine with a GPU that has its own memory."""

    name = "nvml"

    def __init__(self, sysfs_root: str = "/", nvml: Any = None, limits: BoardLimits | None = None) -> None:
        """
        Find the GPU. nvml: the module to talk to, pynvml by default.

        Raises ConfigurationError where the package, the driver or a GPU is missing.
        """
        super().__init__(sysfs_root, limits)
        try:
            self._nvml = nvml or importlib.import_module("pynvml")
        except ImportError as error:
            raise ConfigurationError(
                "NVML needs the package nvidia-ml-py (pip install nvidia-ml-py)"
            ) from error
        try:
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByIndex(0)
        except self._nvml.NVMLError as error:
            raise ConfigurationError(f"NVML tells of no NVIDIA GPU: {error}") from error

    def close(self) -> None:
        """Let go of the driver."""
        self._ask("close", self._nvml.nvmlShutdown)

    def fields(self, now_s: float) -> dict[str, Any]:
        """Read the fields of BoardState that this reader knows."""
        fields = super().fields(now_s)
        nvml, gpu = self._nvml, self._gpu
        temperature = self._ask(
            "temperature", lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
        )
        power = self._ask("power", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3)
        use = self._ask("load", lambda: nvml.nvmlDeviceGetUtilizationRates(gpu))
        memory = self._ask("memory", lambda: nvml.nvmlDeviceGetMemoryInfo(gpu))
        if temperature is not None:
            temperatures = {**fields["temperatures_c"], "gpu": float(temperature)}
            fields["temperatures_c"] = temperatures
            highest = fields["max_temperature_c"]
            fields["max_temperature_c"] = max(temperatures["gpu"], -273.0 if highest is None else highest)
        if memory is not None:
            # A model must fit into the GPU's memory and into the machine's.
            free = max(0.0, memory.free / _MIB - RESERVE * memory.total / _MIB)
            host = fields.get("largest_allocation_mb")
            fields["largest_allocation_mb"] = free if host is None else min(host, free)
        hot = self._throttled()
        return {
            **fields,
            "throttling": hot if fields["throttling"] is None else bool(fields["throttling"] or hot),
            "power_w": {} if power is None else {"GPU": power},
            "total_power_w": power,
            "gpu_frequency_hz": self._clock("clock", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_GRAPHICS),
            "gpu_frequency_max_hz": self._clock(
                "highest clock", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_GRAPHICS
            ),
            "emc_frequency_hz": self._clock("memory clock", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
            "emc_frequency_max_hz": self._clock(
                "highest memory clock", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM
            ),
            "gpu_load": None if use is None else use.gpu / 100.0,
            "emc_load": None if use is None else use.memory / 100.0,
            "memory_by_pid_mb": self._with_gpu_memory(fields["memory_by_pid_mb"]),
        }

    def _throttled(self) -> bool | None:
        nvml = self._nvml
        hot = nvml.nvmlClocksThrottleReasonSwThermalSlowdown | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
        reasons = self._ask(
            "throttle reasons", lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._gpu)
        )
        return None if reasons is None else bool(reasons & hot)

    def _clock(self, what: str, ask: Callable[[Any, int], int], kind: int) -> float | None:
        return self._ask(what, lambda: ask(self._gpu, kind) * 1e6)

    def _with_gpu_memory(self, shares: dict[int, float]) -> dict[int, float]:
        running = self._ask("processes", lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._gpu))
        held = {p.pid: (p.usedGpuMemory or 0) / _MIB for p in running or ()}
        return {pid: mb + held.get(pid, 0.0) for pid, mb in shares.items()}

    def _ask(self, what: str, question: Callable[[], T]) -> T | None:
        """Return the driver's answer, None if it has none; what it told before and refuses now is lost."""

        def answer() -> T:
            try:
                return question()
            except self._nvml.NVMLError as error:
                raise OSError(str(error)) from error

        return self.files.take(f"nvml {what}", answer)
