# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What is wrong with a node's inputs, each by itself, beside the problem of the node's own work.

Its unit of work is one text about one subject. The base of every node keeps one and shows it in its status.
"""

from __future__ import annotations

import threading

__all__ = ["Problems"]


class Problems:
    """Texts by what they are about; any thread."""

    def __init__(self) -> None:
        """Nothing is wrong."""
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, oldest subject first."""
        return tuple(self._texts.values())

    def set(self, subject: str, text: str) -> None:
        """Say what is wrong with a subject; "" takes it back."""
        with self._lock:
            # Anew, as others may be reading it.
            self._texts = {key: value for key, value in {**self._texts, subject: text}.items() if value}

    def forget(self) -> None:
        """Take all of them back."""
        with self._lock:
            self._texts = {}
