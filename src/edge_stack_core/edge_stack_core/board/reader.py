# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The one interface of all board readers, and the choice of the best for this machine.

A reader is asked about once a second, from one thread. It never raises: what a board does not tell is None, what it told
before and does not now is listed in the state's `lost`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Protocol

from edge_stack_core.board.files import SIMULATED, BoardFiles
from edge_stack_core.board.jetson_files import is_jetson
from edge_stack_core.board.jetson_stats import SOCKET, JetsonStatsReader
from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.board.limits import BoardLimits
from edge_stack_core.board.linux import LinuxReader
from edge_stack_core.board.nvml import NvmlReader
from edge_stack_core.board.simulated import SimulatedReader
from edge_stack_core.board.types import BoardState
from edge_stack_core.errors import ConfigurationError

READERS = ("auto", "jetson_stats", "jetson_sysfs", "nvml", "linux")


class BoardReader(Protocol):
    """Reads one board. name: the source that its states name. losses: how often a source was lost, since the start."""

    name: str

    @property
    def limits(self) -> BoardLimits | None:
        """The board's limits; None for a board that is not known."""

    @property
    def losses(self) -> int:
        """How often a source was lost, since the start."""

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes whose memory is told by pid."""

    def read(self, now_s: float) -> BoardState:
        """Return the state now; now_s is what it bears as its time. Never raises."""

    def close(self) -> None:
        """Let go of what is held."""


def open_reader(sysfs_root: str = "/", kind: str = "auto", limits: BoardLimits | None = None) -> BoardReader:
    """
    Open a reader.

    sysfs_root: the folder below which sysfs, procfs and configuration are: "/" for this machine, "simulated" for the board
    simulated in this ROS domain (which need not run yet), or the path of a tree.
    kind: one of READERS; auto takes the first of them that works here.
    limits: of a board that boards/*.yaml do not know.
    Raises ConfigurationError for an unknown kind, for a folder that is not there, for a file of boards/ that is wrong, and
    where a named kind does not work.
    """
    if kind not in READERS:
        raise ConfigurationError(f"board reader '{kind}' is unknown; there are {', '.join(READERS)}")
    if sysfs_root == SIMULATED and kind in ("auto", SimulatedReader.name):
        return SimulatedReader(limits)
    if not os.path.isdir(sysfs_root):
        raise ConfigurationError(f"{sysfs_root} is no folder; a board's files are looked for below it")
    this_machine = os.path.realpath(sysfs_root) == "/"
    if kind in ("jetson_stats", "nvml") and not this_machine:
        raise ConfigurationError(f"the board reader {kind} reads this machine, not files below {sysfs_root}")
    if kind == "auto":
        return _best(sysfs_root, this_machine, limits)
    if kind == "jetson_stats":
        return JetsonStatsReader(limits=limits)
    if kind == "nvml":
        return NvmlReader(limits=limits)
    reader = JetsonSysfsReader if kind == "jetson_sysfs" else LinuxReader
    return reader(sysfs_root, limits)


def _best(sysfs_root: str, this_machine: bool, limits: BoardLimits | None) -> BoardReader:
    if is_jetson(BoardFiles(sysfs_root)):
        if this_machine and os.path.exists(SOCKET):
            try:
                return JetsonStatsReader(limits=limits)
            except ConfigurationError:
                pass  # without the service its files tell nearly as much
        return JetsonSysfsReader(sysfs_root, limits)
    if this_machine:
        try:
            return NvmlReader(limits=limits)
        except ConfigurationError:
            pass  # a PC without an NVIDIA GPU
    return LinuxReader(sysfs_root, limits)
