# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Follows the processes' log files and hands on their new lines, each with the name of its process.

Its unit is one poll. Processes write to files and never wait for a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


class LogFollower:
    """Reads what was appended to each file since the last poll."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """files: by process name; they need not exist yet. What they hold now is not shown."""
        self._files = dict(files)
        self._offsets = {
            name: path.stat().st_size if path.exists() else 0 for name, path in self._files.items()
        }
        self._rests: dict[str, str] = dict.fromkeys(self._files, "")

    def poll(self) -> Iterator[tuple[str, str]]:
        """Yield (name, line) for every line that was completed since the last poll."""
        for name, path in self._files.items():
            try:
                with path.open("rb") as file:
                    file.seek(self._offsets[name])
                    data = file.read()
            except OSError:
                continue
            self._offsets[name] += len(data)
            *lines, self._rests[name] = (self._rests[name] + data.decode("utf-8", "replace")).split("\n")
            for line in lines:
                yield name, line
