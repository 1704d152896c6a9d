# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters that are wanted of one node: set when its process begins and when a wanted value changes.

A unit of work is one call that carries all values that are due. A value is not enforced: what somebody sets on the
node afterwards holds until its process ends, or until another value is wanted. Time is monotonic, s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_stack_supervisor.supervision.types import Value

# How long a value that was sent may take to be heard of from its node as set, s.
SENT_S = 5.0
# Calls without an answer after which a node is no longer kept down for values that take effect at configure.
PATIENCE_CALLS = 8


@dataclass
class _Setting:
    """One wanted value. settled: whether this process has taken or refused it. refusal: why, or empty."""

    value: Value
    reconfigure: bool = False
    settled: bool = False
    refusal: str = ""


@dataclass
class _Pending:
    number: int
    sent_s: float
    values: Mapping[str, Value] = field(default_factory=dict)


class Settings:
    """Wanted parameters of one node."""

    def __init__(self) -> None:
        """Want nothing."""
        self._settings: dict[str, _Setting] = {}
        self._pending: _Pending | None = None
        self._unanswered = 0
        self._sent: list[tuple[str, Value, float]] = []  # and not heard of as set yet; bounded by SENT_S

    @property
    def wanted(self) -> dict[str, Value]:
        """The wanted values by name."""
        return {name: setting.value for name, setting in self._settings.items()}

    def want(self, values: Mapping[str, Value], reconfigure: bool = False) -> None:
        """
        Want values beside those that are wanted already; a value that is wanted already changes nothing.

        reconfigure: they take effect at configure, so the node is cleaned up before they are set.
        """
        for name, value in values.items():
            setting = self._settings.get(name)
            if setting is None or not _same(setting.value, value):
                self._settings[name] = _Setting(value, reconfigure)
                self._unanswered = 0

    def adopt(self, name: str, value: Value) -> None:
        """Want a value that somebody else has set on the node: it has it already."""
        setting = self._settings.setdefault(name, _Setting(value))
        setting.value, setting.settled, setting.refusal = value, True, ""

    def was_set(self, name: str, value: Value, now_s: float) -> bool:
        """
        Take that a parameter of the node was set; return whether somebody else did it.

        What was sent from here before somebody else's value, and set after it, is wanted no more: the value in force goes
        out again.
        """
        self._sent = [one for one in self._sent if now_s - one[2] <= SENT_S]
        own = next((one for one in self._sent if one[0] == name and _same(one[1], value)), None)
        if own is None:
            return True
        self._sent.remove(own)
        setting = self._settings.get(name)
        if setting is not None and not _same(setting.value, value):
            setting.settled = False
        return False

    def remember(self) -> dict[str, list[Any]]:
        """Return all that recall() needs, as plain values."""
        return {
            name: [
                list(s.value) if isinstance(s.value, tuple) else s.value,
                s.reconfigure,
                s.settled,
                s.refusal,
            ]
            for name, s in self._settings.items()
        }

    def recall(self, remembered: Mapping[str, Sequence[Any]]) -> None:
        """Take back what remember() has returned, for a process that still runs."""
        self._settings = {name: _Setting(*fields) for name, fields in remembered.items()}

    def begin_process(self) -> None:
        """Start over: a new process has taken nothing yet."""
        self._pending = None
        self._unanswered = 0
        self._sent.clear()
        for setting in self._settings.values():
            setting.settled, setting.refusal = False, ""

    def told(self, name: str, value: Value) -> None:
        """Note that the node itself tells a value: one that is as wanted need not be set."""
        setting = self._settings.get(name)
        if setting is not None and self._pending is None and _same(setting.value, value):
            setting.settled = True

    def due(self) -> bool:
        """Whether there are values to set now."""
        return self._pending is None and any(not setting.settled for setting in self._settings.values())

    def call(self, number: int, now_s: float) -> Mapping[str, Value]:
        """Return the values to set, which count as sent. Only where due()."""
        values = {name: setting.value for name, setting in self._settings.items() if not setting.settled}
        self._pending = _Pending(number, now_s, values)
        self._sent = [one for one in self._sent if now_s - one[2] <= SENT_S]
        self._sent += [(name, value, now_s) for name, value in values.items()]
        return values

    def answered(self, number: int, refusals: Mapping[str, str]) -> None:
        """Take the answer to a call; one that was given up on is ignored. refusals: the node's reasons, by name."""
        pending = self._pending
        if pending is None or pending.number != number:
            return
        self._pending = None
        self._unanswered = 0
        for name, value in pending.values.items():
            setting = self._settings[name]
            if _same(setting.value, value):  # else another value is wanted meanwhile
                setting.settled = True
                setting.refusal = refusals.get(name, "")

    def tick(self, now_s: float, timeout_s: float) -> None:
        """Forget a call that was not answered in time; its values are due again."""
        if self._pending is not None and now_s - self._pending.sent_s > timeout_s:
            self._pending = None
            self._unanswered += 1

    def lose(self) -> None:
        """Forget the call under way: the node is gone."""
        self._pending = None

    @property
    def needs_cleanup(self) -> bool:
        """Whether the node must be cleaned up, or stay so, until values are set that take effect at configure."""
        return self._unanswered < PATIENCE_CALLS and any(
            setting.reconfigure and not setting.settled for setting in self._settings.values()
        )

    @property
    def settled(self) -> bool:
        """Whether the node has taken or refused every wanted value."""
        return all(setting.settled for setting in self._settings.values())

    @property
    def refusals(self) -> dict[str, str]:
        """Why the node refuses which of the wanted values."""
        return {name: setting.refusal for name, setting in self._settings.items() if setting.refusal}


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, abs_tol=1e-6)
    return type(one) is type(other) and one == other
