# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Builds the packages of src/ with colcon, those that need it: others were built from the same files before.

Its unit is one package. Python sources are linked into the install, so a change in them needs no build; a change in what a
package declares, in its interfaces, or in which files it installs does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_tool import environment
from edge_tool.terminal import EdgeError, Step, run_logged, say, tail
from edge_tool.underlay import Underlay
from edge_tool.workspace import Workspace

STAMP = "build"
# Interfaces of others, built where the underlay has none: src/NAME/NAME beside a COLCON_IGNORE.
LENT = ("tf2_msgs", "vision_msgs")
# Their content decides what a build makes.
_DECLARATIONS = {"package.xml", "setup.py", "setup.cfg", "CMakeLists.txt"}
_GENERATED_FROM = {".msg", ".srv", ".action"}
_INTERFACES = _GENERATED_FROM | {".cmake", ".em", ".c", ".cpp", ".h", ".hpp"}
# Their names say which files are installed; their content is linked.
_INSTALLED_FOLDERS = {
    "boards",
    "config",
    "contracts",
    "dds",
    "launch",
    "meshes",
    "models",
    "resource",
    "robots",
    "rviz",
    "scenarios",
    "urdf",
}


@dataclass(frozen=True)
class Package:
    """A package: its folder, a text that changes when it needs a build, and the files that its interfaces are in."""

    name: str
    folder: Path
    fingerprint: str
    interfaces: tuple[str, ...] = ()


def ensure(workspace: Workspace, underlay: Underlay) -> None:
    """Build what needs it; nothing, in milliseconds, if nothing does."""
    packages = find_packages(workspace, underlay)
    toolchain = str(workspace.read_stamp("setup").get("toolchain", ""))
    stamp = workspace.read_stamp(STAMP)
    if _changed(workspace, packages, stamp, toolchain) == []:
        return
    with workspace.lock():
        stamp = workspace.read_stamp(STAMP)
        if stamp and stamp.get("toolchain") != toolchain:
            say("the underlay or the Python changed: building afresh")
            clean(workspace)
            stamp = {}
        names = _changed(workspace, packages, stamp, toolchain)
        if names:
            _clean_generated(workspace, [p for p in packages if p.name in names], stamp)
            _build(workspace, underlay, names, everything=len(names) == len(packages))
            built = {package.name: package.fingerprint for package in packages}
            interfaces = {package.name: list(package.interfaces) for package in packages}
            workspace.write_stamp(
                STAMP, {"toolchain": toolchain, "packages": built, "interfaces": interfaces}
            )
            environment.remember(workspace, underlay)


def changed(workspace: Workspace, underlay: Underlay) -> list[str]:
    """Return the names of the packages that need a build."""
    toolchain = str(workspace.read_stamp("setup").get("toolchain", ""))
    return _changed(workspace, find_packages(workspace, underlay), workspace.read_stamp(STAMP), toolchain)


def clean(workspace: Workspace) -> None:
    """Remove everything that a build makes."""
    for folder in (workspace.build, workspace.install, workspace.log):
        shutil.rmtree(folder, ignore_errors=True)
    workspace.forget(STAMP)
    workspace.forget(environment.STAMP)


def find_packages(workspace: Workspace, underlay: Underlay) -> list[Package]:
    """Return the packages that are built on this underlay."""
    folders = [path.parent for path in sorted(workspace.src.glob("*/package.xml"))]
    folders += lent_folders(workspace, underlay)
    return [_package(folder) for folder in folders if not (folder / "COLCON_IGNORE").exists()]


def lent_folders(workspace: Workspace, underlay: Underlay) -> list[Path]:
    """Return the folders of other people's interfaces that this underlay lacks."""
    folders = (workspace.src / name / name for name in LENT if not underlay.has(name))
    return [folder for folder in folders if folder.is_dir()]


def colcon_defaults(workspace: Workspace, underlay: Underlay) -> Path:
    """
    Write what colcon is to do in this workspace, and return the file.

    In `./edge shell` plain `colcon build` reads it too, so that both do the same.
    """
    paths = [str(path) for path in (workspace.src, *lent_folders(workspace, underlay))]
    cmake = [f"-DPython3_EXECUTABLE={workspace.python}"]  # build type and the like: colcon.meta
    if underlay.prefix is None:
        cmake += ["-GNinja", "-Wno-unused-cli"]
    build = {"base-paths": paths, "symlink-install": True, "cmake-args": cmake}
    path = workspace.state / "colcon.json"  # colcon reads YAML, and JSON is YAML
    text = json.dumps({"build": build, "test": {"base-paths": paths}}, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def _changed(
    workspace: Workspace, packages: list[Package], stamp: Mapping[str, object], toolchain: str
) -> list[str]:
    """Return the names of the packages that need a build."""
    built = stamp.get("packages")
    if stamp.get("toolchain") != toolchain or not isinstance(built, dict):
        built = {}
    return [
        p.name
        for p in packages
        if built.get(p.name) != p.fingerprint or not (workspace.install / p.name).is_dir()
    ]


def _clean_generated(workspace: Workspace, packages: list[Package], stamp: Mapping[str, object]) -> None:
    """
    Remove what was built of packages whose list of interfaces is not that of the last build.

    The code generated for an interface that is gone stays in the build folder, is compiled again, and then lacks symbols.
    """
    built = stamp.get("interfaces")
    built = built if isinstance(built, dict) else {}
    for package in packages:
        if built.get(package.name, []) != list(package.interfaces):
            for folder in (workspace.build, workspace.install):
                shutil.rmtree(folder / package.name, ignore_errors=True)


def _build(workspace: Workspace, underlay: Underlay, names: list[str], *, everything: bool) -> None:
    log = workspace.log_file("build")
    log.unlink(missing_ok=True)
    command = [
        str(workspace.python),
        "-c",
        "import sys; from colcon_core.command import main; sys.exit(main())",
        "build",
    ]
    if not everything:
        command += ["--packages-above", *names]
    variables = environment.underlay_environment(workspace, underlay)
    variables["COLCON_DEFAULTS_FILE"] = str(colcon_defaults(workspace, underlay))
    variables["PYTHONWARNINGS"] = (
        "ignore"  # setuptools complains about `develop`, which --symlink-install needs
    )
    failed: list[str] = []

    def on_line(line: str) -> None:
        found = re.match(r"(Starting >>>|Finished <<<|Failed +<<<) (\S+)", line)
        if found:
            step.progress(line)
            if found[1].startswith("Failed"):
                failed.append(found[2])

    with Step(f"building {', '.join(names)}") as step:
        if run_logged(command, log, environment=variables, folder=workspace.root, on_line=on_line) != 0:
            what = ", ".join(failed) or "the workspace"
            raise EdgeError(f"{what} does not build; all that was said is in {log}:\n{tail(log, 40)}")


def _package(folder: Path) -> Package:
    digest = hashlib.sha256()
    interfaces = []
    for path in _files(folder):
        name = str(path.relative_to(folder))
        if path.suffix in _GENERATED_FROM:
            interfaces.append(name)
        if path.name in _DECLARATIONS or path.suffix in _INTERFACES:
            digest.update(f"{name}\0".encode() + path.read_bytes())
        elif set(path.relative_to(folder).parts[:-1]) & _INSTALLED_FOLDERS:
            digest.update(f"{name}\0".encode())
    text = (folder / "package.xml").read_text(encoding="utf-8")
    found = re.search(r"<name>\s*(\S+?)\s*</name>", text)
    return Package(
        found[1] if found else folder.name, folder, digest.hexdigest()[:16], tuple(sorted(interfaces))
    )


def _files(folder: Path) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if f not in ("__pycache__", "test") and not f.endswith(".egg-info")
        )
        for name in sorted(names):
            if not name.endswith(".pyc"):
                yield Path(path) / name
