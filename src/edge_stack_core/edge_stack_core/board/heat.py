# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Thermal zones and cooling devices of Linux: how hot it is, and whether heat holds a clock down.

https://docs.kernel.org/driver-api/thermal/sysfs-api.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_stack_core.board.files import BoardFiles

_ZONES = "/sys/class/thermal"
_HWMON = "/sys/class/hwmon"
# A sensor that is off tells -256 (Jetson) or absolute zero; nothing that still computes is hotter than 150.
_LOW_C, _HIGH_C = -60.0, 150.0
_THROTTLING_TRIPS = ("passive", "hot", "critical")
# Cooling devices that hold a clock down; fans cool without. Jetson: cpufreq-cpu0, devfreq-17000000.gpu, cpu-throttle-alert.
_CLOCK_COOLERS = ("cpufreq", "devfreq", "throttle", "gpu", "processor")
# Where this zone is, it alone tells how hot the processor is. The others of such a PC are of skin, wireless and chipset, and
# their passive trips (45 to 65 C) mean nothing for it.
_X86_PACKAGE = "x86_pkg_temp"
# Sensors of processors that have no thermal zone: AMD's and Intel's.
_CPU_SENSORS = ("k10temp", "zenpower", "coretemp")
# x86 counts each time a package got too hot, and has no state that says "now".
_THROTTLE_COUNT = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"


@dataclass(frozen=True, slots=True)
class _Sensor:
    name: str
    path: str
    counts: bool  # for throttling
    passive_c: float | None = None  # where the kernel begins to throttle


class Heat:
    """Temperatures and thermal throttling of one board."""

    def __init__(self, files: BoardFiles) -> None:
        """Find zones, sensors and cooling devices."""
        self._files = files
        self._sensors = _zones(files) or _cpu_sensors(files)
        if not any(sensor.counts for sensor in self._sensors):  # a kernel that tells no trips
            self._sensors = [replace(s, counts=True) for s in self._sensors]
        self._devices: list[str] = []
        self._coolers: list[str] = []
        self._last_count: float | None = None

    def temperatures_c(self) -> tuple[dict[str, float], float | None]:
        """Return temperatures by zone, and the highest of those that count for throttling."""
        found, highest = {}, None
        for sensor in self._sensors:
            value = self._files.number(sensor.path, _LOW_C, _HIGH_C, 1e-3)
            if value is None:
                continue
            found[sensor.name] = value
            if sensor.counts:
                highest = value if highest is None else max(highest, value)
        return found, highest

    def throttle_temperature_c(self) -> float | None:
        """Return the temperature at which the kernel begins to throttle; None where it does not tell."""
        return min((s.passive_c for s in self._sensors if s.passive_c is not None), default=None)

    def throttling(self) -> bool | None:
        """Return whether heat holds a clock down now (x86: since the last call); None where nothing tells."""
        # They come and go with the clocks that they hold down: those of a cluster without cores online are gone, not lost.
        devices = self._files.names(_ZONES, "cooling_device")
        if devices != self._devices:
            self._devices = devices
            self._coolers = [f"{_ZONES}/{name}/cur_state" for name in devices if self._holds_clock_down(name)]
        states = [self._files.number(path, 0.0, 1e4) for path in self._coolers]
        told = [state > 0.0 for state in states if state is not None]
        count = self._files.number(_THROTTLE_COUNT, 0.0, 1e15)
        if count is not None:
            told.append(self._last_count is not None and count > self._last_count)
            self._last_count = count
        return any(told) if told else None

    def _holds_clock_down(self, device: str) -> bool:
        kind = (self._files.text(f"{_ZONES}/{device}/type") or "").lower()
        return any(known in kind for known in _CLOCK_COOLERS)


def _zones(files: BoardFiles) -> list[_Sensor]:
    sensors: list[_Sensor] = []
    names: set[str] = set()
    for zone in files.names(_ZONES, "thermal_zone"):
        kind = files.text(f"{_ZONES}/{zone}/type") or zone
        # PMIC-Die of older Jetsons always tells 50 C.
        if kind.startswith("PMIC"):
            continue
        if kind in names:
            kind = f"{kind}-{zone.removeprefix('thermal_zone')}"
        names.add(kind)
        folder = f"{_ZONES}/{zone}"
        trips = {
            name.removesuffix("_type"): files.text(f"{folder}/{name}")
            for name in files.names(folder, "trip_point_")
            if name.endswith("_type")
        }
        counts = any(trip in _THROTTLING_TRIPS for trip in trips.values())
        passive = (
            files.number(f"{folder}/{name}_temp", 0.0, _HIGH_C, 1e-3)
            for name, trip in trips.items()
            if trip == "passive"
        )
        lowest = min((trip_c for trip_c in passive if trip_c), default=None)
        sensors.append(_Sensor(kind, f"{folder}/temp", counts, lowest))
    if any(sensor.name == _X86_PACKAGE for sensor in sensors):
        sensors = [
            s if s.name.startswith(_X86_PACKAGE) else replace(s, counts=False, passive_c=None)
            for s in sensors
        ]
    return sensors


def _cpu_sensors(files: BoardFiles) -> list[_Sensor]:
    sensors = []
    for chip in files.names(_HWMON, "hwmon"):
        name = files.text(f"{_HWMON}/{chip}/name")
        if name not in _CPU_SENSORS:
            continue
        for entry in files.names(f"{_HWMON}/{chip}", "temp"):
            if entry.endswith("_input"):
                label = files.text(f"{_HWMON}/{chip}/{entry.replace('_input', '_label')}") or entry
                sensors.append(_Sensor(f"{name} {label}", f"{_HWMON}/{chip}/{entry}", True))
    return sensors
