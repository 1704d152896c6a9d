# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The machine: board, cores, memory, clocks, GPU, cameras."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_stack.doctor.findings import Finding, Level, read


def board() -> Iterator[Finding]:
    """Look at what the machine is and how much of it there is."""
    model = read("/proc/device-tree/model") or read("/sys/class/dmi/id/product_name") or platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    fact = f"{model}, {cores} cores, {memory_gb:.1f} GB, Linux {os.uname().release}"
    if cores < 2:
        yield Finding("machine", Level.NOTE, fact, "the demo is made for two cores; give it one more")
    elif memory_gb < 3.5:
        yield Finding(
            "machine", Level.NOTE, fact, "the stack alone takes 1.5 GB; leave out nodes with --disable"
        )
    else:
        yield Finding("machine", Level.GOOD, fact)
    governors = {read(path) for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor")}
    if "powersave" in governors and not _sets_its_own_speed():
        yield Finding(
            "CPU clock", Level.NOTE, "governor powersave", "sudo cpupower frequency-set -g performance"
        )


def _sets_its_own_speed() -> bool:
    """Return whether the processor itself speeds up under the governor powersave."""
    driver = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver")
    return driver in ("intel_pstate", "amd-pstate-epp")


def gpu() -> Iterator[Finding]:
    """Look for an NVIDIA GPU, discrete or of a Jetson."""
    tegra = read("/etc/nv_tegra_release")
    if tegra:
        found = re.search(r"R(\d+).*?REVISION: ([\d.]+)", tegra)
        yield Finding("GPU", Level.GOOD, f"Jetson, L4T {found[1]}.{found[2]}" if found else "Jetson")
        return
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30.0, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            yield Finding("GPU", Level.GOOD, "; ".join(answer.stdout.strip().splitlines()))
        else:
            text = (answer.stdout + answer.stderr).strip().splitlines()
            yield Finding(
                "GPU", Level.NOTE, text[0] if text else "nvidia-smi fails", "mend the NVIDIA driver"
            )
        return
    yield Finding("GPU", Level.GOOD, "none from NVIDIA; the demo runs on the CPU")


def cameras() -> Iterator[Finding]:
    """Look for V4L2 cameras that this user may open."""
    found = sorted(Path("/dev").glob("video*"))
    if not found:
        yield Finding("cameras", Level.GOOD, "none; the demo renders its own pictures")
        return
    names = [f"{path} ({read(f'/sys/class/video4linux/{path.name}/name') or 'no name'})" for path in found]
    if all(os.access(path, os.R_OK | os.W_OK) for path in found):
        yield Finding("cameras", Level.GOOD, ", ".join(names))
    else:
        remedy = "sudo usermod -aG video $USER, then log in again"
        yield Finding("cameras", Level.NOTE, f"{', '.join(names)}; not all may be opened", remedy)
