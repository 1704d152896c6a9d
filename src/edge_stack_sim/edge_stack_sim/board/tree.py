# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated board as a live tree of files, in the formats and at the paths of Jetson Linux on an Orin Nano Super.

The unit is one write() of a PlantState: each file whose text changed is replaced as a whole, so that a reader sees the old
or the new text, never half of one. docs/board.md lists the paths.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_stack_core.board.files import MARK
from edge_stack_sim.board.plant import PlantState
from edge_stack_sim.board.spec import BoardSpec

_THERMAL = "sys/class/thermal"
_HWMON = "sys/class/hwmon"
_CPU = "sys/devices/system/cpu"
_GPU_DEVICE = "sys/devices/platform/bus@0/17000000.gpu"
_GPU = f"{_GPU_DEVICE}/devfreq/17000000.gpu"
_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"
# Zones in the kernel's order. cv0 to cv2 have no sensor value on an Orin Nano: reading them fails, here as there.
_ZONES = (
    ("cpu-thermal", True),
    ("gpu-thermal", True),
    ("cv0-thermal", True),
    ("cv1-thermal", True),
    ("cv2-thermal", True),
    ("soc0-thermal", True),
    ("soc1-thermal", True),
    ("soc2-thermal", True),
    ("tj-thermal", False),
)
_POLICIES = ((0, (0, 1, 2, 3)), (4, (4, 5)))  # cpufreq policies and their cores
_HOT_SURFACE = "hot-surface-alert"
_MONITORS = {"R36.4": 1, "R39.2": 4}
_RELEASE_LINES = {
    "R36.4": "# R36 (release), REVISION: 4.4, GCID: 41062509, BOARD: generic, EABI: aarch64\n",
    "R39.2": "# R39 (release), REVISION: 2.1, BOARD: generic, EABI: aarch64\n",
}
_BUDDY_ORDERS = 11
_JIFFY_S = 0.01


class BoardTree:
    """
    The files of one board below root.

    Raises OSError if root cannot be written, FileExistsError if it holds something else than a simulated board.
    """

    def __init__(self, root: str | Path, state: PlantState) -> None:
        """Make the tree anew, with this state."""
        self.root = Path(root)
        self._texts: dict[str, str] = {}
        self._busy_s = self._idle_s = 0.0
        self._last_s = state.time_s
        self.remove()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._put(MARK, "")
        for path, text in _constant(state.board):
            self._put(path, text)
        for path, target in _links(state.board):
            link = self.root / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        self.write(state)

    def write(self, state: PlantState) -> None:
        """Bring the files up to date."""
        elapsed_s = max(0.0, state.time_s - self._last_s) * state.cores
        self._last_s = state.time_s
        self._busy_s += elapsed_s * state.cpu_load
        self._idle_s += elapsed_s * (1.0 - state.cpu_load)
        for path, text in _changing(state):
            self._put(path, text)
        self._put("proc/stat", _stat(self._busy_s, self._idle_s))

    def remove(self) -> None:
        """Remove the tree, if it is one. FileExistsError if there is something else at its place."""
        if not self.root.exists() or not any(self.root.iterdir()):
            return
        if not (self.root / MARK).exists():
            raise FileExistsError(f"{self.root} is there and is no simulated board; name another folder")
        shutil.rmtree(self.root)
        self._texts.clear()

    def _put(self, path: str, text: str) -> None:
        if self._texts.get(path) == text:
            return
        self._texts[path] = text
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_text(text, encoding="ascii")
        os.replace(beside, target)


def _constant(board: BoardSpec) -> Iterator[tuple[str, str]]:
    """Files that never change, with their texts."""
    yield (
        "sys/firmware/devicetree/base/compatible",
        "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    )
    yield "sys/firmware/devicetree/base/model", f"{board.name}\0"
    yield "etc/nv_tegra_release", _RELEASE_LINES[board.release]
    yield "etc/nvpmodel/nvpmodel_p3767_0003_super.conf", _nvpmodel_conf(board)
    for number, (name, throttles) in enumerate(_ZONES):
        yield f"{_THERMAL}/thermal_zone{number}/type", f"{name}\n"
        for trip, (kind, temperature_c, hysteresis_c) in enumerate(_trips(board, throttles)):
            point = f"{_THERMAL}/thermal_zone{number}/trip_point_{trip}"
            yield f"{point}_type", f"{kind}\n"
            yield f"{point}_temp", f"{temperature_c * 1e3:.0f}\n"
            yield f"{point}_hyst", f"{hysteresis_c * 1e3:.0f}\n"
        for link, (_, trip) in enumerate(_bindings(name, throttles)):
            yield f"{_THERMAL}/thermal_zone{number}/cdev{link}_trip_point", f"{trip}\n"
            yield f"{_THERMAL}/thermal_zone{number}/cdev{link}_weight", "0\n"
    for number, (name, most) in enumerate(_coolers(board)):
        yield f"{_THERMAL}/cooling_device{number}/type", f"{name}\n"
        yield f"{_THERMAL}/cooling_device{number}/max_state", f"{most}\n"
    khz = [f"{step / 1e3:.0f}" for step in board.cpu_steps_hz]
    for policy, _ in _POLICIES:
        folder = f"{_CPU}/cpufreq/policy{policy}"
        yield f"{folder}/scaling_available_frequencies", " ".join(khz) + " \n"
        yield f"{folder}/cpuinfo_min_freq", khz[0] + "\n"
        yield f"{folder}/cpuinfo_max_freq", khz[-1] + "\n"
        yield f"{folder}/scaling_governor", "schedutil\n"
    yield f"{_GPU}/available_frequencies", " ".join(f"{step:.0f}" for step in board.gpu_steps_hz) + "\n"
    yield f"{_GPU}/governor", "nvhost_podgov\n"
    yield f"{_EMC}/max_rate", f"{board.emc_hz:.0f}\n"
    monitor = _monitor(board)
    yield f"{_HWMON}/hwmon0/name", "pwmfan\n"
    yield f"{monitor}/name", "ina3221\n"
    for channel, label in (
        (1, "VDD_IN"),
        (2, "VDD_CPU_GPU_CV"),
        (3, "VDD_SOC"),
        (7, "sum of shunt voltages"),
    ):
        yield f"{monitor}/in{channel}_label", f"{label}\n"
    for limit in ("max", "crit"):
        yield f"{monitor}/curr1_{limit}", f"{board.input_limit_ma:.0f}\n"
    yield f"{_HWMON}/hwmon2/name", "pwm_tach\n"
    yield f"{_HWMON}/hwmon3/name", "soctherm_oc\n"
    for number in (1, 2, 3):
        yield f"{_HWMON}/hwmon3/oc{number}_throt_en", "1\n"


def _links(board: BoardSpec) -> Iterator[tuple[str, str]]:
    """Symbolic links that never change, with their targets: absolute ones as on the board, where they lead from the root."""
    yield "proc/device-tree", "/sys/firmware/devicetree/base"
    yield "etc/nvpmodel.conf", "/etc/nvpmodel/nvpmodel_p3767_0003_super.conf"
    yield "sys/class/devfreq/17000000.gpu", "../../devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu"
    yield f"{_GPU}/device", "../../../17000000.gpu"
    numbers = {name: number for number, (name, _) in enumerate(_coolers(board))}
    for number, (zone, throttles) in enumerate(_ZONES):
        for link, (cooler, _) in enumerate(_bindings(zone, throttles)):
            yield f"{_THERMAL}/thermal_zone{number}/cdev{link}", f"../cooling_device{numbers[cooler]}"


def _coolers(board: BoardSpec) -> list[tuple[str, int]]:
    """Cooling devices and their highest states."""
    cpu, gpu = len(board.cpu_steps_hz) - 1, len(board.gpu_steps_hz) - 1
    clocks = [("cpufreq-cpu0", cpu), ("cpufreq-cpu4", cpu), ("devfreq-17000000.gpu", gpu)]
    alerts = [(_alert(zone), 1) for zone, throttles in _ZONES if throttles]
    return [("pwm-fan", 3), *clocks, *alerts, (_HOT_SURFACE, 1)]


def _alert(zone: str) -> str:
    return f"{zone.removesuffix('-thermal')}-throttle-alert"


def _trips(board: BoardSpec, throttles: bool) -> list[tuple[str, float, float]]:
    """Type, temperature and hysteresis of a zone's trips, in their order."""
    shutdown = ("critical", board.shutdown_c, 0.0)
    if not throttles:
        return [*(("active", temperature_c, 4.0) for temperature_c in (35.0, 74.0, 95.0)), shutdown]
    low, high = board.hot_surface_c
    return [("passive", board.throttle_c, 0.0), shutdown, ("passive", high, high - low)]


def _bindings(zone: str, throttles: bool) -> list[tuple[str, int]]:
    """Cooling devices of a zone, and the number of the trip at which each acts."""
    if not throttles:
        return [("pwm-fan", trip) for trip in range(3)]
    clocks = ("cpufreq-cpu0", "cpufreq-cpu4", "devfreq-17000000.gpu", _alert(zone))
    return [*((cooler, 0) for cooler in clocks), (_HOT_SURFACE, 2)]


def _monitor(board: BoardSpec) -> str:
    """Folder of the INA3221: its number differs from release to release."""
    return f"{_HWMON}/hwmon{_MONITORS[board.release]}"


def _changing(state: PlantState) -> Iterator[tuple[str, str]]:
    """Files that follow the state, with their texts."""
    board = state.board
    temperatures = state.temperatures_c
    for number, (name, _) in enumerate(_ZONES):
        if name in temperatures:
            yield f"{_THERMAL}/thermal_zone{number}/temp", f"{temperatures[name] * 1e3:.0f}\n"
    alert = int(state.tj_c >= board.throttle_c)
    cooling = (
        round(state.fan_pwm / 85),
        state.cpu_cooling_state,
        state.cpu_cooling_state,
        state.gpu_cooling_state,
        *(alert for _, throttles in _ZONES if throttles),
        int(state.hot_surface),
    )
    for number, step in enumerate(cooling):
        yield f"{_THERMAL}/cooling_device{number}/cur_state", f"{step}\n"

    for policy, cores in _POLICIES:
        folder = f"{_CPU}/cpufreq/policy{policy}"
        online = [str(core) for core in cores if core < state.cores]
        yield f"{folder}/affected_cpus", " ".join(online) + "\n"
        yield f"{folder}/scaling_cur_freq", f"{state.cpu_hz / 1e3:.0f}\n"
        yield f"{folder}/scaling_max_freq", f"{state.cpu_limit_hz / 1e3:.0f}\n"
    for core in range(board.cores):
        yield f"{_CPU}/cpu{core}/online", f"{int(core < state.cores)}\n"
    yield f"{_CPU}/online", f"0-{state.cores - 1}\n"
    yield f"{_GPU}/cur_freq", f"{state.gpu_hz:.0f}\n"
    yield f"{_GPU}/max_freq", f"{state.gpu_limit_hz:.0f}\n"
    yield f"{_GPU_DEVICE}/load", f"{state.gpu_load * 1e3:.0f}\n"
    yield f"{_EMC}/rate", f"{state.emc_hz:.0f}\n"
    yield "sys/kernel/nvpmodel_clk_cap/emc", f"{state.emc_hz:.0f}\n"
    yield "sys/kernel/debug/cactmon/mc_all", f"{state.emc_load * 100.0 * state.emc_hz / 1e3:.0f}\n"

    yield f"{_HWMON}/hwmon0/pwm1", f"{state.fan_pwm}\n"
    yield f"{_HWMON}/hwmon2/rpm", f"{state.fan_rpm:.0f}\n"
    for channel, watts in enumerate(state.rails_w.values(), 1):
        yield f"{_monitor(board)}/in{channel}_input", f"{board.input_volts * 1e3:.0f}\n"
        yield f"{_monitor(board)}/curr{channel}_input", f"{watts / board.input_volts * 1e3:.0f}\n"
    events = (0, state.average_over_current_events, state.peak_over_current_events)
    for number, count in enumerate(events, 1):
        yield f"{_HWMON}/hwmon3/oc{number}_event_cnt", f"{count}\n"
    yield "var/lib/nvpmodel/status", f"pmode:{board.modes[state.power_mode].index:04d}\n"

    yield "proc/meminfo", _meminfo(state)
    yield "proc/vmstat", _vmstat(state)
    if board.psi:
        yield "proc/pressure/memory", _pressure(state)
    yield "proc/buddyinfo", _buddyinfo(state)


def _vmstat(state: PlantState) -> str:
    """Counters that grow as tasks stall: pages that are read again from zram, 0.1 ms each."""
    refaults = int(state.memory_stalled_s * 1e4)
    return (
        f"workingset_refault_anon {refaults}\nworkingset_refault_file 0\npgmajfault {refaults}\n"
        f"pswpin {refaults}\nallocstall_normal 0\nallocstall_movable 0\n"
    )


def _pressure(state: PlantState) -> str:
    stall = f"avg10={state.memory_pressure * 100.0:.2f} avg60=0.00 avg300=0.00"
    return f"some {stall} total={state.memory_stalled_s * 1e6:.0f}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def _meminfo(state: PlantState) -> str:
    swap = state.board.swap_total_mb
    rows = {
        "MemTotal": state.board.memory_total_mb,
        "MemFree": 0.9 * state.memory_available_mb,
        "MemAvailable": state.memory_available_mb,
        "SwapTotal": swap,
        "SwapFree": swap - state.swap_used_mb,
    }
    return "".join(f"{name + ':':<16}{mib * 1024.0:8.0f} kB\n" for name, mib in rows.items())


def _buddyinfo(state: PlantState) -> str:
    """Nine tenths of free memory in blocks of 4 MiB, the rest in pages."""
    free_kib = 0.9 * state.memory_available_mb * 1024.0
    blocks = [0] * _BUDDY_ORDERS
    blocks[-1] = int(0.9 * free_kib / 4096.0)
    blocks[0] = int(0.1 * free_kib / 4.0)
    return "Node 0, zone   Normal " + " ".join(f"{count:6d}" for count in blocks) + " \n"


def _stat(busy_s: float, idle_s: float) -> str:
    """All of the load is user time."""
    return f"cpu  {busy_s / _JIFFY_S:.0f} 0 0 {idle_s / _JIFFY_S:.0f} 0 0 0 0 0 0\n"


def _nvpmodel_conf(board: BoardSpec) -> str:
    lines = []
    for mode in sorted(board.modes.values(), key=lambda mode: mode.index):
        lines.append(f"< POWER_MODEL ID={mode.index} NAME={mode.name} >")
        lines += [f"CPU_ONLINE CORE_{core} {int(core < mode.cores)}" for core in range(board.cores)]
        lines += [f"CPU_A78_{policy} MAX_FREQ {mode.cpu_hz / 1e3:.0f}" for policy, _ in _POLICIES]
        lines += [f"GPU MAX_FREQ {mode.gpu_hz:.0f}", f"EMC MAX_FREQ {mode.emc_hz:.0f}", ""]
    lines.append(f"< PM_CONFIG DEFAULT={board.modes[board.default_mode].index} >")
    return "\n".join(lines) + "\n"
