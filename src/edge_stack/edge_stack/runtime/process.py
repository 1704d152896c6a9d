# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a process of the stack sets about itself (title, cores, nice, scheduling policy), and what it uses.

Each setting that the system refuses comes back as a sentence with the remedy; none of them raises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

try:
    from setproctitle import setproctitle
except ImportError:  # cosmetic: ps then shows python
    setproctitle = None

_POLICIES = {"other": os.SCHED_OTHER, "batch": os.SCHED_BATCH, "idle": os.SCHED_IDLE, "fifo": os.SCHED_FIFO}

RIGHTS_REMEDY = (
    "allow it with `@realtime - rtprio 98`, `@realtime - memlock unlimited` and `@realtime - nice -20` in "
    "/etc/security/limits.d/realtime.conf, add the user to the group realtime and log in again"
)


@dataclass(frozen=True)
class ProcessSettings:
    """title: as in ps. cpu_affinity: cores, empty for all. scheduling_priority: 1..99, used with fifo only."""

    title: str = ""
    cpu_affinity: Sequence[int] = ()
    nice: int = 0
    scheduling_policy: str = "other"
    scheduling_priority: int = 10


@dataclass(frozen=True)
class Usage:
    """Resident memory, MiB, and CPU use since the last sample, percent of one core."""

    rss_mb: float
    cpu_pct: float


def apply_process_settings(settings: ProcessSettings) -> list[str]:
    """Apply the settings to this process; return what was refused, with the remedy."""
    refused = []
    if settings.title and setproctitle is not None:
        setproctitle(settings.title)
    if settings.cpu_affinity:
        present = os.sched_getaffinity(0)
        wanted = set(settings.cpu_affinity)
        if wanted <= present:
            os.sched_setaffinity(0, wanted)
        else:
            cores = ", ".join(map(str, sorted(present)))
            refused.append(f"cpu_affinity {sorted(wanted)}: this process may only use the cores {cores}")
    if settings.nice != 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, settings.nice)
        except PermissionError:
            refused.append(f"nice {settings.nice} is not permitted; {RIGHTS_REMEDY}")
    if settings.scheduling_policy != "other":
        policy = _POLICIES[settings.scheduling_policy]
        priority = settings.scheduling_priority if settings.scheduling_policy == "fifo" else 0
        try:
            os.sched_setscheduler(0, policy, os.sched_param(priority))
        except PermissionError:
            refused.append(f"scheduling_policy {settings.scheduling_policy} is not permitted; {RIGHTS_REMEDY}")
    return refused


class ProcessUsage:
    """Samples the use of this process."""

    def __init__(self) -> None:
        """Start the first CPU interval now."""
        self._process = psutil.Process()
        self._cpu_s = time.process_time()
        self._at_s = time.monotonic()
        self._cpu_pct = 0.0

    def sample(self) -> Usage:
        """Return the use since the sample before; CPU is averaged over at least one second."""
        now_s = time.monotonic()
        if now_s - self._at_s >= 1.0:
            cpu_s = time.process_time()
            self._cpu_pct = 100.0 * (cpu_s - self._cpu_s) / (now_s - self._at_s)
            self._cpu_s, self._at_s = cpu_s, now_s
        return Usage(self._process.memory_info().rss / 2**20, self._cpu_pct)
