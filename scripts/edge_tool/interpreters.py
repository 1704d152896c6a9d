# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which Python the workspace uses: the underlay's own, or for the wheels one that they exist for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_tool.terminal import NEEDS_SOMETHING, EdgeError
from edge_tool.underlay import Underlay

OLDEST, NEWEST = (3, 10), (3, 14)

_QUESTION = """
import importlib.util, json, os, sys, sysconfig
include = sysconfig.get_paths()["include"]
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": list(sys.version_info[:3]),
    "implementation": sys.implementation.name,
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "include": include,
    "headers": os.path.exists(os.path.join(include, "Python.h")),
    "venv": importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python. headers: whether C extensions can be built for it. venv: whether it can make virtual environments."""

    executable: Path
    version: tuple[int, int, int]
    headers: bool
    venv: bool

    @property
    def name(self) -> str:
        """Its name as an executable and in Debian's package names, for example python3.12."""
        return f"python3.{self.version[1]}"

    @property
    def identity(self) -> str:
        """A text that changes when another Python would be used."""
        return f"{self.executable} {'.'.join(map(str, self.version))}"


def ask(executable: str) -> Interpreter | None:
    """Ask an executable what it is; None if it is no usable CPython of a version that we support."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=20.0, check=True
        )
        facts = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    version = (int(facts["version"][0]), int(facts["version"][1]), int(facts["version"][2]))
    if facts["implementation"] != "cpython" or facts["bits"] != 64 or not OLDEST <= version[:2] <= NEWEST:
        return None
    return Interpreter(Path(facts["executable"]), version, facts["headers"], facts["venv"])


def choose(underlay: Underlay) -> Interpreter:
    """
    Choose the Python for an underlay.

    The underlay's own where it has one. For the wheels the first that is complete (headers, venv), starting with `python3`;
    if none is, the first that would do when completed. $EDGE_PYTHON goes before all.
    """
    wanted = os.environ.get("EDGE_PYTHON")
    if wanted:
        found = ask(wanted)
        if found is None or (underlay.python is not None and found.version[:2] != underlay.python):
            raise EdgeError(
                f"EDGE_PYTHON={wanted} does not fit {underlay.title}, which needs {_versions(underlay)}"
            )
        return found
    first: Interpreter | None = None
    for found in _candidates(underlay):
        if found.headers and found.venv:
            return found
        first = first or found
    if first is not None:
        return first
    name = f"python3.{underlay.python[1]}" if underlay.python else "python3"
    raise EdgeError(
        f"{underlay.title} needs {_versions(underlay)}; there is none on the PATH",
        f"sudo apt-get install -y {name} {name}-venv {name}-dev",
        NEEDS_SOMETHING,
    )


def _candidates(underlay: Underlay) -> Iterator[Interpreter]:
    if underlay.python is not None:
        names = [f"/usr/bin/python3.{underlay.python[1]}", f"python3.{underlay.python[1]}", "python3"]
    else:
        numbered = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        names = ["python3", "/usr/bin/python3", sys.executable, *numbered]
    seen: set[Path] = set()
    for name in names:
        path = shutil.which(name)
        found = ask(path) if path else None
        if found is None or found.executable in seen:
            continue
        seen.add(found.executable)
        if underlay.python is None or found.version[:2] == underlay.python:
            yield found


def _versions(underlay: Underlay) -> str:
    if underlay.python is not None:
        return f"Python {underlay.python[0]}.{underlay.python[1]}"
    return f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
