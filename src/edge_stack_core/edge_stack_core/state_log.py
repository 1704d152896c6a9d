# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One line when a state begins and one when it ends, however often a node tells it and whatever figures its text holds.

Its unit is one text that is told. Texts that differ only in figures ("0.86 s old", "0.98 s old") are one state. A state that
comes back within OVER_S goes on, so that one that comes and goes does not fill the log either. Nothing here logs: it returns
the lines that are due.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# A state that was not told for so long has ended.
OVER_S = 10.0
# States at a time; of more, the one that was told longest ago is forgotten without a line.
STATES_MAX = 32
# A number that stands by itself, with its unit: joint_2, /dev/video0, cuda:0, rgb8 and 10.0.0.1 are names.
_FIGURE = re.compile(r"(?<![\w/:.-])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:x\d+)?[A-Za-z%]{0,3}(?!\.?\w)")


def kind_of(text: str) -> str:
    """Return a text without its figures."""
    return _FIGURE.sub("#", text)


@dataclass
class _State:
    text: str  # as it was told first
    lasts: bool
    began_s: float
    told_s: float
    count: int = 1


class StateLog:
    """The states of one node. Safe to call from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic time, s."""
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def tell(self, text: str, *, lasts: bool = True) -> bool:
        """
        Take a text; return whether it begins a state, and so is to be logged.

        lasts: it holds until it ends, which is worth a line. Otherwise it is an event: its end is worth one only where there
        were several.
        """
        now_s, kind = self._clock(), kind_of(text)
        with self._lock:
            state = self._states.pop(kind, None)
            if state is not None and now_s - state.told_s <= OVER_S:
                state.told_s, state.count = now_s, state.count + 1
                self._states[kind] = state  # the last one told is the last in order
                return False
            while len(self._states) >= STATES_MAX:
                del self._states[next(iter(self._states))]
            self._states[kind] = _State(text, lasts, now_s, now_s)
            return True

    def tick(self, still: Iterable[str] = ()) -> list[str]:
        """Return the lines of what has ended. still: texts that hold although nobody tells them anew."""
        now_s = self._clock()
        with self._lock:
            for text in still:
                state = self._states.get(kind_of(text))
                if state is not None:
                    state.told_s = now_s
            ended = [kind for kind, state in self._states.items() if now_s - state.told_s > OVER_S]
            lines = [_end(self._states.pop(kind)) for kind in ended]
        return [line for line in lines if line]


def _end(state: _State) -> str:
    lasted_s = state.told_s - state.began_s
    if state.lasts:
        return f"over after {lasted_s:.0f} s: {state.text}"
    return f"{state.count} times within {lasted_s:.0f} s: {state.text}" if state.count > 1 else ""
