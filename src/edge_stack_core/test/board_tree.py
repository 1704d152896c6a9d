# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Trees of files as boards have them, written from what `cat` shows there."""

from __future__ import annotations

import json
import os
from pathlib import Path

# An Orin Nano 8GB (P3767-0003) at 25 W, JetPack 6. cv0-thermal has no `temp`: reading it fails on the board.
ORIN_NANO = {
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0003-super\0nvidia,p3767-0003\0nvidia,tegra234\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": (
        "# comment\n< PARAM TYPE=FILE NAME=CPU_ONLINE >\nCORE_0 /sys/devices/system/cpu/cpu0/online\n\n"
        "< POWER_MODEL ID=0 NAME=15W >\nGPU MAX_FREQ 612000000\n"
        "< POWER_MODEL ID=1 NAME=25W >\nGPU MAX_FREQ 918000000\n"
        "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nGPU MAX_FREQ -1\n< PM_CONFIG DEFAULT=1 >\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0001 fmode:fan_mode_quiet\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51218\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
    "sys/class/thermal/thermal_zone0/trip_point_1_type": "passive\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_temp": "104500\n",
    "sys/class/thermal/thermal_zone0/trip_point_1_temp": "99000\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "51593\n",
    "sys/class/thermal/thermal_zone1/trip_point_0_type": "critical\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone8/temp": "51718\n",
    "sys/class/thermal/thermal_zone8/trip_point_0_type": "critical\n",
    "sys/class/thermal/thermal_zone9/type": "nvme\n",
    "sys/class/thermal/thermal_zone9/temp": "70000\n",
    "sys/class/thermal/thermal_zone9/trip_point_0_type": "active\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "2\n",
    "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device1/cur_state": "0\n",
    "sys/class/thermal/cooling_device2/type": "devfreq-17000000.gpu\n",
    "sys/class/thermal/cooling_device2/cur_state": "0\n",
    "sys/devices/system/cpu/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1344000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy4/affected_cpus": "4 5\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq": "1728000\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "612000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "918000000\n",
    "sys/class/devfreq/17000000.gpu/available_frequencies": "306000000 408000000 918000000 1020000000 \n",
    "sys/class/devfreq/17000000.gpu/device/load": "374\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/max_rate": "3199000000\n",
    "sys/kernel/debug/cactmon/mc_all": "63990000\n",
    "sys/kernel/debug/nvmap/iovmm/clients": (
        "CLIENT                        PROCESS      PID        SIZE\n"
        "user                          python3     1234    204800K\n"
        "user                          python3     1234      2048K\n"
        "total                                              206848K\n"
    ),
    "sys/class/hwmon/hwmon0/name": "pwmfan\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/in1_input": "5016\n",
    "sys/class/hwmon/hwmon1/curr1_input": "1500\n",
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
    "sys/class/hwmon/hwmon1/in2_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr2_input": "400\n",
    "sys/class/hwmon/hwmon1/in3_label": "VDD_SOC\n",
    "sys/class/hwmon/hwmon1/in3_input": "5000\n",
    "sys/class/hwmon/hwmon1/curr3_input": "-3\n",
    "sys/class/hwmon/hwmon1/in7_label": "sum of shunt voltages\n",
    "sys/class/hwmon/hwmon1/in7_input": "16\n",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon3/oc2_event_cnt": "15\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "37\n",
    "sys/class/hwmon/hwmon3/oc3_throt_en": "1\n",
    "proc/meminfo": (
        "MemTotal:        7802880 kB\nMemFree:          512000 kB\nMemAvailable:    4096000 kB\n"
        "Buffers:           10000 kB\nSwapTotal:       3901440 kB\nSwapFree:        3799040 kB\n"
    ),
    "proc/pressure/memory": (
        "some avg10=12.50 avg60=3.00 avg300=0.70 total=123456\nfull avg10=1.00 avg60=0.10 avg300=0.00 total=1\n"
    ),
    "proc/stat": "cpu  1000 0 500 8000 100 0 0 0 0 0\ncpu0 10 0 0 0 0 0 0 0 0 0\nintr 1\n",
}

# A PC with an AMD processor: no thermal zones, no thermal cooling devices.
PC = {
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "90000\n",
    "sys/class/hwmon/hwmon1/name": "k10temp\n",
    "sys/class/hwmon/hwmon1/temp1_input": "62500\n",
    "sys/class/hwmon/hwmon1/temp1_label": "Tctl\n",
    "sys/devices/system/cpu/cpufreq/policy0/affected_cpus": "0\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "3400000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "4850000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "7\n",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below root and return it."""
    for path, text in files.items():
        put(root, path, text)
    return root


def put(root: Path, path: str, text: str | bytes) -> None:
    """Write one file."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())


class BoardCopy:
    """
    The files of a board's JSON as a tree, with texts that have a meaning.

    !EAGAIN: reading fails so (a pipe that is held open); another error: left out; -> X: a link, whose absolute targets are
    meant below the root; => X: an absolute link as it is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._held: dict[str, int] = {}

    def write(self, file: Path) -> Path:
        """Make the tree, or change it to another file's; returns its root."""
        for path, text in json.loads(file.read_text(encoding="utf-8"))["files"].items():
            target = self.root / path.lstrip("/")
            if text.startswith("!") and text != "!EAGAIN":
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_symlink() or target.exists():
                target.unlink()
            if path in self._held:
                os.close(self._held.pop(path))
            if text == "!EAGAIN":
                os.mkfifo(target)
                self._held[path] = os.open(target, os.O_RDWR)
            elif text.startswith("=> "):
                target.symlink_to(text[3:])
            elif text.startswith("-> "):
                target.symlink_to(f"{self.root}{text[3:]}" if text[3] == "/" else text[3:])
            else:
                target.write_text(text, encoding="utf-8")
        return self.root

    def close(self) -> None:
        """Let go of the pipes."""
        for descriptor in self._held.values():
            os.close(descriptor)
