# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Draws MuJoCo scenes without a window: through EGL, else OSMesa, else an error that names the packages to install.

Its unit of work is one frame. MUJOCO_GL (egl, osmesa) is obeyed where it is set; unlike MuJoCo's own renderer it may be
set, or left unset, no matter when MuJoCo was imported. A renderer belongs to the thread that made it.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

INSTALL = "sudo apt-get install -y libegl1 libgl1-mesa-dri"
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
_GEOMS_MAX = 200


class RenderingUnavailableError(RuntimeError):
    """No way to draw on this machine; the message says what to install."""


def choose() -> str:
    """How to draw here: what MUJOCO_GL says, else the first of egl and osmesa that can be loaded, else ""."""
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted:
        return wanted
    return next((name for name, library in _LIBRARIES.items() if _loads(library)), "")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _open_context(width: int, height: int) -> Any:
    chosen = choose()
    try:
        if chosen == "egl":
            from mujoco.egl import GLContext
        elif chosen == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            raise ImportError(
                "neither EGL nor OSMesa can be loaded" if not chosen else "it can only be egl or osmesa"
            )
        context = GLContext(width, height)
        context.make_current()
    except Exception as error:
        raise RenderingUnavailableError(
            f"the scene cannot be drawn (MUJOCO_GL={chosen or 'unset'}): {error}; to install what it needs: {INSTALL}"
        ) from error
    return context


class Renderer:
    """Draws one model in one size.

    Raises:
        RenderingUnavailableError: this machine cannot draw.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        self._gl: Any = _open_context(width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=_GEOMS_MAX)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 1
        self._perturbation = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._pixels = np.empty((height, width, 3), dtype=np.uint8)

    def draw(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Draw what a camera sees: uint8 [H, W, 3] RGB, a new array."""
        return self._draw(data, camera)[::-1].copy()

    def segment(self, data: mujoco.MjData, camera: str) -> NDArray[np.int32]:
        """Id of the geom that each pixel shows, int32 [H, W]; -1 for none."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        try:
            pixels = self._draw(data, camera)[::-1].astype(np.int32)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        geoms = np.full(self._scene.maxgeom + 1, -1, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.segid >= 0:
                geoms[geom.segid + 1] = geom.objid
        return geoms[pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)]

    def close(self) -> None:
        """Free the drawing context."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None

    def _draw(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            self._perturbation,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)
        return self._pixels
