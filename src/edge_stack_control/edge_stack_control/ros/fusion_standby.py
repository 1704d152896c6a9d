# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's part in who commands: the page that it shares with its standby, and its lease of the robot.

A unit is one tick: follow() before the controller's, take() before the command goes out, give() after it. Where the shared
memory cannot be made, fusion commands alone, and says so. Requested stops are in the page and on disk (runtime/stop_set.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_stack_control.controller import Controller, FloatArray
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.runtime.command_page import CommandPage, PageTakenError
from edge_stack_core.runtime.lease import Lease, Why
from edge_stack_core.runtime.run_state import STATE_VARIABLE, RunFiles, StateUnusable
from edge_stack_core.runtime.stop_set import StopSet

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

# An older command of another process says nothing about where the robot is.
_FOLLOW_S = 0.5
_NS = 1_000_000_000


class CommandShare:
    """Who commands, as one fusion process sees it."""

    def __init__(self, node: StackNode) -> None:
        """Share nothing yet."""
        self._node = node
        self._page: CommandPage | None = None
        self._lease: Lease | None = None
        self._files: RunFiles | None = None
        self._name = ""
        self._is_standby = False
        self._said_unsaved = ""
        self._no_folder = ""
        self.stops = StopSet(None)
        """Who requests a stop."""
        self._changed: dict[str, Any] = {}
        self._said: Why | None = None
        self._commanded_ns = 0
        self.commands = False
        """Whether this process commands, as of its last tick."""

    # ---- lifecycle (executor's thread)

    def open(
        self,
        standby_of: str,
        joint_names: Sequence[str],
        period_s: float,
        *,
        persists: bool = False,
        lost: bool = False,
    ) -> None:
        """
        Open the page of the node that this one is, or stands by for, with the stop that is in force.

        persists: whether a stop outlives the orderly end of its run. lost: this process used one that was removed.
        ConfigurationError if a standby cannot open it, or if it is another one's.
        """
        node = self._node
        self._is_standby = bool(standby_of)
        name = standby_of or node.get_name()
        if not name.startswith("/"):
            name = f"{node.get_namespace().rstrip('/')}/{name}"
        if self._name != name:
            self._name, self._files = name, self._open_files(name)
            self.stops = StopSet(self._files)
        try:
            page = CommandPage(name, joint_names, self._files)
        except PageTakenError:
            raise
        except ConfigurationError as error:
            if standby_of:
                raise
            node.get_logger().error(f"{error}; commands go out all the same, without a standby")
            self.stops.open(None, persists=persists, lost=lost)
            return
        self.stops.open(page, persists=persists, lost=lost)
        self.stops.settle(page)
        self._page, self._lease = page, Lease(page, round(period_s * _NS), standby=self._is_standby)
        if self._changed:
            page.share(self._changed)

    def reopen(self, joint_names: Sequence[str], period_s: float) -> None:
        """
        Go on in the page that is there now, or in a new one. While nothing ticks; ConfigurationError if a standby cannot.

        The stop and the live parameters go along, and so does that commands are wanted, where nobody has said so yet.
        """
        lease, name = self._lease, self._name if self._is_standby else ""
        wanted = lease is not None and lease.wanted
        self._free()
        self.open(name, joint_names, period_s, lost=True)
        if wanted and self._page is not None and self._page.made and self._lease is not None:
            self._lease.want(True, time.monotonic_ns())

    def begin(self) -> None:
        """Begin to tick: as the one that commands, or as the standby of one."""
        self._commanded_ns, self.commands, self._said = 0, False, None
        if self._lease is not None and not self._is_standby:
            self._lease.want(True, time.monotonic_ns())

    def end_commands(self) -> None:
        """Before ticks end: nobody is to command from now on, unless it is only the standby that goes."""
        if self._lease is not None and not self._is_standby:
            self._lease.want(False, time.monotonic_ns())

    def leave(self) -> None:
        """After ticks have ended: another one may command."""
        self.commands = False
        if self._lease is not None:
            self._lease.leave()

    def close(self) -> None:
        """Let go of the page. The stop stays on disk, and this process knows of it."""
        self.stops.check()
        self._free()

    def _free(self) -> None:
        page, self._page, self._lease = self._page, None, None
        if page is not None:
            self.stops.leave()
            page.close()

    # ---- a tick (control thread)

    def follow(self, controller: Controller, now_ns: int) -> None:
        """Let the controller go on from where the one that commands has left the robot. now_ns: monotonic."""
        lease = self._lease
        if lease is None:
            return
        lease.turn(now_ns)
        if lease.commands:
            return
        positions, commanded_ns = lease.last_command()
        recent = now_ns - commanded_ns < _FOLLOW_S * _NS
        controller.follow(positions if recent else None, commanded_ns / _NS)

    def take(self, now_ns: int) -> bool:
        """Return whether the command may go out now; if so, give() must follow."""
        self.commands = self._lease is None or self._lease.take(now_ns)
        return self.commands

    def give(self, positions: FloatArray | None, now_ns: int, release_ns: int) -> float:
        """Tell what went out (None: nothing); return the time since the command before, whoever gave it, s (0: none)."""
        if self._lease is None:
            before_ns = self._commanded_ns
        else:
            before_ns = self._lease.last_command()[1]
            self._lease.give(positions, now_ns, release_ns)
        if positions is None:
            return 0.0
        self._commanded_ns = now_ns
        return (now_ns - before_ns) / _NS if before_ns else 0.0

    def shift_ns(self, release_ns: int) -> int:
        """Return by how much ticks are to be put off while another one commands."""
        return 0 if self._lease is None else self._lease.shift_ns(release_ns)

    # ---- what outlives a process

    @property
    def page(self) -> CommandPage | None:
        """The shared page; None where it could not be made."""
        return self._page

    def check(self) -> str:
        """Bring the stop set to disk where it is not, and return, once, what is to be said of that."""
        news = self.stops.check()
        if self._page is not None:
            self.stops.settle(self._page)
        if self.stops.unsaved != self._said_unsaved:
            self._said_unsaved = self.stops.unsaved
            news = self.unsaved or "requested stops are on disk again"
        return news

    @property
    def unsaved(self) -> str:
        """What does not survive, and why; empty if all does."""
        if not self.stops.unsaved:
            return ""
        why = self._no_folder if self._files is None else f"{self._files.folder}: {self.stops.unsaved}"
        return f"a requested stop would not survive a loss of all fusion processes: {why}"

    def changed(self, values: Mapping[str, Any]) -> None:
        """Tell the other process live parameters that were changed here."""
        self._changed.update(values)
        if self._page is not None:
            self._page.share(values)

    def news(self) -> dict[str, Any]:
        """Return live parameters that were changed at the other process."""
        return {} if self._page is None else self._page.news()

    # ---- what is shown

    @property
    def takeovers(self) -> int:
        """How often another process began to command."""
        return 0 if self._lease is None else self._lease.takeovers

    @property
    def standby_ready(self) -> bool:
        """Whether another process could take over."""
        return self._lease is not None and self._lease.standby_ready(time.monotonic_ns())

    def news_of_lease(self) -> str:
        """Return, once, why this process began to command, if it took over."""
        why = None if self._lease is None else self._lease.began
        if why is self._said or not self.commands:
            return ""
        self._said = why
        return "" if why in (None, Why.FREE) else f"takes over the commands: {why.value}"

    def is_lost(self) -> bool:
        """Return whether somebody removed the page: this process must not command by it any more."""
        return self._page is not None and self._page.is_lost()

    def _open_files(self, name: str) -> RunFiles | None:
        try:
            return RunFiles(name)
        except StateUnusable as error:
            self._no_folder = f"{error.strerror}; {STATE_VARIABLE} names another folder"
            return None
