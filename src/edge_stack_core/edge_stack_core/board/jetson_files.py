# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What only a Jetson has: INA3221 power rails, the nvpmodel mode, over-current events."""

from __future__ import annotations

import re

from edge_stack_core.board.files import BoardFiles

_HWMON = "/sys/class/hwmon"
_CONFIG = "/etc/nvpmodel.conf"
_STATUS = "/var/lib/nvpmodel/status"
_MODE = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
_STATUS_MODE = re.compile(r"pmode:(\d+)")
# The input of the whole module or board; where none is, the rails are all there is and are added up.
_INPUTS = ("VDD_IN", "POM_5V_IN")
_MOST_W = 1000.0


def is_jetson(files: BoardFiles) -> bool:
    """Whether the files are those of a Jetson."""
    compatible = files.text("/proc/device-tree/compatible") or ""
    return "nvidia,tegra" in compatible or files.exists("/etc/nv_tegra_release")


class PowerRails:
    """
    Power by rail, from INA3221 monitors: bus voltage times current.

    https://docs.kernel.org/hwmon/ina3221.html
    """

    def __init__(self, files: BoardFiles) -> None:
        """Find the rails."""
        self._files = files
        self._rails: list[tuple[str, str, str]] = []  # label, file of mV, file of mA
        for chip in files.names(_HWMON, "hwmon"):
            folder = f"{_HWMON}/{chip}"
            if not (files.text(f"{folder}/name") or "").startswith("ina3221"):
                continue
            for entry in files.names(folder, "in"):
                match = re.fullmatch(r"in(\d+)_label", entry)
                label = files.text(f"{folder}/{entry}") if match else None
                if match is None or not label or label == "NC" or label.startswith("sum of"):
                    continue
                number = match.group(1)
                self._rails.append((label, f"{folder}/in{number}_input", f"{folder}/curr{number}_input"))

    def read_w(self) -> tuple[dict[str, float], float | None]:
        """Return power by rail, and in all."""
        power = {}
        for label, volts_file, amperes_file in self._rails:
            volts = self._files.number(volts_file, 0.0, 100.0, 1e-3)
            # A rail that is off may tell a few mA below nothing.
            amperes = self._files.number(amperes_file, -1.0, 200.0, 1e-3)
            if volts is not None and amperes is not None and volts * amperes < _MOST_W:
                power[label] = max(0.0, volts * amperes)
        total = next((power[name] for name in _INPUTS if name in power), None)
        named = any(label in _INPUTS for label, _, _ in self._rails)
        if total is None and power and not named:
            total = sum(power.values())
        return power, total


class NvpmodelMode:
    """The nvpmodel mode by name."""

    def __init__(self, files: BoardFiles) -> None:
        """Read which modes there are."""
        self._files = files
        text = files.text(_CONFIG) or ""
        self._names = {int(number): name for number, name in _MODE.findall(text)}

    def read(self) -> str | None:
        """Return the mode's name, or its number where nvpmodel.conf does not name it."""
        number = self._files.parse(_STATUS, _mode_number)
        return None if number is None else self._names.get(number, str(number))


class OverCurrentEvents:
    """Counters of soctherm: under-voltage, average and peak over-current, since boot."""

    def __init__(self, files: BoardFiles) -> None:
        """Find the counters."""
        self._files = files
        self._counters = [
            f"{_HWMON}/{chip}/{entry}"
            for chip in files.names(_HWMON, "hwmon")
            if files.text(f"{_HWMON}/{chip}/name") == "soctherm_oc"
            for entry in files.names(f"{_HWMON}/{chip}", "oc")
            if entry.endswith("_event_cnt")
        ]

    def read(self) -> int | None:
        """Return the number of events."""
        counts = [self._files.number(path, 0.0, 2.0**32) for path in self._counters]
        known = [int(count) for count in counts if count is not None]
        return sum(known) if known else None


def _mode_number(text: str) -> int:
    match = _STATUS_MODE.search(text)
    if match is None:
        raise ValueError("no pmode")
    return int(match.group(1))
