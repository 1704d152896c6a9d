# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Software: ROS, Python, compiler, what is installed and built, rendering, weights, TensorRT."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_tool import building, installation, interpreters, system_packages
from edge_tool.checks import Finding, Level, read
from edge_tool.terminal import EdgeError
from edge_tool.underlay import Underlay, find_underlay
from edge_tool.workspace import Workspace

TASKS = ("detect", "segment", "pose", "obb", "classify")
_LEAST_FREE_GB = 3.0

# Runs in the venv: what the nodes would find. Rendering is tried: a library that loads may still not render.
_QUESTION = """
import importlib.util, json, os
facts = {}
try:
    import onnxruntime
    facts["onnxruntime"] = onnxruntime.__version__
    facts["providers"] = onnxruntime.get_available_providers()
except Exception as error:
    facts["onnxruntime_error"] = str(error)
for name in ("tensorrt", "openvino", "ultralytics", "launch_ros", "cv_bridge"):
    facts[name] = importlib.util.find_spec(name) is not None
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
print(json.dumps(facts))
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
        answer = subprocess.run(
            [str(workspace.python), "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=60.0,
            check=True,
            env=environment,
        )
        facts = json.loads(answer.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        yield Finding("rendering", Level.BAD, f"the renderer ended with code {error.returncode}", _EGL_REMEDY)
        return
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        yield Finding("rendering", Level.BAD, f"cannot be tried: {error}", "./edge setup")
        return
    if "renderer" in facts:
        yield Finding("rendering", Level.GOOD, f"EGL, {facts['renderer']}")
    else:
        yield Finding("rendering", Level.BAD, f"EGL: {facts.get('render_error')}", _EGL_REMEDY)
    if "onnxruntime" in facts:
        providers = ", ".join(p.removesuffix("ExecutionProvider") for p in facts["providers"])
        yield Finding("ONNX Runtime", Level.GOOD, f"{facts['onnxruntime']} ({providers})")
    else:
        yield Finding("ONNX Runtime", Level.BAD, str(facts.get("onnxruntime_error")), "./edge setup")
    yield _tensorrt(bool(facts["tensorrt"]))
    if facts["ultralytics"]:
        yield Finding("ultralytics", Level.GOOD, "installed: .pt files, export and training work")
    else:
        remedy = "./edge setup --with ultralytics"
        yield Finding("ultralytics", Level.NOTE, "not installed: no .pt files, export or training", remedy)


_EGL_REMEDY = system_packages.install_line(["libegl1", "libgl1", "libgl1-mesa-dri"])


def _tensorrt(importable: bool) -> Finding:
    library = next((name for n in (10, 8) if system_packages.loads(name := f"libnvinfer.so.{n}")), "")
    if importable:
        return Finding("TensorRT", Level.GOOD, f"Python package{' and ' + library if library else ''}")
    if library:
        remedy = "sudo apt-get install -y python3-libnvinfer"
        return Finding("TensorRT", Level.NOTE, f"{library}, but no Python package", remedy)
    if shutil.which("nvidia-smi") or read("/etc/nv_tegra_release"):
        return Finding(
            "TensorRT", Level.NOTE, "not installed", "on a Jetson: sudo apt-get install -y nvidia-tensorrt"
        )
    return Finding("TensorRT", Level.GOOD, "not installed, and without an NVIDIA GPU not needed")


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
