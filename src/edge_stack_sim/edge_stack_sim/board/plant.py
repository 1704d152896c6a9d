# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated board as physics: load in, temperatures, clocks, power and memory out; no files, no clock of its own.

The unit is Plant.step(dt_s, load), of any length; the same steps give the same states. Clocks are pinned to the highest
that mode and heat allow, as jetson_clocks does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_stack_core.board.limits import mode_budget_w
from edge_stack_core.board.memory import largest_allocation_mb
from edge_stack_core.board.types import BoardState
from edge_stack_sim.board.memory import SimulatedMemory
from edge_stack_sim.board.power import Load, Power, PowerModel
from edge_stack_sim.board.spec import ORIN_NANO_SUPER, BoardSpec, SimulatedPowerMode
from edge_stack_sim.board.thermal import CASE, CPU, GPU, PACKAGE, SINK, SOC, ThermalNetwork
from edge_stack_sim.board.throttle import Fan, HardwareThrottle, HotSurface, OverCurrent, ThermalThrottle

__all__ = ["Load", "Plant", "PlantState"]

_OVER_CURRENT_S = 10.0
_MOST_S = 0.25  # power, fan and throttle stand still for at most this long within a step


@dataclass(frozen=True, slots=True)
class PlantState:
    """
    The board at the end of a step. Loads as they were in it, energy_j since the start.

    throttling: heat holds the clocks down (a cooling device is at work). shut_down: the critical trip was reached; nothing
    runs until a new Plant.
    """

    time_s: float
    ambient_c: float
    cpu_c: float
    gpu_c: float
    soc_c: float
    package_c: float
    sink_c: float
    case_c: float
    fan_rpm: float
    fan_pwm: int
    power_mode: str
    cores: int
    cpu_hz: float
    gpu_hz: float
    emc_hz: float
    cpu_limit_hz: float
    """Highest that mode and heat allow: scaling_max_freq; so is the GPU's."""
    gpu_limit_hz: float
    cpu_load: float
    gpu_load: float
    emc_load: float
    power: Power
    energy_j: float
    throttling: bool
    shut_down: bool
    cpu_cooling_state: int
    gpu_cooling_state: int
    average_over_current_events: int
    peak_over_current_events: int
    over_current_per_s: float
    """Over the last 10 s."""
    hot_surface: bool
    """Whether the notice of a hot surface is on."""
    memory_available_mb: float
    memory_pressure: float
    memory_stalled_s: float
    swap_used_mb: float
    out_of_memory: bool
    board: BoardSpec

    @property
    def tj_c(self) -> float:
        """The hottest junction."""
        return max(self.cpu_c, self.gpu_c, self.soc_c)

    @property
    def temperatures_c(self) -> Mapping[str, float]:
        """By the kernel's thermal zones."""
        zones = {"cpu-thermal": self.cpu_c, "gpu-thermal": self.gpu_c}
        zones.update({f"soc{n}-thermal": self.soc_c for n in range(3)})
        zones["tj-thermal"] = self.tj_c
        return zones

    @property
    def rails_w(self) -> Mapping[str, float]:
        """By the INA3221's rails."""
        return {
            "VDD_IN": self.power.total_w,
            "VDD_CPU_GPU_CV": self.power.cpu_w + self.power.gpu_w,
            "VDD_SOC": self.power.soc_w,
        }

    def board_state(self) -> BoardState:
        """Return what a reader would read from this board."""
        rails = self.rails_w
        return BoardState(
            time_s=self.time_s,
            source="simulated",
            board="Jetson Orin Nano Super",
            temperatures_c=self.temperatures_c,
            max_temperature_c=self.tj_c,
            throttle_temperature_c=self.board.throttle_c,
            throttling=self.throttling,
            over_current_events=self.average_over_current_events + self.peak_over_current_events,
            over_current_per_s=self.over_current_per_s,
            power_budget_w=mode_budget_w(self.power_mode) or self.board.input_limit_w,
            power_limit_w=self.board.input_limit_w,
            power_w=rails,
            total_power_w=rails["VDD_IN"],
            power_mode=self.power_mode,
            cpu_frequency_hz=self.cpu_hz,
            cpu_frequency_max_hz=self.board.cpu_steps_hz[-1],
            gpu_frequency_hz=self.gpu_hz,
            gpu_frequency_max_hz=self.board.gpu_steps_hz[-1],
            emc_frequency_hz=self.emc_hz,
            emc_frequency_max_hz=self.board.emc_hz,
            emc_frequency_cap_hz=self.emc_hz,
            cpu_load=self.cpu_load,
            gpu_load=self.gpu_load,
            emc_load=self.emc_load,
            memory_total_mb=self.board.memory_total_mb,
            memory_available_mb=self.memory_available_mb,
            swap_used_mb=self.swap_used_mb,
            memory_pressure=self.memory_pressure,
            largest_allocation_mb=largest_allocation_mb(self.board.memory_total_mb, self.memory_available_mb),
        )


class Plant:
    """
    One simulated board.

    ambient_c, extra_power_w (what else the module draws, W), memory_used_mb (beyond the system's own, MiB) and fan_failed
    may be set at any time. Raises ValueError for an unknown power mode.
    """

    def __init__(
        self, board: BoardSpec = ORIN_NANO_SUPER, *, ambient_c: float = 25.0, power_mode: str | None = None
    ) -> None:
        """Start cold: everything as warm as the room, nothing running."""
        self.board = board
        self.ambient_c = ambient_c
        self.extra_power_w = 0.0
        self._mode = self._find_mode(power_mode or board.default_mode)
        self._thermal = ThermalNetwork(board, ambient_c)
        self._model = PowerModel(board)
        self._fan = Fan(board)
        self._cpu_throttle = ThermalThrottle(board, len(board.cpu_steps_hz))
        self._gpu_throttle = ThermalThrottle(board, len(board.gpu_steps_hz))
        self._hardware = HardwareThrottle(board)
        self._hot_surface = HotSurface(board)
        self._over_current = OverCurrent(board)
        self._over_current_seen: deque[tuple[float, int]] = deque(((0.0, 0),))
        self._memory = SimulatedMemory(board)
        self._time_s = 0.0
        self._energy_j = 0.0
        self._shut_down = False
        self._set_clocks()
        self._load = Load()
        self._power = self._power_now(self._load)

    # ---- what may be changed from outside

    @property
    def power_mode(self) -> str:
        """Name of the nvpmodel mode."""
        return self._mode.name

    def set_power_mode(self, name: str) -> None:
        """Switch the mode, as nvpmodel -m does. Raises ValueError if there is none of this name."""
        self._mode = self._find_mode(name)

    @property
    def fan_failed(self) -> bool:
        """Whether the fan stands still whatever is asked of it."""
        return self._fan.failed

    @fan_failed.setter
    def fan_failed(self, failed: bool) -> None:
        self._fan.failed = failed

    @property
    def memory_used_mb(self) -> float:
        """What is used beyond the system's own, MiB."""
        return self._memory.used_mb

    @memory_used_mb.setter
    def memory_used_mb(self, used_mb: float) -> None:
        self._memory.used_mb = max(0.0, used_mb)

    # ---- time

    def step(self, dt_s: float, load: Load) -> PlantState:
        """Run for dt_s (s, above 0) under a load, and return the state at its end."""
        left_s = dt_s
        while left_s > 1e-9:
            part_s = min(left_s, _MOST_S)
            self._substep(part_s, Load() if self._shut_down else load)
            left_s -= part_s
        return self.state()

    def settle(self, load: Load, dt_s: float = 0.25, limit_s: float = 7200.0) -> PlantState:
        """Run under a load until temperatures stand still, or for limit_s."""
        state = self.state()
        for _ in range(int(limit_s / 60.0)):
            before = state
            for _ in range(round(60.0 / dt_s)):
                state = self.step(dt_s, load)
            if abs(state.tj_c - before.tj_c) + abs(state.case_c - before.case_c) < 0.02:
                break
        return state

    def _substep(self, dt_s: float, load: Load) -> None:
        board, thermal = self.board, self._thermal
        temperatures = thermal.temperatures_c
        tj_c = float(max(temperatures[CPU], temperatures[GPU], temperatures[SOC]))
        now_s = self._time_s
        self._fan.step(now_s, tj_c)
        self._cpu_throttle.step(now_s, tj_c)
        self._gpu_throttle.step(now_s, tj_c)
        self._hardware.step(tj_c)
        self._hot_surface.step(tj_c)
        self._shut_down = self._shut_down or tj_c >= board.shutdown_c
        self._set_clocks()

        self._load = load
        self._power = power = self._power_now(load)
        case_w = board.cooling.case_heat_w
        heat_w = np.array((power.cpu_w, power.gpu_w, power.soc_w, power.module_w, 0.0, case_w))
        thermal.step(dt_s, heat_w, self._fan.rpm, self.ambient_c)
        self._time_s += dt_s
        self._energy_j += power.total_w * dt_s
        self._over_current.step(dt_s, power.total_w)
        self._over_current_seen.append((self._time_s, self._over_current_events()))
        while self._time_s - self._over_current_seen[0][0] > _OVER_CURRENT_S:
            self._over_current_seen.popleft()
        self._memory.step(dt_s)

    def _set_clocks(self) -> None:
        """The highest steps that mode and heat allow."""
        board, mode = self.board, self._mode
        cpu_most, gpu_most = len(board.cpu_steps_hz) - 1, len(board.gpu_steps_hz) - 1
        self._cpu_limit_hz = min(mode.cpu_hz, board.cpu_steps_hz[cpu_most - self._cpu_throttle.state])
        self._gpu_limit_hz = min(mode.gpu_hz, board.gpu_steps_hz[gpu_most - self._gpu_throttle.state])
        depth = 1.0
        if self._hardware.on:
            depth = board.hardware_throttle_depth
        self._cpu_hz, self._gpu_hz = self._cpu_limit_hz * depth, self._gpu_limit_hz * depth

    def _power_now(self, load: Load) -> Power:
        if self._shut_down:
            return Power(0.0, 0.0, 0.0, 0.0, 0.0)
        temperatures = self._thermal.temperatures_c
        return self._model.power(
            load,
            cores=self._mode.cores,
            cpu_hz=self._cpu_hz,
            gpu_hz=self._gpu_hz,
            emc_hz=self._mode.emc_hz,
            cpu_c=float(temperatures[CPU]),
            gpu_c=float(temperatures[GPU]),
            soc_c=float(temperatures[SOC]),
            extra_w=self.extra_power_w,
        )

    def _over_current_per_s(self) -> float:
        began_s, before = self._over_current_seen[0]
        elapsed_s = self._time_s - began_s
        return (self._over_current_events() - before) / elapsed_s if elapsed_s > 0.0 else 0.0

    def _over_current_events(self) -> int:
        return self._over_current.average_events + self._over_current.peak_events

    def _find_mode(self, name: str) -> SimulatedPowerMode:
        if name not in self.board.modes:
            raise ValueError(f"there is no power mode '{name}'; there are {', '.join(self.board.modes)}")
        return self.board.modes[name]

    # ---- what comes out

    def stored_j(self) -> float:
        """Return the heat stored above the ambient temperature."""
        return self._thermal.stored_j(self.ambient_c)

    def state(self) -> PlantState:
        """Return the state now."""
        temperatures = self._thermal.temperatures_c.tolist()
        load, memory, over = self._load, self._memory, self._over_current
        slowed = self._cpu_throttle.state > 0 or self._gpu_throttle.state > 0
        return PlantState(
            time_s=self._time_s,
            ambient_c=self.ambient_c,
            cpu_c=temperatures[CPU],
            gpu_c=temperatures[GPU],
            soc_c=temperatures[SOC],
            package_c=temperatures[PACKAGE],
            sink_c=temperatures[SINK],
            case_c=temperatures[CASE],
            fan_rpm=self._fan.rpm,
            fan_pwm=self._fan.pwm,
            power_mode=self._mode.name,
            cores=self._mode.cores,
            cpu_hz=self._cpu_hz,
            gpu_hz=self._gpu_hz,
            emc_hz=self._mode.emc_hz,
            cpu_limit_hz=self._cpu_limit_hz,
            gpu_limit_hz=self._gpu_limit_hz,
            cpu_load=load.cpu,
            gpu_load=load.gpu,
            emc_load=self._power.emc_load,
            power=self._power,
            energy_j=self._energy_j,
            throttling=slowed or self._hardware.on,
            shut_down=self._shut_down,
            cpu_cooling_state=self._cpu_throttle.state,
            gpu_cooling_state=self._gpu_throttle.state,
            average_over_current_events=over.average_events,
            peak_over_current_events=over.peak_events,
            over_current_per_s=self._over_current_per_s(),
            hot_surface=self._hot_surface.on,
            memory_available_mb=memory.available_mb,
            memory_pressure=memory.pressure,
            memory_stalled_s=memory.stalled_s,
            swap_used_mb=memory.swap_used_mb,
            out_of_memory=memory.out_of_memory,
            board=self.board,
        )
