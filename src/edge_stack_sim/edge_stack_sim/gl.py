# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Chooses how MuJoCo draws without a window: EGL, else OSMesa, else an error that names the packages to install.

Its unit of work is one process: `choose` sets MUJOCO_GL before MuJoCo is first imported, because MuJoCo reads it only
then. It never draws. A MUJOCO_GL that the user has set is left alone.
"""

from __future__ import annotations

import ctypes
import os

INSTALL = "sudo apt-get install -y libegl1 libgl1-mesa-dri"
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}


class RenderingUnavailableError(RuntimeError):
    """No way to draw on this machine; the message says what to install."""


def choose() -> str:
    """Set MUJOCO_GL to what this machine can load, and return it ("disable" if nothing: physics still works)."""
    chosen = os.environ.get("MUJOCO_GL", "")
    if not chosen:
        chosen = next((name for name, library in _LIBRARIES.items() if _loads(library)), "disable")
        os.environ["MUJOCO_GL"] = chosen
    if chosen == "egl":
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    return chosen


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
