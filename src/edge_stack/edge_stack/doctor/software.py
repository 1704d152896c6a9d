# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What runs the stack on a robot: ROS, the packages with their libraries, and the engines that execute models."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_stack.doctor.findings import Finding, Level, read
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.walls.manifest import read_manifest
from edge_stack_core.walls.manifest_check import ROSDEP_KEYS

# A Python of its own answers it: a broken library may end the process that loads it.
ENGINES_QUESTION = """
import importlib.util, json
facts = {}
try:
    import onnxruntime
    facts["onnxruntime"] = onnxruntime.__version__
    facts["providers"] = onnxruntime.get_available_providers()
except Exception as error:
    facts["onnxruntime_error"] = str(error)
for name in ("tensorrt", "openvino", "ultralytics"):
    facts[name] = importlib.util.find_spec(name) is not None
"""
_ANSWER = "print(json.dumps(facts))\n"
# edge_stack_core has them for the tests of nodes; no node imports them.
_FOR_TESTS = {"python3-hypothesis", "python3-pytest"}


def ros() -> Iterator[Finding]:
    """Look whether a ROS 2 is sourced, and for which Python."""
    distro = os.environ.get("ROS_DISTRO", "")
    if _is_there("rclpy"):
        yield Finding("ROS", Level.GOOD, f"ROS 2 {distro.capitalize()}".rstrip())
    else:
        remedy = f". /opt/ros/{distro or 'jazzy'}/setup.sh"
        yield Finding("ROS", Level.BAD, "not sourced: this Python has no rclpy", remedy)
    yield Finding("Python", Level.GOOD, f"{platform.python_version()} ({sys.executable})")


def packages() -> Iterator[Finding]:
    """Look for the packages that the bring-up starts, and for the libraries that they need."""
    try:
        names = sorted(
            name
            for name in read_manifest(share_folder("edge_stack")).runtime
            if name.startswith("edge_stack_") and name != "edge_stack_msgs"
        )
    except ConfigurationError as error:
        yield Finding("packages", Level.BAD, str(error), ". install/setup.sh")
        return
    absent = [name for name in names if not _is_there(name)]
    if absent:
        remedy = "colcon build --packages-up-to edge_stack && . install/setup.sh"
        yield Finding("packages", Level.BAD, f"missing: {', '.join(absent)}", remedy)
    else:
        yield Finding("packages", Level.GOOD, ", ".join(names))
    keys = sorted({key for name in names if name not in absent for key in _keys(name)})
    modules = {key: module for module, key in ROSDEP_KEYS.items() if key not in _FOR_TESTS}
    lacking = [key for key in keys if key in modules and not _is_there(modules[key])]
    if lacking:
        remedy = "rosdep install --from-paths src --ignore-src -y"
        yield Finding("libraries", Level.BAD, f"missing: {', '.join(lacking)}", remedy)


def engines(facts: Mapping[str, Any], remedy: str) -> Iterator[Finding]:
    """Report the engines that a Python found. facts: of ask(). remedy: what installs ONNX Runtime."""
    if "onnxruntime" in facts:
        providers = ", ".join(p.removesuffix("ExecutionProvider") for p in facts["providers"])
        yield Finding("ONNX Runtime", Level.GOOD, f"{facts['onnxruntime']} ({providers})")
    else:
        yield Finding("ONNX Runtime", Level.BAD, str(facts.get("onnxruntime_error")), remedy)
    yield _tensorrt(bool(facts.get("tensorrt")))


def ask(python: str | Path, question: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """
    Let a Python answer a question: lines that fill the dict facts.

    Raises subprocess.SubprocessError where it does not end well, ValueError where it gives no answer.
    """
    answer = subprocess.run(
        [str(python), "-c", question + _ANSWER],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=True,
        env=dict(environment),
    )
    lines = answer.stdout.splitlines()
    if not lines:
        raise ValueError("no answer")
    facts: dict[str, Any] = json.loads(lines[-1])
    return facts


def _tensorrt(importable: bool) -> Finding:
    library = next((name for n in (10, 8) if _loads(name := f"libnvinfer.so.{n}")), "")
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


def _keys(package: str) -> frozenset[str]:
    try:
        return read_manifest(share_folder(package)).runtime
    except ConfigurationError:
        return frozenset()


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
