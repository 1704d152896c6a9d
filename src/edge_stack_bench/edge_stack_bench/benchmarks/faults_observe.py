# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a stack shows while faults are done to it: commands, signs of trouble with their times, and when all is well.

Its unit is one message, given as plain values with its arrival time (monotonic, s). A sign is something the stack says of
itself ("control hold: stale_perception", "node detect: died"); it begins when it is first said and ends when it is said
no more. Nothing here knows ROS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# A command this near to a position that was measured within so long before or after it is at it; rad or m, s.
_NEAR, _MEASURED_S = 0.1, 0.3
_SAME = 1e-6
# How long after a gap an account is taken that tells whether commands were missing in it, s.
_AFTER_S = 5.0
# What the policy asks for at a limit, and why it cannot do its task, are the task's business and no fault's.
TASK_REASONS = ("limit_position", "limit_velocity")
_TASK_TEXTS = ("task: ", *(f"slow: {reason}" for reason in TASK_REASONS))


def trouble(fault: str, message: str, reason: str, state: str, wanted: str) -> str:
    """
    Return what is wrong with a node, by what the supervisor says of it; empty if nothing is.

    A mode is no trouble, what the governor wants is.
    """
    said = [part for part in message.split("; ") if part and not part.startswith(_TASK_TEXTS)]
    wants = [part for part in reason.split("; ") if part and not part.startswith("mode")]
    text = "; ".join([*([fault] if fault else []), *said, *wants])
    return text or (state if wanted and state != wanted else "")


@dataclass
class Sign:
    """Something that was said from began_s on, until ended_s; None: it is still said."""

    text: str
    began_s: float
    ended_s: float | None = None


@dataclass(frozen=True)
class CommandLimits:
    """What no command may exceed: [A] each, rad or m, and per second."""

    position_min: FloatArray
    position_max: FloatArray
    velocity_max: FloatArray
    period_s: float


@dataclass(frozen=True)
class Unsafe:
    """A command that should not have been given, when (s), and what is wrong with it."""

    at_s: float
    why: str


@dataclass(frozen=True)
class Account:
    """What a process that commands said at a time (s): how many commands it has given, and its longest gap, s."""

    at_s: float
    commander: str
    commands: int
    max_gap_s: float


@dataclass
class FaultObservations:
    """Everything that was seen in one run."""

    limits: CommandLimits
    commands: list[tuple[float, FloatArray]] = field(default_factory=list)
    controls: list[tuple[float, str, str]] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    measured: list[tuple[float, FloatArray]] = field(default_factory=list)
    signs: list[Sign] = field(default_factory=list)
    well: list[tuple[float, bool]] = field(default_factory=list)
    strained: list[tuple[float, bool]] = field(default_factory=list)
    _open: dict[str, dict[str, Sign]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _active: bool = False

    # ---- what arrives

    def command(self, now_s: float, positions: Sequence[float]) -> None:
        """Take one command."""
        self.commands.append((now_s, np.asarray(positions, dtype=np.float64)))

    def joints(self, now_s: float, positions: Sequence[float]) -> None:
        """Take the measured joint positions."""
        self.measured.append((now_s, np.asarray(positions, dtype=np.float64)))

    def control(self, now_s: float, state: str, reason: str, account: Account | None = None) -> None:
        """Take one control status. account: what its process says of its commands."""
        if account is not None:
            self.accounts.append(account)
        self.controls.append((now_s, state, reason))
        self.say(now_s, "control", [] if reason == "ok" else [f"control {state}: {reason}"])

    def stack(self, now_s: float, active: bool, troubles: Mapping[str, str]) -> None:
        """Take one state of the stack. troubles: what is wrong with each node that something is wrong with."""
        self._active = active
        self.say(now_s, "stack", [f"node {name}: {text}" for name, text in troubles.items()])

    def events(self, now_s: float, node: str, counts: Mapping[str, int]) -> None:
        """Take a node's counts of events; one that rises is a sign that has ended at once."""
        for name, count in counts.items():
            key = f"event {node} {name}"
            # A smaller count is a new process or activation, which counts from 0.
            before = self._counts.get(key, 0)
            if count > before or 0 < count < before:
                self.signs.append(Sign(key, now_s, now_s))
            self._counts[key] = count

    def board(self, now_s: float, strained: bool) -> None:
        """Take one reading of the board. strained: a signal is above where the governor gives rates back."""
        if not self.strained or self.strained[-1][1] != strained:
            self.strained.append((now_s, strained))

    def exit(self, now_s: float, node: str) -> None:
        """Take note that a process ended."""
        self.signs.append(Sign(f"process {node}: ended", now_s, now_s))

    def say(self, now_s: float, source: str, texts: Iterable[str]) -> None:
        """Take everything that a source says now; what it said before and does not say now has ended."""
        spoken = self._open.setdefault(source, {})
        texts = set(texts)
        for text in list(spoken):
            if text not in texts:
                spoken.pop(text).ended_s = now_s
        for text in texts:
            if text not in spoken:
                spoken[text] = Sign(text, now_s)
                self.signs.append(spoken[text])
        well = self._active and not any(self._open.values())
        if not self.well or self.well[-1][1] != well:
            self.well.append((now_s, well))

    # ---- what it means

    def troubles(self) -> list[str]:
        """Return what is said to be wrong now."""
        return sorted({sign.text for sign in self.signs if sign.ended_s is None})

    def first_sign(self, pattern: str, after_s: float) -> Sign | None:
        """Return the first sign after a time whose text matches, or that was there then and is still said."""
        found = [s for s in self.signs if s.began_s >= after_s and re.search(pattern, s.text)]
        return min(found, key=lambda s: s.began_s, default=None)

    def well_since(self, after_s: float, for_s: float, now_s: float) -> float | None:
        """Return from when on, after a time, all was well for at least for_s; None if it was not."""
        for index, (since_s, well) in enumerate(self.well):
            until_s = self.well[index + 1][0] if index + 1 < len(self.well) else now_s
            begin_s = max(since_s, after_s)
            if well and until_s - begin_s >= for_s:
                return begin_s
        return None

    def cool_since(self, after_s: float) -> float | None:
        """Return when, after a time, the board was no longer strained; None if it was not strained then, or never ceased."""
        before = [strained for since_s, strained in self.strained if since_s <= after_s]
        if not before or not before[-1]:
            return None
        return next(
            (since_s for since_s, strained in self.strained if since_s > after_s and not strained), None
        )

    def gaps(self, begin_s: float, end_s: float) -> list[tuple[float, float]]:
        """
        Return from when and how long (s) there was no command, for each in a stretch, and from its begin and to its end.

        Commands may be lost on the way here. Where the process that commanded before a gap did so after it too and has given
        as many commands as that time takes, none was missing, and no gap is longer than the longest that it knows of.
        """
        times = sorted(t for t, _ in self.commands)
        before = max((t for t in times if t <= begin_s), default=begin_s)
        inside = [before, *(t for t in times if begin_s < t <= end_s)]
        after = min((t for t in times if t > end_s), default=end_s)
        return [
            (a, min(b - a, self._accounted_gap_s(a, b)))
            for a, b in zip(inside, [*inside[1:], after], strict=True)
        ]

    def control_gap_s(self, begin_s: float, end_s: float) -> float:
        """Return the longest time between two commands in a stretch, and from its begin and to its end, s."""
        return max(gap_s for _, gap_s in self.gaps(begin_s, end_s))

    def _accounted_gap_s(self, begin_s: float, end_s: float) -> float:
        """
        Return the longest gap there can have been between two times by the account of one process; infinite: none.

        What was missing once is missing from every later account, so one from a while after is as good, and better where
        the network, when it broke, held back the clock that stamps are taken from.
        """
        if end_s - begin_s < 1.5 * self.limits.period_s:
            return math.inf
        # In the order in which they were given, not in which they came.
        first = max((a for a in self.accounts if a.at_s <= begin_s), key=lambda a: a.at_s, default=None)
        after = sorted((a for a in self.accounts if a.at_s >= end_s), key=lambda a: a.at_s)
        last = next((a for a in after if a.at_s >= end_s + _AFTER_S), after[-1] if after else None)
        if first is None or last is None or first.commander != last.commander:
            return math.inf
        due = (last.at_s - first.at_s) / self.limits.period_s
        return last.max_gap_s if last.commands - first.commands >= due - 2.0 else math.inf

    def states(self, begin_s: float, end_s: float) -> list[str]:
        """Return what control said that it did between two times: run, slow, hold or stop, in the order of their first."""
        return list(
            dict.fromkeys(state for at_s, state, _ in sorted(self.controls) if begin_s <= at_s < end_s)
        )

    def unsafe_commands(self, begin_s: float, end_s: float) -> list[Unsafe]:
        """
        Return commands that are not finite, out of range, faster than the joints may move, or that move during a hold.

        Speed is judged over the time that passed, and over two periods at least: arrivals are jittered, commands are not.
        A command counts as during a hold if the status before and the status after it both say hold or stop. One that begins
        anew at the measured position moves nothing: exactly there, or near it after the robot was lost.
        """
        limits, unsafe = self.limits, []
        holds = self._holds()
        previous: tuple[float, FloatArray] | None = None
        for now_s, positions in self.commands:
            why = ""
            if not np.isfinite(positions).all():
                why = "not finite"
            elif (positions < limits.position_min - 1e-6).any() or (
                positions > limits.position_max + 1e-6
            ).any():
                why = f"out of range: {np.round(positions, 4).tolist()}"
            elif previous is not None:
                moved = np.abs(positions - previous[1])
                past_s = max(now_s - previous[0], 0.0)
                if (moved > limits.velocity_max * (past_s + 2.0 * limits.period_s) + 1e-6).any():
                    why = f"moved {moved.max():.4f} in {1e3 * past_s:.1f} ms"
                elif any(a < previous[0] and now_s < b for a, b in holds) and (moved > 1e-6).any():
                    why = f"moved {moved.max():.6f} during a hold"
                why = "" if why and self._begins_anew(now_s, previous[1], positions) else why
            previous = (now_s, positions)
            if why and begin_s <= now_s <= end_s:
                unsafe.append(Unsafe(now_s, why))
        return unsafe

    def _begins_anew(self, now_s: float, before: FloatArray, command: FloatArray) -> bool:
        """Whether a command is where the robot was just measured: exactly, or near, and the one before it was not."""
        return any(
            np.abs(command - measured).max() < _SAME
            or (np.abs(before - measured).max() > _NEAR and np.abs(command - measured).max() < _NEAR)
            for at_s, measured in self.measured
            if abs(at_s - now_s) < _MEASURED_S
        )

    def _holds(self) -> list[tuple[float, float]]:
        """Return stretches in which each status said hold or stop."""
        stretches: list[tuple[float, float]] = []
        begin_s: float | None = None
        last_s = 0.0
        for now_s, state, _ in sorted(self.controls):
            if state in ("hold", "stop"):
                begin_s = now_s if begin_s is None else begin_s
                last_s = now_s
            elif begin_s is not None:
                stretches.append((begin_s, last_s))
                begin_s = None
        if begin_s is not None:
            stretches.append((begin_s, last_s))
        return stretches
