# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Power of the simulated board: switching (load x C V^2 f), leakage that grows with temperature, clocks, memory, base.

The unit is one moment: loads, clocks and temperatures in, power of each rail and into each thermal node out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_stack_sim.board.spec import BoardSpec


@dataclass(frozen=True, slots=True)
class Load:
    """
    What runs: shares of the time that units are busy, 0..1.

    cpu: mean over the cores that are online. emc: share of the memory's bandwidth; None: what inference on the GPU takes,
    INFERENCE_EMC at the highest clocks, and less as the GPU's clock is lower.
    """

    cpu: float = 0.0
    gpu: float = 0.0
    emc: float | None = None


# [R] Inference streams its weights and activations: on the Orin Nano a GPU busy with a network leaves a fifth of the
# memory's bandwidth (its 102 GB/s feed 1024 cores that would take more).
INFERENCE_EMC = 0.8


@dataclass(frozen=True, slots=True)
class Power:
    """Watts, by where the heat goes. soc_w is VDD_SOC, module_w what VDD_IN feeds beyond the rails."""

    cpu_w: float
    gpu_w: float
    soc_w: float
    module_w: float
    emc_load: float
    """Share of the memory's bandwidth in use, 0..1."""

    @property
    def total_w(self) -> float:
        """VDD_IN."""
        return self.cpu_w + self.gpu_w + self.soc_w + self.module_w


def voltage(curve: Sequence[tuple[float, float]], frequency_hz: float) -> float:
    """Interpolate a curve of (Hz, V); flat outside it."""
    if frequency_hz <= curve[0][0]:
        return curve[0][1]
    for (f0, v0), (f1, v1) in pairwise(curve):
        if frequency_hz <= f1:
            return v0 + (v1 - v0) * (frequency_hz - f0) / (f1 - f0)
    return curve[-1][1]


class PowerModel:
    """Power of one board."""

    def __init__(self, board: BoardSpec) -> None:
        """Take the constants."""
        self._board = board
        self._cpu_top, self._gpu_top = board.cpu_steps_hz[-1], board.gpu_steps_hz[-1]
        self._cpu_volts = board.cpu_voltage[-1][1]
        self._gpu_volts = board.gpu_voltage[-1][1]

    def power(
        self,
        load: Load,
        *,
        cores: int,
        cpu_hz: float,
        gpu_hz: float,
        emc_hz: float,
        cpu_c: float,
        gpu_c: float,
        soc_c: float,
        extra_w: float = 0.0,
    ) -> Power:
        """Return the power at this moment. extra_w: what else the module draws (and turns into heat)."""
        b = self._board
        # V^2 f relative to the top, and V relative to the top for leakage.
        cpu_v = voltage(b.cpu_voltage, cpu_hz) / self._cpu_volts
        gpu_v = voltage(b.gpu_voltage, gpu_hz) / self._gpu_volts
        cpu_speed = cpu_v * cpu_v * cpu_hz / self._cpu_top * cores / b.cores
        gpu_speed = gpu_v * gpu_v * gpu_hz / self._gpu_top
        if load.emc is None:
            emc = min(1.0, INFERENCE_EMC * load.gpu * (gpu_hz / self._gpu_top) / (emc_hz / b.emc_hz))
        else:
            emc = load.emc
        traffic = emc * emc_hz / b.emc_hz
        cpu = cpu_speed * (b.cpu_dynamic_w * load.cpu + 0.5 * b.clock_w)
        gpu = gpu_speed * (b.gpu_dynamic_w * load.gpu * (1.0 - b.gpu_stall * emc) + 0.5 * b.clock_w)
        leak = b.leakage_w
        return Power(
            cpu_w=cpu + leak["cpu"] * cpu_v * cores / b.cores * self._growth(cpu_c),
            gpu_w=gpu + leak["gpu"] * gpu_v * self._growth(gpu_c),
            soc_w=b.soc_base_w + b.soc_emc_w * traffic + leak["soc"] * self._growth(soc_c),
            module_w=b.module_base_w + b.module_emc_w * traffic + extra_w,
            emc_load=emc,
        )

    def _growth(self, temperature_c: float) -> float:
        """Leakage relative to the reference temperature; bounded far beyond the shutdown, where nothing runs."""
        above_k = min(temperature_c, 150.0) - self._board.leakage_reference_c
        return math.exp(self._board.leakage_per_k * above_k)
