# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A reader of the simulated board of a stack that does not mind whether its files are there yet."""

from __future__ import annotations

import os
from collections.abc import Collection

from edge_stack_core.board.files import MARK, SIMULATED, board_folder
from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.board.limits import BoardLimits
from edge_stack_core.board.types import BoardState


class SimulatedReader:
    """A BoardReader of a tree that comes with its node: until it is there, it tells nothing."""

    name = JetsonSysfsReader.name

    def __init__(self, limits: BoardLimits | None = None) -> None:
        """Remember where to look. limits: of the board, where its own name shall not decide."""
        self._limits = limits
        self._folder = board_folder(SIMULATED)
        self._reader: JetsonSysfsReader | None = None
        self._pids: tuple[int, ...] = ()

    @property
    def losses(self) -> int:
        """How often a source was lost, since the tree was first seen."""
        return 0 if self._reader is None else self._reader.losses

    @property
    def limits(self) -> BoardLimits | None:
        """The board's limits; None before the tree was seen."""
        return self._limits if self._reader is None else self._reader.limits

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes whose memory is told by pid."""
        self._pids = tuple(pids)
        if self._reader is not None:
            self._reader.watch(self._pids)

    def read(self, now_s: float) -> BoardState:
        """Return the state now. Never raises."""
        if self._reader is None and os.path.exists(f"{self._folder}/{MARK}"):
            self._reader = JetsonSysfsReader(self._folder, self._limits)
            self._reader.watch(self._pids)
        if self._reader is None:
            return BoardState(time_s=now_s, source=self.name)
        return self._reader.read(now_s)

    def close(self) -> None:
        """Hold nothing any more."""
        self._reader = None
