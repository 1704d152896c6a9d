# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Faults on demand, written NAME@T: what to break, and how many seconds after the first command."""

from __future__ import annotations

import argparse
import signal
from dataclasses import dataclass
from typing import Protocol


class Killable(Protocol):
    """What a fault needs of the running stack."""

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a node's process."""


@dataclass(frozen=True)
class Fault:
    """One fault. kind: node_kill. target: node name. at_s: seconds after the first command."""

    kind: str
    target: str
    at_s: float

    def strike(self, stack: Killable) -> None:
        """Do it."""
        stack.signal(self.target, signal.SIGKILL)


def parse_fault(text: str) -> Fault:
    """Parse node_kill:<node>@<seconds>; an error says what would be right."""
    what, _, when = text.partition("@")
    kind, _, target = what.partition(":")
    try:
        at_s = float(when)
    except ValueError:
        at_s = -1.0
    if kind != "node_kill" or not target or at_s < 0.0:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not node_kill:<node>@<seconds>, for example node_kill:detect@20"
        )
    return Fault(kind, target, at_s)
