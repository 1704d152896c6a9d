# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is wrong with a node's inputs, each by itself, beside the problem of the node's own work.

Its unit of work is one text about one subject. The base of every node keeps one and shows it in its status. A text is handed
on when it begins, when it changes and when it ends, so that a log has one line for each.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

__all__ = ["Problems", "same_but_figures"]

# A number by itself: those in names, paths and addresses tell one thing from another.
_FIGURE = re.compile(r"(?<![\w/.:])-?\d+(?:\.\d+)?(?![\w/]|\.\d)")


def same_but_figures(text: str, other: str) -> bool:
    """Return whether two texts say the same of figures that may differ: how old, how many, how far."""
    return text == other or _FIGURE.sub("#", text) == _FIGURE.sub("#", other)


class Problems:
    """Texts by what they are about; any thread."""

    def __init__(self, begins: Callable[[str], object], ends: Callable[[str], object]) -> None:
        """begins: gets a text that is new. ends: gets one that holds no longer."""
        self._begins, self._ends = begins, ends
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, oldest subject first."""
        return tuple(self._texts.values())

    def set(self, subject: str, text: str) -> None:
        """Say what is wrong with a subject; "" takes it back."""
        with self._lock:
            before = self._texts.get(subject, "")
            if text == before:
                return
            # Anew, as others may be reading it.
            self._texts = {key: value for key, value in {**self._texts, subject: text}.items() if value}
        if text:
            self._begins(text)
        else:
            self._ends(before)

    def forget(self) -> None:
        """Take all of them back without a word."""
        with self._lock:
            self._texts = {}
