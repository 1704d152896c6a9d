# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A board's files as one mapping of path to text, which a person with a board can send and a test can build a tree of.

Everything that the readers read is in it and nothing that names a person or a single machine: no serial numbers, no host
name, no processes. What cannot be read is told as readers meet it: !EAGAIN, !ENODATA, !EACCES. Links are followed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fnmatch import fnmatchcase

from edge_stack_core.board.files import BoardFiles

_PATTERNS = (
    "/proc/device-tree/compatible",
    "/proc/device-tree/model",
    "/etc/nv_tegra_release",
    "/etc/nvpmodel.conf",
    "/var/lib/nvpmodel/status",
    "/sys/devices/soc0/family",
    "/sys/devices/soc0/soc_id",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
    "/sys/class/thermal/thermal_zone*/mode",
    "/sys/class/thermal/thermal_zone*/trip_point_*",
    "/sys/class/thermal/thermal_zone*/cdev*_*",
    "/sys/class/thermal/thermal_zone*/cdev*/type",
    "/sys/class/thermal/cooling_device*/type",
    "/sys/class/thermal/cooling_device*/*_state",
    "/sys/class/hwmon/hwmon*/name",
    "/sys/class/hwmon/hwmon*/in*",
    "/sys/class/hwmon/hwmon*/curr*",
    "/sys/class/hwmon/hwmon*/power*_*",
    "/sys/class/hwmon/hwmon*/temp*",
    "/sys/class/hwmon/hwmon*/oc*",
    "/sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*",
    "/sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input",
    "/sys/class/devfreq/*/*_freq",
    "/sys/class/devfreq/*/available_frequencies",
    "/sys/class/devfreq/*/device/load",
    "/sys/devices/gpu.0/load",
    "/sys/devices/platform/gpu.0/load",
    "/sys/devices/platform/17000000.gpu/load",
    "/sys/devices/platform/bus@0/17000000.gpu/load",
    "/sys/devices/system/cpu/cpufreq/policy*/affected_cpus",
    "/sys/devices/system/cpu/cpufreq/policy*/*_freq",
    "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
    "/sys/kernel/nvpmodel_clk_cap/emc",
    "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap",
    "/sys/kernel/debug/bpmp/debug/clk/emc/*rate",
    "/sys/kernel/debug/cactmon/mc_all",
    "/proc/meminfo",
    "/proc/vmstat",
    "/proc/pressure/memory",
    "/proc/stat",
)


def board_files(root: str = "/") -> dict[str, str]:
    """Return the files below a root, by their paths on the board. Never raises."""
    files = BoardFiles(root)
    return {
        path: _text(files, path)
        for pattern in _PATTERNS
        for path in _matching(files, "", pattern[1:].split("/"))
    }


def _matching(files: BoardFiles, folder: str, parts: list[str]) -> Iterator[str]:
    part, *left = parts
    names = files.names(folder or "/") if "*" in part else [part]
    for name in names:
        if not fnmatchcase(name, part):
            continue
        path = f"{folder}/{name}"
        if left:
            yield from _matching(files, path, left)
        elif files.exists(path):
            yield path


def _text(files: BoardFiles, path: str) -> str:
    try:
        text = files.read(path)
    except (OSError, ValueError) as error:
        return f"!{errno.errorcode.get(getattr(error, 'errno', None) or 0, 'EIO')}"
    # The rest of it is a line a core, and counts of every interrupt.
    return text.split("\n", 1)[0] + "\n" if path == "/proc/stat" else text
