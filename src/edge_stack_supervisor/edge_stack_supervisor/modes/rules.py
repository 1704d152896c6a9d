# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Rules that switch modes, in order: which one is due now; built so that they cannot flap.

A unit of work is one message (instruction, detections, battery) or one question (due). Four things hold switches apart: a
condition must last; it lets go only past a hysteresis; a rule that has fired does so again only after its condition let
go; and no mode is left by rules before its dwell time. The first rule in the file wins: as long as its condition holds in
the mode that it leads to, rules after it lead nowhere. Time is monotonic, s; nothing here knows ROS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from edge_stack_supervisor.modes.types import Battery, Condition, Detection, Instruction, ModeRule, TimeOut

DETECTIONS_AGE_MAX_S = 2.0  # silence of the detector for longer counts as nothing seen


class Latch:
    """Turns on once `on` has lasted for_s without a break, and off once `off` has lasted clear_s."""

    def __init__(self, for_s: float, clear_s: float) -> None:
        """Start off."""
        self._for_s = for_s
        self._clear_s = clear_s
        self._since_s = math.nan  # of the signal that would turn it over; NaN without one
        self._holds = False

    def feed(self, on: bool, off: bool, now_s: float) -> None:
        """Take what the input says now; neither on nor off is the band in which nothing changes."""
        if off if self._holds else on:
            if math.isnan(self._since_s):
                self._since_s = now_s
        else:
            self._since_s = math.nan

    def holds(self, now_s: float) -> bool:
        """Whether it is on, if the input is as it was fed last."""
        if now_s - self._since_s >= (self._clear_s if self._holds else self._for_s):
            self._holds = not self._holds
            self._since_s = math.nan
        return self._holds


class _RuleEntry:
    """One rule with what it remembers. armed: whether its condition has let go since it fired last."""

    def __init__(self, rule: ModeRule) -> None:
        self.rule = rule
        self.armed = True
        self.not_before_s = -math.inf
        self.latch = _latch(rule.condition)


def _latch(condition: Condition) -> Latch | None:
    if isinstance(condition, Detection):
        return Latch(condition.for_s, condition.clear_s)
    if isinstance(condition, Battery):
        return Latch(condition.for_s, condition.for_s)
    return None


class RuleBook:
    """All rules, in order."""

    def __init__(self, rules: Sequence[ModeRule], dwell_s: float, retry_s: float) -> None:
        """dwell_s: no mode is left sooner. retry_s: pause after a switch was refused or failed."""
        self._entries = [_RuleEntry(rule) for rule in rules]
        self._dwell_s = dwell_s
        self._retry_s = retry_s
        self._entered_s = math.inf
        self._mode = ""
        self._instruction: str | None = None
        self._detected_s = -math.inf

    # ---- what happens

    def take_instruction(self, text: str) -> None:
        """Take an instruction; one that waits for the dwell time gives way to it."""
        self._instruction = text

    def take_battery(self, charge: float, now_s: float) -> None:
        """Take the charge, 0..1; one that is unknown (NaN) changes nothing."""
        if not 0.0 <= charge <= 1.0:
            return
        for entry in self._entries:
            condition = entry.rule.condition
            if not isinstance(condition, Battery) or entry.latch is None:
                continue
            if condition.below is not None:
                on, off = charge < condition.below, charge >= condition.below + condition.hysteresis
            else:
                above = 1.0 if condition.above is None else condition.above
                on, off = charge > above, charge <= above - condition.hysteresis
            # An edge beyond the scale would never be reached.
            off = off or (not on and charge in (0.0, 1.0))
            entry.latch.holds(now_s)
            entry.latch.feed(on, off, now_s)

    def take_detections(self, scores: Mapping[str, Sequence[float]], now_s: float) -> None:
        """Take the scores of all objects of one message, by class."""
        self._detected_s = now_s
        for entry in self._entries:
            condition = entry.rule.condition
            if isinstance(condition, Detection) and entry.latch is not None:
                count = sum(score >= condition.score for score in scores.get(condition.class_id, ()))
                entry.latch.holds(now_s)
                entry.latch.feed(count >= condition.count, count < condition.count, now_s)

    def entered(self, mode: str, now_s: float) -> None:
        """Note that a mode is in force from now on."""
        self._mode = mode
        self._entered_s = now_s

    def done(self, rule: ModeRule) -> None:
        """Note that the switch of a rule is made."""
        self._entry(rule).armed = False

    def failed(self, rule: ModeRule, now_s: float) -> None:
        """Note that the switch of a rule was refused or failed; it is due again after a pause."""
        self._entry(rule).not_before_s = now_s + self._retry_s

    # ---- what is due

    def due(self, now_s: float) -> ModeRule | None:
        """Return the rule whose switch is due now, or None."""
        if now_s - self._detected_s > DETECTIONS_AGE_MAX_S:
            self._see_nothing(now_s)
        matching = self._matching_instruction()
        found = None
        for entry in self._entries:
            holds = self._holds(entry, matching, now_s)
            if not holds:
                entry.armed = True
            elif found is not None:
                continue
            elif self._mode == entry.rule.target:
                if entry.latch is not None:
                    entry.armed = False
                    found = entry  # it keeps the stack here
            elif self._may_fire(entry, now_s):
                found = entry
        if found is None or self._mode == found.rule.target or now_s - self._entered_s < self._dwell_s:
            return None
        if isinstance(found.rule.condition, Instruction):
            self._instruction = None  # one instruction switches once
        return found.rule

    # ---- inside

    def _holds(self, entry: _RuleEntry, matching: ModeRule | None, now_s: float) -> bool:
        condition = entry.rule.condition
        if isinstance(condition, Instruction):
            return entry.rule is matching
        if isinstance(condition, TimeOut):
            return self._mode in entry.rule.sources and now_s - self._entered_s >= condition.after_s
        return entry.latch is not None and entry.latch.holds(now_s)

    def _may_fire(self, entry: _RuleEntry, now_s: float) -> bool:
        """Whether a rule whose condition holds leads somewhere; instructions and time-outs are over once they led."""
        armed = entry.armed or entry.latch is None
        return armed and self._mode in entry.rule.sources and now_s >= entry.not_before_s

    def _matching_instruction(self) -> ModeRule | None:
        """Return the first rule that the instruction matches here; one that matches none is forgotten."""
        if self._instruction is not None:
            for entry in self._entries:
                condition = entry.rule.condition
                if (
                    isinstance(condition, Instruction)
                    and self._mode in entry.rule.sources
                    and re.search(condition.pattern, self._instruction, re.IGNORECASE)
                ):
                    return entry.rule
            self._instruction = None
        return None

    def _see_nothing(self, now_s: float) -> None:
        for entry in self._entries:
            if isinstance(entry.rule.condition, Detection) and entry.latch is not None:
                entry.latch.feed(False, True, now_s)

    def _entry(self, rule: ModeRule) -> _RuleEntry:
        return next(entry for entry in self._entries if entry.rule is rule)
