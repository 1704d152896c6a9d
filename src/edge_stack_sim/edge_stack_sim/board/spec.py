# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The constants of the simulated board, each with its source, or with the reason for its value where none is public.

Sources, by the letters used below:
[K]  Linux device trees of tegra234 (thermal zones and trips of P3767).
[N]  /etc/nvpmodel.conf of the Orin Nano 8GB "super" (P3767-0003), as shipped with L4T 36.4.
[F]  /etc/nvfancontrol.conf of P3767: the fan's `quiet` profile, its temperatures being margins below 105 C.
[M]  Measurements of a P3767-0003 in a closed case, L4T 39.2, published August 2026 ("Fan Curve Tuning on Jetson Orin"):
     rails, frequencies and temperatures at idle, with FP32 load, with tensor and DRAM load, and with all cores beside.
[P]  soctherm of BPMP (hardware throttle, over-current).
[T]  tegrastats lines of Orin Nano Super boards.
[R]  Reasoned; the comment says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MHZ = 1e6


@dataclass(frozen=True)
class SimulatedPowerMode:
    """One nvpmodel mode: what it caps. index: its ID in nvpmodel.conf."""

    name: str
    index: int
    cores: int
    cpu_hz: float
    gpu_hz: float
    emc_hz: float


@dataclass(frozen=True)
class Cooling:
    """
    Where the module's heat goes: heatsink with fan, and the case around it.

    still_conductance_w_k: heatsink to the air around it, fan off. forced_conductance_w_k: what the fan adds at its full
    speed. case_conductance_w_k: the air in the case to the room. case_heat_w: what else heats that air.
    """

    name: str
    still_conductance_w_k: float
    forced_conductance_w_k: float
    case_conductance_w_k: float
    case_capacity_j_k: float
    case_heat_w: float


# The stock heatsink and fan. [R] from [M]: its idle and load points (4.5 W and 45 C at 3266 RPM, 12.8 W and 57 C, 15.3 W
# and 60 C at 6000 RPM, 20.0 W and 66 C at full speed) lie within 3 K of a sink of 0.93 K/W at full speed in air of 35 C.
# Still air: a sink of some 0.03 m2 of fins at 7 W/(m2 K).
_SINK_STILL_W_K = 0.22
_SINK_FORCED_W_K = 0.85

# In the open: the air around the sink is the room's.
OPEN_BENCH = Cooling("open_bench", _SINK_STILL_W_K, _SINK_FORCED_W_K, 50.0, 100.0, 0.0)
# [R] In a robot's closed plastic body of 20 x 12 x 10 cm: 0.1 m2 of outer surface at 6 W/(m2 K) (natural convection and
# radiation) is 0.6 W/K; carrier board, SSD, camera and motor drivers heat the same air with 5 W; air and inner surfaces
# take 400 J/K.
ROBOT_BODY = Cooling("robot_body", _SINK_STILL_W_K, _SINK_FORCED_W_K, 0.6, 400.0, 5.0)
COOLINGS = {cooling.name: cooling for cooling in (OPEN_BENCH, ROBOT_BODY)}


@dataclass(frozen=True)
class BoardSpec:
    """
    A board's constants. Powers at the highest clocks and 45 C unless said otherwise; temperatures in degrees Celsius.

    Each clock and voltage pair of cpu_voltage and gpu_voltage is (Hz, V); between them it is linear, below the first flat.
    """

    name: str = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    cores: int = 6
    # Jetson Linux whose files it has: R36.4 (JetPack 6.2) or R39.2 (JetPack 7.2), which numbers hwmon otherwise and prints
    # tegrastats anew.
    release: str = "R36.4"

    # [N] 7W is in the files of R36.4.4 and later, not in R39.2.1's.
    modes: Mapping[str, SimulatedPowerMode] = field(
        default_factory=lambda: {
            "15W": SimulatedPowerMode("15W", 0, 6, 1497.6 * MHZ, 612 * MHZ, 2133 * MHZ),
            "25W": SimulatedPowerMode("25W", 1, 6, 1344.0 * MHZ, 918 * MHZ, 3199 * MHZ),
            "MAXN_SUPER": SimulatedPowerMode("MAXN_SUPER", 2, 6, 1728.0 * MHZ, 1020 * MHZ, 3199 * MHZ),
            "7W": SimulatedPowerMode("7W", 3, 4, 960.0 * MHZ, 408 * MHZ, 2133 * MHZ),
        }
    )
    default_mode: str = "MAXN_SUPER"

    # Clock steps: multiples of 76.8 and 102 MHz (scaling_available_frequencies, available_frequencies of Orin).
    cpu_steps_hz: tuple[float, ...] = tuple(115.2 * MHZ + 76.8 * MHZ * n for n in range(22))
    gpu_steps_hz: tuple[float, ...] = tuple(306 * MHZ + 102 * MHZ * n for n in range(8))
    emc_hz: float = 3199 * MHZ

    # [R] Orin's voltages are fused per chip and not public: 8 nm at its lowest is 0.6 V, and power measured between the
    # modes ([M]: 20 % more for 29 % and 11 % more clock) allows no more than these.
    cpu_voltage: tuple[tuple[float, float], ...] = ((730 * MHZ, 0.60), (1344 * MHZ, 0.75), (1728 * MHZ, 0.85))
    gpu_voltage: tuple[tuple[float, float], ...] = ((306 * MHZ, 0.60), (612 * MHZ, 0.68), (1020 * MHZ, 0.84))

    # Power. [M]: idle with pinned clocks 6.6 W; FP32 on the GPU adds 6.2 W to VDD_CPU_GPU_CV; tensor and DRAM load adds
    # 2.9 W there, 3.6 W to VDD_SOC, and takes VDD_IN beyond the rails from 2.7 to 6.9 W; all of it and six cores: 20.0 W.
    cpu_dynamic_w: float = 2.8
    gpu_dynamic_w: float = 5.6
    gpu_stall: float = 0.5  # how much less the GPU switches where it waits for a saturated DRAM, see [M]
    clock_w: float = 0.8  # clock trees of CPU and GPU, busy or not
    leakage_w: Mapping[str, float] = field(default_factory=lambda: {"cpu": 0.4, "gpu": 0.5, "soc": 0.3})
    # [R] Leakage of such a process doubles every 35 K.
    leakage_per_k: float = 0.02
    leakage_reference_c: float = 45.0
    soc_base_w: float = 1.3
    soc_emc_w: float = 3.5
    module_base_w: float = 2.6  # DRAM, PMIC and regulators: VDD_IN beyond the two rails
    module_emc_w: float = 4.1
    input_volts: float = 5.016  # [T] VDD_IN of the module, as in1_input shows it

    # Heat. Nodes: cpu, gpu and soc are junctions; package: die, lid, module board; sink; case: the air in the case.
    # [R] Junction capacities: 100 mm2 of silicon, 0.75 mm thick, is 0.12 J/K; with what spreads within a second, ten times
    # that. Package: 60 g of board and lid. Sink: 150 g of aluminium; with it the whole settles in ten minutes, as in [M].
    capacity_j_k: Mapping[str, float] = field(
        default_factory=lambda: {"cpu": 1.5, "gpu": 2.0, "soc": 2.5, "package": 50.0, "sink": 135.0}
    )
    # [R] Junction to package: hot spots of 2 to 4 K at full load, the differences between zones in [T]. Package to sink:
    # thermal pad of the stock heatsink.
    junction_conductance_w_k: Mapping[str, float] = field(
        default_factory=lambda: {"cpu": 1.5, "gpu": 2.0, "soc": 3.0}
    )
    package_conductance_w_k: float = 1.8
    cooling: Cooling = ROBOT_BODY

    # [F] (temperature of tj, RPM) of the profile `quiet`; linear between. The loop runs every 2 s.
    fan_curve_rpm: tuple[tuple[float, float], ...] = (
        (35.0, 0.0),
        (74.0, 4000.0),
        (94.0, 4000.0),
        (95.0, 6000.0),
    )
    fan_period_s: float = 2.0
    fan_full_rpm: float = 6000.0
    fan_exponent: float = 0.7  # [R] forced convection over fins: between laminar 0.5 and turbulent 0.8

    # [K] Passive and critical trips of cpu-, gpu- and soc-thermal, polled every second, and a second passive one, whose only
    # cooling device is a notice that the surface is hot.
    throttle_c: float = 99.0
    hot_surface_c: tuple[float, float] = (62.0, 70.0)  # off below, on above
    shutdown_c: float = 104.5
    throttle_period_s: float = 1.0
    # [P] Hardware throttle of BPMP: on at 103, off at 101. [R] How deep is not public: half the clock.
    hardware_throttle_c: tuple[float, float] = (101.0, 103.0)
    hardware_throttle_depth: float = 0.5

    # curr1_max and curr1_crit of VDD_IN in MAXN_SUPER, mA: 25 W on average (OC2) and at once (OC3). [T]
    input_limit_ma: float = 4984.0
    # [R] OC3 counts edges of what is drawn within milliseconds, which swings about the average by a tenth: so many events a
    # second at the limit (1 to 30 are published). Each halves the clocks for about 1 ms, which no file shows and which costs
    # less than 2 % of the work: it is left out.
    over_current_swing: float = 0.1
    over_current_most_per_s: float = 30.0
    over_current_window_s: float = 1.0  # [P] OC2 averages 512 samples

    # No stock kernel of a Jetson has pressure stall information (CONFIG_PSI).
    psi: bool = False
    # [T] Memory: 7620 MiB in all, 3810 MiB of zram. [R] Used at rest without a desktop, of 645 to 2513 MiB in [T].
    memory_total_mb: float = 7620.0
    swap_total_mb: float = 3810.0
    memory_base_mb: float = 900.0
    # [R] Below it the kernel reclaims and tasks stall: twice the high watermark of 8 GB.
    memory_reserve_mb: float = 300.0

    @property
    def input_limit_w(self) -> float:
        """Power of the module at its input's limit, W."""
        return self.input_volts * self.input_limit_ma * 1e-3


ORIN_NANO_SUPER = BoardSpec()
# [T] JetPack 7.2 leaves a little less memory, and its nvpmodel.conf has no 7W.
_R39 = replace(
    ORIN_NANO_SUPER,
    release="R39.2",
    memory_total_mb=7546.0,
    modes={name: mode for name, mode in ORIN_NANO_SUPER.modes.items() if name != "7W"},
)
RELEASES: Mapping[str, BoardSpec] = {spec.release: spec for spec in (ORIN_NANO_SUPER, _R39)}
