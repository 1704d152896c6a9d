# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Who commands the robot, of several processes that could: exactly one at any time, and another within two periods if it fails.

Its unit of work is one tick: turn() says whether this process is to command, take() makes sure of it, give() tells what was
commanded. Two things keep a second command from going out. The owner word names who commands. The pen, a lock that ends
with its process, is held from the look at that word until the command is out. So a process that was stopped (SIGSTOP, a
frozen machine) and wakes up finds another owner and commands nothing. One that was stopped with the pen in its hand keeps
it, and nobody commands until it is ended, which the supervisor does. An owner is replaced at once when its process has
ended, and when it has not ticked for SILENT_PERIODS. A robot that nobody commands is the principal's first: a standby
begins after SILENT_PERIODS. While nobody wants commands, because the node that the others stand
by for was deactivated, nobody commands. Nothing here knows clocks or files: tested over any order of steps and deaths.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_stack_core.runtime import command_page
from edge_stack_core.runtime.command_page import Locks, Words

PHASE = 0.45
"""Ticks of a standby come so many periods after the owner's, give or take the tolerance."""
_PHASE_TOLERANCE = 0.05
SILENT_PERIODS = 1.3
"""An owner that has not ticked for so long is replaced: at the standby's tick 1.45 periods after the owner's last one."""
# A process that has not ticked for so many periods is not ready to take over.
_READY_PERIODS = 3


class Why(enum.Enum):
    """Why a process began to command."""

    FREE = "nobody commands"
    ENDED = "the process that commanded has ended"
    SILENT = "the process that commanded is silent"


class SharedPage(Protocol):
    """What a lease needs of the shared page."""

    words: Words
    positions: npt.NDArray[np.float64]
    slot: int
    joints: int
    settled: bool

    @property
    def locks(self) -> Locks:
        """Locks of this process."""

    def is_lost(self) -> bool:
        """Return whether others do not know of this page any more."""


class Lease:
    """One process's part in it. For the thread that commands; want() and the properties for any."""

    def __init__(self, page: SharedPage, period_ns: int, *, standby: bool = False) -> None:
        """Command nothing yet. standby: leave a robot that nobody commands to the node that this one stands by for first."""
        self._page = page
        self._standby = standby
        self._me = page.slot + 1
        self._period_ns = period_ns
        self.began: Why | None = None
        """Why this process began to command last."""

    @property
    def commands(self) -> bool:
        """Whether this process commands."""
        return bool(self._page.words[command_page.W_OWNER] == self._me)

    @property
    def wanted(self) -> bool:
        """Whether anybody is to command."""
        return bool(self._page.words[command_page.W_WANTED])

    @property
    def takeovers(self) -> int:
        """How often another process began to command."""
        return int(self._page.words[command_page.W_TAKEOVERS])

    def standby_ready(self, now_ns: int) -> bool:
        """Whether another process ticks that could take over."""
        words, limit_ns = self._page.words, _READY_PERIODS * self._period_ns
        return any(
            slot != self._page.slot and words[command_page.W_ALIVE + slot] > now_ns - limit_ns
            for slot in range(command_page.SLOTS)
        )

    def want(self, wanted: bool, now_ns: int) -> None:
        """Say whether anybody is to command. Once nobody was, commands begin anew, at the measured position."""
        words = self._page.words
        if wanted and words[command_page.W_OWNER] == 0:
            words[command_page.W_BEAT] = now_ns  # from now on the robot is free: before anybody may look
        words[command_page.W_WANTED] = int(wanted)
        if not wanted:
            words[command_page.W_COMMANDED] = 0

    def leave(self) -> None:
        """Stop commanding, in good order: another one may begin."""
        words = self._page.words
        words[command_page.W_ALIVE + self._page.slot] = 0
        if words[command_page.W_OWNER] == self._me:
            words[command_page.W_OWNER] = 0

    # ---- each tick, in this order

    def turn(self, now_ns: int) -> bool:
        """Say that this process ticks, and return whether it is to command."""
        words = self._page.words
        words[command_page.W_ALIVE + self._page.slot] = now_ns
        if not words[command_page.W_WANTED]:
            return False
        return words[command_page.W_OWNER] == self._me or self._grounds(now_ns) is not None

    def last_command(self) -> tuple[npt.NDArray[np.float64] | None, int]:
        """Return a copy of the last command [A] and when it went out, ns; None if there was none yet."""
        commanded_ns = int(self._page.words[command_page.W_COMMANDED])
        return (self._page.positions[: self._page.joints].copy() if commanded_ns else None), commanded_ns

    def take(self, now_ns: int) -> bool:
        """Take the pen if this process is to command; then it must be given back by give()."""
        if self._is_another_page():
            return False
        locks, words = self._page.locks, self._page.words
        if not locks.try_lock(command_page.L_PEN):
            return False
        if words[command_page.W_WANTED]:
            if words[command_page.W_OWNER] == self._me:
                return True
            why = self._grounds(now_ns)
            if why is not None:
                words[command_page.W_OWNER] = self._me
                words[command_page.W_TAKEOVERS] += words[command_page.W_COMMANDED] != 0
                self.began = why
                return True
        locks.unlock(command_page.L_PEN)
        return False

    def give(
        self, positions: Sequence[float] | npt.NDArray[np.float64] | None, now_ns: int, release_ns: int
    ) -> None:
        """Tell what was commanded (None: nothing yet), and give the pen back."""
        words = self._page.words
        if positions is not None:
            self._page.positions[: self._page.joints] = positions
            words[command_page.W_COMMANDED] = now_ns
        words[command_page.W_BEAT], words[command_page.W_RELEASE] = now_ns, release_ns
        self._page.locks.unlock(command_page.L_PEN)

    def shift_ns(self, release_ns: int) -> int:
        """Return by how much a standby's ticks should be put off, so that they come PHASE after the owner's."""
        words, period_ns = self._page.words, self._period_ns
        if words[command_page.W_OWNER] in (0, self._me):
            return 0
        late_ns = (words[command_page.W_RELEASE] + int(PHASE * period_ns) - release_ns) % period_ns
        tolerance_ns = int(_PHASE_TOLERANCE * period_ns)
        return 0 if min(late_ns, period_ns - late_ns) <= tolerance_ns else late_ns

    def _is_another_page(self) -> bool:
        """Return whether another process may command by an older page than this one, or by a newer one."""
        return not self._page.settled or self._page.is_lost()

    def _grounds(self, now_ns: int) -> Why | None:
        words = self._page.words
        owner = words[command_page.W_OWNER]
        silent = now_ns - words[command_page.W_BEAT] > SILENT_PERIODS * self._period_ns
        if owner == 0:
            return Why.FREE if silent or not self._standby else None
        if not self._page.locks.is_locked(command_page.L_SLOTS + owner - 1):
            return Why.ENDED
        return Why.SILENT if silent else None
