# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A board's files as one mapping of path to text, which a person with a board can send and a test can build a tree of.

Everything that the readers read is in it and nothing that names a person or a single machine: no serial numbers, no host
name, no processes. What cannot be read is told as readers meet it: !EAGAIN, !ENODATA, !EACCES; a link is "-> TARGET".
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator

# Beside /sys/class, where every entry is a link to the device itself: the links are followed, the texts are what counts.
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
    "/sys/class/thermal/thermal_zone*/cdev*",
    "/sys/class/thermal/cooling_device*/type",
    "/sys/class/thermal/cooling_device*/*_state",
    "/sys/class/hwmon/hwmon*/name",
    "/sys/class/hwmon/hwmon*/in*",
    "/sys/class/hwmon/hwmon*/curr*",
    "/sys/class/hwmon/hwmon*/power*_*",
    "/sys/class/hwmon/hwmon*/temp*",
    "/sys/class/hwmon/hwmon*/oc*",
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
)
_STAT = "/proc/stat"
_MOST_BYTES = 1 << 16


def board_files(root: str = "/") -> dict[str, str]:
    """Return the files below a root, by their paths on the board. Never raises."""
    base = root.rstrip("/")
    texts = {path: text for path, text in _texts(base)}
    stat = _text(f"{base}{_STAT}")
    texts[_STAT] = stat.split("\n", 1)[0] + "\n"  # the rest is one line a core, and counts of every interrupt
    return texts


def _texts(base: str) -> Iterator[tuple[str, str]]:
    for pattern in _PATTERNS:
        for found in sorted(glob.glob(glob.escape(base) + pattern)):
            path = found[len(base) :]
            if os.path.isdir(found):
                if os.path.islink(found):  # cdevN of a zone
                    yield path, f"-> {os.readlink(found)}"
                continue
            yield path, _text(found)


def _text(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _MOST_BYTES).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"!{errno.errorcode.get(error.errno or 0, 'EIO')}"
