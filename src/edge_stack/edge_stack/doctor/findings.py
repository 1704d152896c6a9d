# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One line of the doctor's table: what is there and, unless all is well, what to do about it.

A check is a function that returns findings and changes nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class Level(enum.Enum):
    """GOOD: as it should be. NOTE: works, with less. BAD: the stack cannot run."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "lacks"


@dataclass(frozen=True)
class Finding:
    """One line of the table. remedy: what to do about it; empty where there is nothing to do."""

    subject: str
    level: Level
    fact: str
    remedy: str = ""


def read(path: str | Path) -> str:
    """Return a small file's text without surrounding blanks; empty if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
