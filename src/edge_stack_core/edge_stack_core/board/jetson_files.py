# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What only a Jetson has: INA3221 power rails, the nvpmodel mode, over-current events."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from edge_stack_core.board.files import BoardFiles

_HWMON = "/sys/class/hwmon"
_CONFIG = "/etc/nvpmodel.conf"
_STATUS = "/var/lib/nvpmodel/status"
_MODE = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
_DEFAULT_MODE = re.compile(r"^<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", re.MULTILINE)
_STATUS_MODE = re.compile(r"pmode:(\d+)")
# The input of the whole module or board; where none is, the rails are all there is and are added up.
_INPUTS = ("VIN", "VDD_IN", "POM_5V_IN")
# A rail that is fed by another one of the board, which measures it too (AGX Orin: r36.4.3 developer guide, "Software-based
# power consumption modeling").
_PART_OF = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
# Monitor of a whole board's input, which tells power by itself (AGX Thor).
_INPUT_MONITOR, _INPUT_LABEL = "ina238", "VIN"
# JetPack 4 has its monitors under iio, which tells power by itself.
_IIO = "/sys/bus/i2c/drivers/ina3221x"
_MOST_W = 1000.0
_EVENTS_S = 10.0
# What tells a Jetson where its device tree cannot be seen, as in a container: Tegra's GPU, its family of chips.
_TEGRA_GPU = "17000000."
_SOC_FAMILY = "/sys/devices/soc0/family"


def is_jetson(files: BoardFiles) -> bool:
    """Whether the files are those of a Jetson."""
    compatible = files.text("/proc/device-tree/compatible") or ""
    if "nvidia,tegra" in compatible or files.exists("/etc/nv_tegra_release"):
        return True
    return (
        "tegra" in (files.text(_SOC_FAMILY) or "").lower()
        or any(name.startswith(_TEGRA_GPU) for name in files.names("/sys/class/devfreq"))
        or any(rail.label in _INPUTS for rail in _rails(files))
    )


class _Rail(NamedTuple):
    label: str
    volts: str  # file of mV
    amperes: str  # file of mA
    critical: str  # file of the current in mA beyond which the board slows itself down


class PowerRails:
    """
    Power by rail, from INA3221 monitors: bus voltage times current. https://docs.kernel.org/hwmon/ina3221.html.

    An AGX Thor has an INA238 besides, which tells the power of the whole board: https://docs.kernel.org/hwmon/ina238.html.
    JetPack 4 has no hwmon of them, and tells power under iio.
    """

    def __init__(self, files: BoardFiles) -> None:
        """Find the rails."""
        self._files = files
        self._rails = _rails(files)
        self._iio = [] if self._rails else _iio_rails(files)
        self._input = next(
            (
                f"{_HWMON}/{chip}/power1_input"
                for chip in files.names(_HWMON, "hwmon")
                if files.text(f"{_HWMON}/{chip}/name") == _INPUT_MONITOR
            ),
            None,
        )

    def read_w(self) -> tuple[dict[str, float], float | None]:
        """Return power by rail, and in all."""
        power = {}
        if self._input is not None:
            whole = self._files.number(self._input, 0.0, _MOST_W, 1e-6)
            if whole is not None:
                power[_INPUT_LABEL] = whole
        for rail in self._rails:
            volts = self._files.number(rail.volts, 0.0, 100.0, 1e-3)
            # A rail that is off may tell a few mA below nothing.
            amperes = self._files.number(rail.amperes, -1.0, 200.0, 1e-3)
            if volts is not None and amperes is not None and volts * amperes < _MOST_W:
                power[rail.label] = max(0.0, volts * amperes)
        for label, path in self._iio:
            watts = self._files.number(path, 0.0, _MOST_W, 1e-3)
            if watts is not None:
                power[label] = watts
        total = next((power[name] for name in _INPUTS if name in power), None)
        labels = [*(rail.label for rail in self._rails), *(label for label, _ in self._iio)]
        named = self._input is not None or any(label in _INPUTS for label in labels)
        if total is None and power and not named:
            total = sum(watts for label, watts in power.items() if _PART_OF.get(label) not in power)
        return power, total

    def limit_w(self) -> float | None:
        """Return the power of the whole module beyond which over-current protection slows it down; None if not told."""
        rail = next((rail for rail in self._rails if rail.label in _INPUTS), None)
        if rail is None:
            return None
        volts = self._files.number(rail.volts, 0.0, 100.0, 1e-3)
        amperes = self._files.number(rail.critical, 0.1, 200.0, 1e-3)
        return None if volts is None or amperes is None else volts * amperes


def _rails(files: BoardFiles) -> list[_Rail]:
    rails = []
    for chip in files.names(_HWMON, "hwmon"):
        folder = f"{_HWMON}/{chip}"
        if not (files.text(f"{folder}/name") or "").startswith("ina3221"):
            continue
        for entry in files.names(folder, "in"):
            match = re.fullmatch(r"in(\d+)_label", entry)
            label = files.text(f"{folder}/{entry}") if match else None
            if match is None or not label or label == "NC" or label.startswith("sum of"):
                continue
            current = f"{folder}/curr{match.group(1)}"
            rails.append(
                _Rail(label, f"{folder}/in{match.group(1)}_input", f"{current}_input", f"{current}_crit")
            )
    return rails


def _iio_rails(files: BoardFiles) -> list[tuple[str, str]]:
    """Labels and files of power, mW, of the monitors as JetPack 4 has them."""
    rails = []
    for chip in files.names(_IIO):
        for device in files.names(f"{_IIO}/{chip}", "iio:device"):
            folder = f"{_IIO}/{chip}/{device}"
            for entry in files.names(folder, "rail_name_"):
                label = files.text(f"{folder}/{entry}")
                if label and label != "NC":
                    rails.append((label, f"{folder}/in_power{entry.removeprefix('rail_name_')}_input"))
    return rails


class NvpmodelMode:
    """The nvpmodel mode by name."""

    def __init__(self, files: BoardFiles) -> None:
        """Read which modes there are."""
        self._files = files
        text = files.text(_CONFIG) or ""
        self._names = {int(number): name for number, name in _MODE.findall(text)}
        default = _DEFAULT_MODE.search(text)
        self._default = None if default is None else int(default.group(1))
        self._told = False

    def read(self) -> str | None:
        """
        Return the mode's name, or its number where nvpmodel.conf does not name it.

        Until nvpmodel has run for the first time there is no status, and its default is in force.
        """
        number = self._files.parse(_STATUS, _mode_number)
        self._told = self._told or number is not None
        if not self._told:
            number = self._default
        return None if number is None else self._names.get(number, str(number))


class OverCurrentEvents:
    """
    Counters of soctherm: under-voltage, average and peak over-current, since boot.

    They count edges: some boards count 30 a second far below their limit, others none. Only many of them while the power is
    near the limit tell that the board slows itself down.
    """

    def __init__(self, files: BoardFiles) -> None:
        """Find the counters."""
        self._files = files
        self._seen: deque[tuple[float, int]] = deque()
        self._counters = [
            f"{_HWMON}/{chip}/{entry}"
            for chip in files.names(_HWMON, "hwmon")
            if files.text(f"{_HWMON}/{chip}/name") == "soctherm_oc"
            for entry in files.names(f"{_HWMON}/{chip}", "oc")
            if entry.endswith("_event_cnt")
        ]

    def read(self, now_s: float) -> tuple[int | None, float | None]:
        """Return the number of events, and how many there were in a second over the last 10 s."""
        counts = [self._files.number(path, 0.0, 2.0**32) for path in self._counters]
        known = [int(count) for count in counts if count is not None]
        if not known:
            return None, None
        events = sum(known)
        if self._seen and events < self._seen[-1][1]:
            self._seen.clear()  # the driver was loaded anew
        self._seen.append((now_s, events))
        while now_s - self._seen[0][0] > _EVENTS_S:
            self._seen.popleft()
        began_s, before = self._seen[0]
        return events, (events - before) / (now_s - began_s) if now_s > began_s else None


def _mode_number(text: str) -> int:
    match = _STATUS_MODE.search(text)
    if match is None:
        raise ValueError("no pmode")
    return int(match.group(1))
