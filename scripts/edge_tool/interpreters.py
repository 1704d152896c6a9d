# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which Python the workspace uses: the underlay's own, or for the wheels one that they exist for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tool.terminal import NEEDS_SOMETHING, EdgeError
from edge_tool.underlay import Underlay

OLDEST, NEWEST = (3, 10), (3, 14)
# Extras that do not exist for every Python: those that they exist for, the preferred one first.
FOR_EXTRA = {"lerobot": ((3, 12), (3, 13), (3, 11))}

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


def choose(underlay: Underlay, extras: Sequence[str] = ()) -> Interpreter:
    """
    Choose the Python for an underlay and extras.

    The underlay's own where it has one. For the wheels the first that is complete (headers, venv), starting with `python3`;
    for an extra that prefers a version, that one goes first wherever it is. If none is complete, the first that would do
    when completed. $EDGE_PYTHON goes before all.
    """
    fitting = _fitting(underlay, extras)
    who = " and ".join([underlay.title, *(extra for extra in extras if extra in FOR_EXTRA)])
    wanted = os.environ.get("EDGE_PYTHON")
    if wanted:
        found = ask(wanted)
        if found is None or found.version[:2] not in fitting:
            raise EdgeError(f"EDGE_PYTHON={wanted} does not fit {who}: {_versions(fitting)} is needed")
        return found
    candidates: Iterable[Interpreter] = _candidates(underlay, fitting)
    if any(extra in FOR_EXTRA for extra in extras):
        candidates = sorted(candidates, key=lambda found: fitting.index(found.version[:2]))
    first: Interpreter | None = None
    for found in candidates:
        if found.headers and found.venv:
            return found
        first = first or found
    if first is not None:
        return first
    name = f"python3.{fitting[0][1]}" if underlay.python or len(fitting) < 5 else "python3"
    raise EdgeError(
        f"{who}: {_versions(fitting)} is needed; there is none on the PATH, nor from pyenv or uv",
        f"sudo apt-get install -y {name} {name}-venv {name}-dev",
        NEEDS_SOMETHING,
    )


def _fitting(underlay: Underlay, extras: Sequence[str]) -> list[tuple[int, int]]:
    """Return the versions that will do, the preferred ones first. EdgeError if there are none."""
    fitting = [underlay.python] if underlay.python else [(3, n) for n in range(NEWEST[1], OLDEST[1] - 1, -1)]
    for extra in extras:
        if extra in FOR_EXTRA:
            left = [version for version in FOR_EXTRA[extra] if version in fitting]
            if not left:
                raise EdgeError(
                    f"the extra {extra} needs {_versions(FOR_EXTRA[extra])}, {underlay.title} {_versions(fitting)}"
                )
            fitting = left
    return fitting


def _candidates(underlay: Underlay, fitting: Sequence[tuple[int, int]]) -> Iterator[Interpreter]:
    """Find Pythons that fit: the underlay's own or `python3` first, then others on the PATH, then those of pyenv and uv."""
    numbered = [f"python3.{version[1]}" for version in fitting]
    if underlay.python is not None:
        names = [f"/usr/bin/{numbered[0]}", *numbered, "python3"]
    else:
        names = ["python3", "/usr/bin/python3", sys.executable, *numbered]
    # Where pyenv and uv keep theirs, on the PATH or not.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in fitting:
        for folder in (pyenv, Path.home() / ".local/share/uv/python"):
            found_there = sorted(folder.glob(f"*3.{version[1]}.*/bin/python3.{version[1]}"), reverse=True)
            names += [str(path) for path in found_there]
    seen: set[Path] = set()
    for name in names:
        path = shutil.which(name)
        found = ask(path) if path else None
        if found is None or found.executable in seen:
            continue
        seen.add(found.executable)
        if found.version[:2] in fitting:
            yield found


def _versions(fitting: Sequence[tuple[int, int]]) -> str:
    low, high = min(fitting), max(fitting)
    text = f"Python {low[0]}.{low[1]}"
    return text if low == high else f"{text} to {high[0]}.{high[1]}"
