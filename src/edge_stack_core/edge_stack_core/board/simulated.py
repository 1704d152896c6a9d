# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where the simulated board of a stack keeps its files, and a reader that does not mind whether they are there yet.

In place of a folder, "simulated" stands for that of the board simulated in the same ROS domain by the same user.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.board.types import BoardState

SIMULATED = "simulated"
MARK = "etc/edge_stack_simulated_board"
"""File that says that a folder is the tree of a simulated board; written first when it is made."""


def board_folder(root: str) -> str:
    """Return the folder that is meant: root itself, or that of the simulated board."""
    if root != SIMULATED:
        return root
    return f"/dev/shm/edge_stack_board_{os.getuid()}_{os.environ.get('ROS_DOMAIN_ID', '0')}"


class SimulatedReader:
    """A BoardReader of a tree that comes with its node: until it is there, it tells nothing."""

    name = JetsonSysfsReader.name

    def __init__(self) -> None:
        """Remember where to look."""
        self._folder = board_folder(SIMULATED)
        self._reader: JetsonSysfsReader | None = None
        self._pids: tuple[int, ...] = ()

    @property
    def losses(self) -> int:
        """How often a source was lost, since the tree was first seen."""
        return 0 if self._reader is None else self._reader.losses

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes whose memory is told by pid."""
        self._pids = tuple(pids)
        if self._reader is not None:
            self._reader.watch(self._pids)

    def read(self, now_s: float) -> BoardState:
        """Return the state now. Never raises."""
        if self._reader is None and os.path.exists(f"{self._folder}/{MARK}"):
            self._reader = JetsonSysfsReader(self._folder)
            self._reader.watch(self._pids)
        if self._reader is None:
            return BoardState(time_s=now_s, source=self.name)
        return self._reader.read(now_s)

    def close(self) -> None:
        """Hold nothing any more."""
        self._reader = None
