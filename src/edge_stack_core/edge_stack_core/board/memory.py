# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Memory as one pool: on a Jetson CPU and GPU share it, so that what a model takes on the GPU is gone for everybody.

The unit is one reading of /proc/meminfo and /proc/pressure/memory, and of the processes that were asked about. No stock
kernel of a Jetson has pressure stall information; /proc/vmstat stands in for it there.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping

from edge_stack_core.board.files import BoardFiles

_MEMINFO = "/proc/meminfo"
_PRESSURE = "/proc/pressure/memory"
_VMSTAT = "/proc/vmstat"
# What tasks wait for when memory is short, and about how long each time, s. A refault reads a page again that was evicted
# shortly before (what the kernel's own stall information counts too): from zram, an SSD or a card, 10 us to 1 ms. An
# allocation stall reclaims pages itself first. Files that are read for the first time are in neither.
_REFAULT_S, _STALL_S = 1e-4, 1e-3
_REFAULTS = ("workingset_refault_anon", "workingset_refault_file", "workingset_refault")
_SWAPPED_IN = "pswpin"  # for kernels that count no refaults
_STALLS = "allocstall"  # by zone: allocstall_normal, allocstall_movable, ...
_AVERAGE_S = 10.0  # as avg10
# Who holds memory of the GPU, by process; readable by root.
_NVMAP = "/sys/kernel/debug/nvmap/iovmm/clients"
_MIB_PER_KIB = 1.0 / 1024.0
# Part of the memory that an allocation must leave: below the kernel's watermarks every task stalls while pages are
# reclaimed. 4 % of 8 GB, 305 MiB, is twice the high watermark there.
RESERVE = 0.04
_AVG10 = re.compile(r"^some avg10=([0-9.]+) ", re.MULTILINE)
_NVMAP_CLIENT = re.compile(r"^\s*user\s+(\S+)\s+(\d+)\s+(\d+)K\s*$", re.MULTILINE)


def largest_allocation_mb(total_mb: float, available_mb: float) -> float:
    """
    Return the largest allocation that would still fit.

    What bounds it is what the kernel can free without swapping (MemAvailable), less the reserve. Fragmentation does not:
    malloc, CUDA and nvmap all map single pages, so that /proc/buddyinfo and tegrastats' largest free block say nothing
    about them. Swap is left out: a model in swap meets no deadline.
    """
    return max(0.0, available_mb - RESERVE * total_mb)


class MemoryReader:
    """The pool of one board."""

    def __init__(self, files: BoardFiles) -> None:
        """Read below the root of files."""
        self._files = files
        self._psi = False
        self._stalls = _StallEstimate()

    def read(self, now_s: float) -> dict[str, float | None]:
        """Return the memory fields of BoardState, without those of processes."""
        info = self._files.parse(_MEMINFO, _meminfo)
        pressure = self._files.parse(_PRESSURE, _pressure)
        self._psi = self._psi or pressure is not None
        if not self._psi:  # not built in, or switched off: then the file is not there, or cannot be read
            waited_s = self._files.parse(_VMSTAT, _waited_s)
            pressure = None if waited_s is None else self._stalls.add(waited_s, now_s)
        if info is None:
            return {"memory_pressure": pressure}
        total, available, swap_used = info
        return {
            "memory_total_mb": total,
            "memory_available_mb": available,
            "swap_used_mb": swap_used,
            "memory_pressure": pressure,
            "largest_allocation_mb": largest_allocation_mb(total, available),
        }

    def gpu_mb(self) -> dict[int, float]:
        """Return what processes hold of the GPU's memory, by pid, where the kernel lets us see (nvmap, root)."""
        clients = self._files.parse(_NVMAP, _NVMAP_CLIENT.findall) or ()
        held: dict[int, float] = {}
        for _, pid, kib in clients:
            held[int(pid)] = held.get(int(pid), 0.0) + int(kib) * _MIB_PER_KIB
        return held


class _StallEstimate:
    """Share of the last 10 s in which some task waited for memory, estimated from counts of what tasks wait for."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._share = 0.0

    def add(self, waited_s: float, now_s: float) -> float | None:
        """Take the time that was waited since boot; None at the first reading."""
        last, self._last = self._last, (waited_s, now_s)
        if last is None:
            return None
        elapsed_s = now_s - last[1]
        if elapsed_s > 0.0:
            share = min(1.0, max(0.0, waited_s - last[0]) / elapsed_s)
            self._share += (share - self._share) * (1.0 - math.exp(-elapsed_s / _AVERAGE_S))
        return self._share


class ProcessMemory:
    """
    Share of each process that is watched, MiB: proportional set size, so that pages that several map count once in all.

    The kernel walks all pages of a process for it (1 to 10 ms), so that each call asks for one process in turn; in between
    its share moves with its resident size, which costs nothing. Processes are always those of this machine.
    """

    def __init__(self, processes: str = "/proc") -> None:
        """Read below this folder."""
        self._folder = processes
        self._pids: tuple[int, ...] = ()
        self._turn = 0
        self._shared_mb: dict[int, float] = {}  # resident size less proportional size
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / 2.0**20

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes to watch; they may change at any time."""
        self._pids = tuple(pids)
        self._shared_mb = {pid: mb for pid, mb in self._shared_mb.items() if pid in self._pids}

    def read(self) -> dict[int, float]:
        """Return the share by pid; those that are gone are left out."""
        if self._pids:
            self._turn = (self._turn + 1) % len(self._pids)
            self._measure(self._pids[self._turn])
        shares = {}
        for pid in self._pids:
            resident = self._resident_mb(pid)
            if resident is not None:
                shares[pid] = max(0.0, resident - self._shared_mb.get(pid, 0.0))
        return shares

    def _measure(self, pid: int) -> None:
        resident = self._resident_mb(pid)
        try:
            with open(f"{self._folder}/{pid}/smaps_rollup", encoding="ascii") as file:
                kib = next(float(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (OSError, ValueError, LookupError, StopIteration):
            return  # of another user, or gone: the resident size stands for it
        if resident is not None:
            self._shared_mb[pid] = resident - kib * _MIB_PER_KIB

    def _resident_mb(self, pid: int) -> float | None:
        try:
            with open(f"{self._folder}/{pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * self._page_mb
        except (OSError, ValueError, LookupError):
            return None


def _meminfo(text: str) -> tuple[float, float, float]:
    """Total, available and used swap, MiB. ValueError or LookupError where the first two are missing or senseless."""
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree"):
            fields[name] = int(rest.split()[0]) * _MIB_PER_KIB
    total, available = fields["MemTotal"], fields["MemAvailable"]
    swap_used = fields.get("SwapTotal", 0.0) - fields.get("SwapFree", 0.0)
    if not (0.0 < total < 1e8 and 0.0 <= available <= total and 0.0 <= swap_used < 1e8):
        raise ValueError(f"{total} MiB in all, {available} available and {swap_used} of swap cannot be")
    return total, available, swap_used


def _waited_s(text: str) -> float:
    """Return about how long tasks have waited for memory since boot. ValueError where nothing of it is counted."""
    counts: dict[str, float] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name in _REFAULTS or name == _SWAPPED_IN or name.startswith(_STALLS):
            counts[name] = float(int(rest))
    if not counts:
        raise ValueError("no counts of refaults, swap or allocation stalls")
    return _REFAULT_S * _refaults(counts) + _STALL_S * sum(
        count for name, count in counts.items() if name.startswith(_STALLS)
    )


def _refaults(counts: Mapping[str, float]) -> float:
    refaults = [counts[name] for name in _REFAULTS if name in counts]
    return sum(refaults) if refaults else counts.get(_SWAPPED_IN, 0.0)


def _pressure(text: str) -> float:
    """PSI some avg10 as a share, 0..1."""
    match = _AVG10.search(text)
    if match is None:
        raise ValueError("no avg10")
    share = float(match.group(1)) / 100.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{share} is no share")
    return share
