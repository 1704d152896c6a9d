# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Makes .edge/venv what the requirements say: once, and again only when they, the underlay or the Python changed.

Its unit is one virtual environment. A run that was interrupted while packages were laid down leaves a mark, and the next
run starts the environment afresh: half a package cannot be told from a whole one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge_tool import interpreters, system_packages, wheels
from edge_tool.interpreters import Interpreter
from edge_tool.terminal import NEEDS_SOMETHING, EdgeError, Step, run_logged, say, tail
from edge_tool.underlay import Underlay, find_underlay
from edge_tool.workspace import Workspace

STAMP = "setup"
EXTRAS = ("cuda", "lerobot", "triton", "ultralytics")
# Extras that want different versions of one package, and which.
APART = {("lerobot", "ultralytics"): "torch"}
_SCHEME = 1
_VENV_MODULE = "venv"
_WHEELS_GROUPS = ("ros-jazzy", "build", "cmake", "runtime", "sim", "test")
_SYSTEM_GROUPS = ("build", "runtime", "sim", "test")


def ensure(workspace: Workspace, extras: Sequence[str] = (), *, system: bool = False) -> Underlay:
    """
    Make the environment ready and return the underlay.

    extras: further groups of requirements; those of earlier runs stay. system: install missing system packages.
    """
    underlay = find_underlay()
    stamp = workspace.read_stamp(STAMP)
    wanted = sorted({*extras, *stamp.get("extras", [])})
    _check_together(wanted)
    if is_current(workspace, stamp, underlay, wanted) and not system:
        return underlay
    with workspace.lock():
        interpreter = interpreters.choose(underlay, wanted)
        lacking = system_packages.missing(interpreter, underlay)
        system_packages.ensure(workspace, lacking, install=system)
        if lacking:
            interpreter = interpreters.choose(underlay, wanted)
        stamp = workspace.read_stamp(STAMP)
        if is_current(workspace, stamp, underlay, wanted):
            return underlay
        _install(workspace, underlay, interpreter, wanted)
    return underlay


def requirement_files(workspace: Workspace, underlay: Underlay, extras: Sequence[str]) -> list[Path]:
    """Return the requirement files that count for an underlay, constraints last."""
    groups = [*(_SYSTEM_GROUPS if underlay.prefix else _WHEELS_GROUPS), *extras]
    files = [workspace.requirements / f"{group}.txt" for group in groups]
    for kind in ("alone", "constraints"):
        files += _of_extras(workspace, extras, kind)
    return [*files, workspace.requirements / "constraints.txt"]


def _of_extras(workspace: Workspace, extras: Sequence[str], kind: str) -> list[Path]:
    """Return the files requirements/<extra>-<kind>.txt that there are."""
    files = (workspace.requirements / f"{extra}-{kind}.txt" for extra in extras)
    return [file for file in files if file.is_file()]


def _check_together(extras: Sequence[str]) -> None:
    for pair, package in APART.items():
        if set(pair) <= set(extras):
            raise EdgeError(
                f"{' and '.join(pair)} want different versions of {package}; keep a copy of the workspace for each",
                f"rm -r .edge && ./edge setup --with {pair[0]}",
                NEEDS_SOMETHING,
            )


def fingerprint(workspace: Workspace, underlay: Underlay, extras: Sequence[str], python: str) -> str:
    """Return a text that changes when something else would be installed."""
    digest = hashlib.sha256(f"{_SCHEME} {underlay} {python} {sorted(extras)}".encode())
    for path in requirement_files(workspace, underlay, extras):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def toolchain(workspace: Workspace, underlay: Underlay, python: str, extras: Sequence[str]) -> str:
    """Return a text that changes when what is built must be built afresh: another underlay, Python, ROS or numpy."""
    pins = [line for line in pinned(workspace, extras) if line.startswith(("ros-", "numpy="))]
    return hashlib.sha256(f"{_SCHEME} {underlay} {python} {pins}".encode()).hexdigest()[:16]


def is_current(
    workspace: Workspace, stamp: dict[str, object], underlay: Underlay, extras: Sequence[str]
) -> bool:
    """Return whether nothing needs to be installed; cheap, for it is asked before everything."""
    python = str(stamp.get("python", ""))
    executable = python.rpartition(" ")[0]
    return (
        bool(python)
        and os.access(executable, os.X_OK)
        and workspace.python.exists()
        and stamp.get("fingerprint") == fingerprint(workspace, underlay, extras, python)
    )


def _install(workspace: Workspace, underlay: Underlay, interpreter: Interpreter, extras: list[str]) -> None:
    say(f"{underlay.title}, Python {'.'.join(map(str, interpreter.version))} ({interpreter.executable})")
    log = workspace.log_file("setup")
    log.unlink(missing_ok=True)
    _prepare_venv(workspace, underlay, interpreter)
    workspace.forget(STAMP)
    alone = _of_extras(workspace, extras, "alone")
    elsewhere = {
        *alone,
        *_of_extras(workspace, extras, "constraints"),
        workspace.requirements / "constraints.txt",
    }
    files = [path for path in requirement_files(workspace, underlay, extras) if path not in elsewhere]
    constraints = _constraints(workspace, underlay, extras)
    arguments = [word for path in files for word in ("-r", str(path))]
    with Step("installing packages") as step:
        _pip(workspace, [*arguments, "-c", str(constraints)], step)
        for path in sorted(alone):
            _pip(workspace, ["--no-deps", "-r", str(path)], step)
    if underlay.prefix is None:
        wheels.rewrite_build_machine_paths(workspace)
    _link_python(workspace, interpreter)
    python = interpreter.identity
    workspace.write_stamp(
        STAMP,
        {
            "fingerprint": fingerprint(workspace, underlay, extras, python),
            "python": python,
            "underlay": underlay.title,
            "extras": extras,
            "toolchain": toolchain(workspace, underlay, python, extras),
        },
    )


def _prepare_venv(workspace: Workspace, underlay: Underlay, interpreter: Interpreter) -> None:
    """Make the environment, or keep one that fits and is whole."""
    described = f"{interpreter.identity} {underlay.prefix or 'wheels'}"
    whole = not _interrupted_mark(workspace).exists()
    if (
        whole
        and workspace.python.exists()
        and workspace.read_stamp(_VENV_MODULE).get("made_for") == described
    ):
        return
    shutil.rmtree(workspace.venv, ignore_errors=True)
    _interrupted_mark(workspace).unlink(missing_ok=True)
    workspace.forget(_VENV_MODULE)
    workspace.state.mkdir(parents=True, exist_ok=True)
    command = [str(interpreter.executable), "-m", "venv", str(workspace.venv)]
    if underlay.prefix is not None:
        command.append("--system-site-packages")
    if run_logged(command, workspace.log_file("setup")) != 0:
        remedy = system_packages.install_line([f"{interpreter.name}-venv"])
        raise EdgeError(
            f"no virtual environment can be made:\n{tail(workspace.log_file('setup'))}",
            remedy,
            NEEDS_SOMETHING,
        )
    workspace.write_stamp(_VENV_MODULE, {"made_for": described})


def _pip(workspace: Workspace, arguments: Sequence[str], step: Step) -> None:
    """Install; show how many packages are known and which one is at work."""
    seen: set[str] = set()
    mark = _interrupted_mark(workspace)

    def on_line(line: str) -> None:
        found = re.match(r"\s*(Collecting|Downloading|Requirement already satisfied:) (\S+)", line)
        if found:
            if found[1] == "Collecting":
                seen.add(found[2])
            step.progress(f"{len(seen)} packages; {found[1].lower()} {found[2].rpartition('/')[2]}")
        elif line.startswith("Installing collected packages"):
            mark.touch()
            step.progress(f"laying down {line.count(',') + 1} packages")

    command = [str(workspace.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    log = workspace.log_file("setup")
    # A wheel of another ROS or a package of the user's home must not count as installed.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER")
    }
    environment.update(PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", _ROS_WHEELS_BOOTSTRAP_COMPLETE="1")
    if (
        run_logged(
            [*command, "--progress-bar", "off", *arguments], log, environment=environment, on_line=on_line
        )
        != 0
    ):
        raise EdgeError(f"pip could not install everything; all it said is in {log}:\n{tail(log, 12)}")
    mark.unlink(missing_ok=True)


def pinned(workspace: Workspace, extras: Sequence[str]) -> list[str]:
    """Return the lines of constraints.txt, those of a package that an extra pins otherwise replaced by the extra's."""
    lines = (workspace.requirements / "constraints.txt").read_text(encoding="utf-8").splitlines()
    own = [
        line
        for path in _of_extras(workspace, extras, "constraints")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    replaced = {_package(line) for line in own} - {""}
    return [line for line in lines if _package(line) not in replaced] + own


def _package(line: str) -> str:
    """Return the package's name in a line of constraints; empty in a comment."""
    found = re.match(r"[A-Za-z0-9._-]+", line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _constraints(workspace: Workspace, underlay: Underlay, extras: Sequence[str]) -> Path:
    """
    Return the constraints for pip.

    The wheels are pinned as a whole. On a machine with its own ROS the system's numpy stays: its message packages were built
    against it.
    """
    path = workspace.state / "constraints.txt"
    if underlay.prefix is None:
        path.write_text("\n".join(pinned(workspace, extras)) + "\n", encoding="utf-8")
        return path
    question = "import numpy; print(numpy.__version__)"
    answer = subprocess.run(
        [str(workspace.python), "-c", question], capture_output=True, text=True, check=False
    )
    numpy = answer.stdout.strip() if answer.returncode == 0 else ""
    if "lerobot" in extras and numpy.startswith("1."):
        raise EdgeError(
            f"LeRobot needs numpy 2, and {underlay.title} was built for numpy {numpy}: they cannot share a process",
            "run the policy in a process without ROS, from a copy of the workspace elsewhere: ./edge policy-server",
            NEEDS_SOMETHING,
        )
    path.write_text(f"numpy=={numpy}\n" if numpy else "", encoding="utf-8")
    return path


def _link_python(workspace: Workspace, interpreter: Interpreter) -> None:
    """Remember the interpreter where `./edge` looks first: it saves a search, and shims that start slowly."""
    link = workspace.state / "python"
    link.unlink(missing_ok=True)
    link.symlink_to(interpreter.executable)


def _interrupted_mark(workspace: Workspace) -> Path:
    return workspace.state / "venv.unfinished"
