# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Thermal zones and cooling devices of Linux: how hot it is, and whether heat holds a clock down.

https://docs.kernel.org/driver-api/thermal/sysfs-api.html
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_stack_core.board.files import BoardFiles

_ZONES = "/sys/class/thermal"
_HWMON = "/sys/class/hwmon"
# Nothing that still computes is hotter than 150, and absolute zero means that there is no value.
_LOW_C, _HIGH_C = -60.0, 150.0
# JetPack 5 passes on the firmware's "off" as a value, where later releases answer EAGAIN: the unit is powered down.
_OFF_MILLI_C = -256_000
# So many readings in a row without any temperature that counts are a loss. Single zones sleep, all of them at once at most
# for a moment.
ASLEEP_READINGS = 5
_ANY_ZONE = "temperature"
_THROTTLING_TRIPS = ("passive", "hot", "critical")
# Cooling devices that hold a clock down. Jetson: cpufreq-cpu0, devfreq-17000000.gpu, cpu-throttle-alert. Fans cool without,
# and hot-surface-alert (70 C on an Orin Nano) is a notice that one should not touch it.
_CLOCK_COOLERS = ("cpufreq", "devfreq", "throttle", "gpu", "processor")
# Where this zone is, it alone tells how hot the processor is. The others of such a PC are of skin, wireless and chipset, and
# their passive trips (45 to 65 C) mean nothing for it.
_X86_PACKAGE = "x86_pkg_temp"
# The processor's own sensors, AMD's and Intel's: where one is, ACPI's zones say nothing (some tell one number for ever).
_CPU_SENSORS = ("k10temp", "zenpower", "coretemp")
# AMD adds up to 27 K to Tctl for the fan's sake on some processors, which then tell the true one as Tdie.
_AMD_FAN, _AMD_DIE = "Tctl", "Tdie"
# x86 counts each time a package got too hot, and has no state that says "now".
_THROTTLE_COUNT = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"


@dataclass(frozen=True, slots=True)
class _Sensor:
    name: str
    path: str
    counts: bool  # for throttling
    passive_c: float | None = None  # where the kernel begins to throttle
    bound: bool = False  # whether it was seen that the trip acts on a clock


class Heat:
    """Temperatures and thermal throttling of one board."""

    def __init__(self, files: BoardFiles, throttle_c: float | None = None) -> None:
        """
        Find zones, sensors and cooling devices.

        throttle_c: where the board throttles as its maker says; holds where the kernel does not tell what its trips act on.
        """
        self._files = files
        self._sensors = _with_processor(_zones(files), _cpu_sensors(files))
        if not any(sensor.counts for sensor in self._sensors):  # a kernel that tells no trips
            self._sensors = [replace(s, counts=True) for s in self._sensors]
        self._throttle_c = self._kernel_throttle_c(throttle_c)
        self._devices: list[str] = []
        self._coolers: list[str] = []
        self._last_count: float | None = None
        self._silent = 0
        if self._throttle_c is not None and self._sensors:
            files.expect(_ANY_ZONE)

    def temperatures_c(self) -> tuple[dict[str, float], float | None]:
        """
        Return temperatures by zone, and the highest of those that count for throttling.

        That none of them tells for a while, as when the power firmware hangs, is a loss.
        """
        found, highest = {}, None
        for sensor in self._sensors:
            value = self._files.parse(sensor.path, _temperature_c)
            if value is None:
                continue
            found[sensor.name] = value
            if sensor.counts:
                highest = value if highest is None else max(highest, value)
        self._silent = 0 if highest is not None else self._silent + 1
        self._files.take(_ANY_ZONE, lambda: self._told(highest))
        return found, highest

    def throttle_temperature_c(self) -> float | None:
        """Return the temperature at which the board begins to throttle; None where nobody tells."""
        return self._throttle_c

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
        return _is_clock_cooler(self._files.text(f"{_ZONES}/{device}/type"))

    def _told(self, highest: float | None) -> float:
        if highest is not None:
            return highest
        if self._silent < ASLEEP_READINGS:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        raise ValueError("no zone tells a temperature")

    def _kernel_throttle_c(self, maker_c: float | None) -> float | None:
        trips = [s for s in self._sensors if s.passive_c is not None]
        lowest = min((s.passive_c for s in trips if s.passive_c is not None), default=None)
        if maker_c is None or (trips and all(s.bound for s in trips)):
            return lowest
        return maker_c


def _is_clock_cooler(kind: str | None) -> bool:
    return any(known in (kind or "").lower() for known in _CLOCK_COOLERS)


def _temperature_c(text: str) -> float:
    milli_c = float(text.split(maxsplit=1)[0])
    if milli_c == _OFF_MILLI_C:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    value = milli_c * 1e-3
    if not _LOW_C <= value <= _HIGH_C:  # NaN too
        raise ValueError(f"{value} C cannot be")
    return value


def _passive_trip_c(
    files: BoardFiles, folder: str, trips: Mapping[str, str | None]
) -> tuple[float | None, bool]:
    """
    Return where a zone begins to hold clocks down, and whether that was seen from what its trips are bound to.

    Where the zone has links to cooling devices (cdevN with cdevN_trip_point), a passive trip counts only if one that holds a
    clock down is bound to it: https://docs.kernel.org/driver-api/thermal/sysfs-api.html#sysfs-attributes-structure.
    """
    acting = {
        f"trip_point_{files.text(f'{folder}/{name}_trip_point')}": None
        for name in files.names(folder, "cdev")
        if name[4:].isdigit() and _is_clock_cooler(files.text(f"{folder}/{name}/type"))
    }
    bound = any(name[4:].isdigit() for name in files.names(folder, "cdev"))
    passive = [name for name, kind in trips.items() if kind == "passive" and (not bound or name in acting)]
    values = (files.number(f"{folder}/{name}_temp", 0.0, _HIGH_C, 1e-3) for name in passive)
    return min((value for value in values if value), default=None), bound


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
        passive_c, bound = _passive_trip_c(files, folder, trips)
        sensors.append(_Sensor(kind, f"{folder}/temp", counts, passive_c, bound))
    return sensors


def _with_processor(zones: list[_Sensor], processor: list[_Sensor]) -> list[_Sensor]:
    """Return the sensors of a machine, of which only the processor's own count where there are such."""
    package = [s for s in zones if s.name.startswith(_X86_PACKAGE)]
    if not package and not processor:
        return zones
    others = [replace(s, counts=False, passive_c=None) for s in zones if s not in package]
    return [*others, *(package or processor)]


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
    if any(s.name.endswith(_AMD_DIE) for s in sensors):
        sensors = [replace(s, counts=not s.name.endswith(_AMD_FAN)) for s in sensors]
    return sensors
