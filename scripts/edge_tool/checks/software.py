# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Software of the workspace: ROS, Python, compiler, what is installed and built, engines, rendering, weights."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_stack.doctor.findings import Finding, Level
from edge_stack.doctor.software import ENGINES_QUESTION, ask, engines
from edge_tool import building, installation, interpreters, system_packages
from edge_tool.terminal import EdgeError
from edge_tool.underlay import Underlay, find_underlay
from edge_tool.workspace import Workspace

TASKS = ("detect", "segment", "pose", "obb", "classify")
_LEAST_FREE_GB = 3.0

# What the simulated robot needs. Rendering is tried: a library that loads may still not render.
_RENDERING_QUESTION = """
import os
os.environ.setdefault("MUJOCO_GL", "egl")
try:
    import mujoco
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    renderer = mujoco.Renderer(model, 24, 32)
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
    from OpenGL import GL
    facts["renderer"] = GL.glGetString(GL.GL_RENDERER).decode()
    renderer.close()
except Exception as error:
    facts["render_error"] = f"{type(error).__name__}: {error}"
"""


def ros_and_python(workspace: Workspace) -> Iterator[Finding]:
    """Look at the underlay, the Python for it, and what the system lacks."""
    try:
        underlay = find_underlay()
    except EdgeError as error:
        yield Finding("ROS", Level.BAD, error.problem, error.remedy)
        return
    yield Finding("ROS", Level.GOOD, underlay.title)
    try:
        extras = workspace.read_stamp(installation.STAMP).get("extras", [])
        interpreter = interpreters.choose(underlay, extras)
    except EdgeError as error:
        yield Finding("Python", Level.BAD, error.problem, error.remedy)
        return
    lacking = system_packages.missing(interpreter, underlay)
    yield Finding(
        "Python", Level.GOOD, f"{'.'.join(map(str, interpreter.version))} ({interpreter.executable})"
    )
    compiler = system_packages.compiler_version()
    if compiler:
        yield Finding("compiler", Level.GOOD, compiler)
    if lacking:
        packages = list(dict.fromkeys(p for item in lacking for p in item.packages))
        what = "missing: " + ", ".join(item.what for item in lacking)
        yield Finding("system packages", Level.BAD, what, system_packages.install_line(packages))
    yield from _state(workspace, underlay)


def _state(workspace: Workspace, underlay: Underlay) -> Iterator[Finding]:
    stamp = workspace.read_stamp(installation.STAMP)
    if installation.is_current(workspace, stamp, underlay, stamp.get("extras", [])):
        yield Finding("packages", Level.GOOD, "installed in .edge/venv")
    else:
        free_gb = shutil.disk_usage(workspace.root).free / 1e9
        level = Level.NOTE if free_gb >= _LEAST_FREE_GB else Level.BAD
        yield Finding(
            "packages", level, f"not installed yet; {free_gb:.0f} GB free, about 1 GB needed", "./edge setup"
        )
    names = building.changed(workspace, underlay)
    if names:
        yield Finding("build", Level.NOTE, f"to be built: {', '.join(names)}", "./edge build")
    else:
        yield Finding("build", Level.GOOD, "up to date")


def in_the_venv(workspace: Workspace) -> Iterator[Finding]:
    """Look at rendering, inference and the optional packages, as the nodes would find them."""
    if not workspace.python.exists():
        yield Finding(
            "rendering", Level.NOTE, "cannot be tried before the packages are installed", "./edge setup"
        )
        return
    environment = {**os.environ, "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "PYTHONNOUSERSITE": "1"}
    try:
        facts = ask(workspace.python, ENGINES_QUESTION + _RENDERING_QUESTION, environment)
    except subprocess.CalledProcessError as error:
        yield Finding("rendering", Level.BAD, f"the renderer ended with code {error.returncode}", _EGL_REMEDY)
        return
    except (subprocess.SubprocessError, ValueError) as error:
        yield Finding("rendering", Level.BAD, f"cannot be tried: {error}", "./edge setup")
        return
    if "renderer" in facts:
        yield Finding("rendering", Level.GOOD, f"EGL, {facts['renderer']}")
    else:
        yield Finding("rendering", Level.BAD, f"EGL: {facts.get('render_error')}", _EGL_REMEDY)
    yield from engines(facts, "./edge setup")
    if facts["ultralytics"]:
        yield Finding("ultralytics", Level.GOOD, "installed: .pt files, export and training work")
    else:
        remedy = "./edge setup --with ultralytics"
        yield Finding("ultralytics", Level.NOTE, "not installed: no .pt files, export or training", remedy)


_EGL_REMEDY = system_packages.install_line(["libegl1", "libgl1", "libgl1-mesa-dri"])


def weights(workspace: Workspace) -> Iterator[Finding]:
    """Look at the demo's weights."""
    folder = workspace.src / "edge_stack_ultralytics" / "edge_stack_ultralytics" / "weights"
    missing = [task for task in TASKS if not _is_model(folder / f"{task}.onnx")]
    if missing:
        remedy = "git checkout -- src/edge_stack_ultralytics, or train them: its README says how"
        yield Finding("weights", Level.BAD, f"missing in {folder}: {', '.join(missing)}", remedy)
    else:
        size_mb = sum((folder / f"{task}.onnx").stat().st_size for task in TASKS) / 1e6
        yield Finding("weights", Level.GOOD, f"{len(TASKS)} models for the demo, {size_mb:.1f} MB")


def _is_model(path: Path) -> bool:
    try:
        return path.stat().st_size > 10_000
    except OSError:
        return False
