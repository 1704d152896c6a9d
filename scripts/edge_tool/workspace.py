# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Where things are in the workspace, and what the tool remembers between calls: small JSON stamps in .edge/."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_tool.terminal import say


class Workspace:
    """The folder that holds `edge`, src/ and what is built of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".edge"
        self.venv = self.state / "venv"
        self.python = self.venv / "bin" / "python"
        self.requirements = root / "requirements"
        self.src = root / "src"
        self.build = root / "build"
        self.install = root / "install"
        self.log = root / "log"

    def log_file(self, name: str) -> Path:
        """Return the tool's own log of a kind of step."""
        return self.state / "log" / f"{name}.log"

    def read_stamp(self, name: str) -> dict[str, Any]:
        """Return what was remembered, or an empty dict."""
        try:
            stamp = json.loads((self.state / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def write_stamp(self, name: str, stamp: dict[str, Any]) -> None:
        """Remember something; whole or not at all."""
        self.state.mkdir(parents=True, exist_ok=True)
        path = self.state / f"{name}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def forget(self, name: str) -> None:
        """Forget a stamp."""
        (self.state / f"{name}.json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let one tool at a time set up or build; others wait."""
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another ./edge sets up or builds this workspace; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def machine() -> str:
    """Return the processor architecture, for example x86_64 or aarch64."""
    return platform.machine()
