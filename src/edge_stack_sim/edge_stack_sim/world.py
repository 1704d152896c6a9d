# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated table: physics, camera and exact ground truth of one scene.

Its unit of work is a physics step, a frame, or the annotations of a frame. Objects of this class are not thread-safe:
the thread that first renders must be the one that renders on. It knows nothing of tasks, time pacing or ROS.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from edge_stack_sim import gl
from edge_stack_sim.scene import (
    BEARING_MAX,
    CAMERA,
    CLASSES,
    HEIGHT,
    HOME,
    JOINT_LIMITS,
    JOINTS,
    KEYPOINTS,
    MARK_SPACING,
    MIN_SPACING,
    NOMINAL,
    OBJECTS,
    PINION_RADIUS,
    REACH_MAX,
    REACH_MIN,
    WIDTH,
    SceneStyle,
    apply_style,
    build_model,
    camera_axes,
)

CLEAR_HEIGHT = 0.05  # m; objects may be placed below a tool that is higher than this,
CLEAR_RADIUS = 0.07  # m; or at least this far from it

_NOISE_MARGIN = 48  # px
_UNSTABLE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
# By itself MuJoCo writes its warnings into MUJOCO_LOG.TXT of the current folder.
mujoco.set_mju_user_warning(logging.getLogger(__name__).warning)
_RING = np.linspace(0.0, 2.0 * math.pi, 24, endpoint=False)
_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Annotation:
    """Ground truth of one thing in one frame. Pixels, x right, y down, of the rendered image.

    `box` and `mask` are of the visible pixels. `corners` [4, 2] and `rotated` (cx, cy, w, h, theta) are the smallest
    rotated rectangle: around the projected whole shape for objects and mark, around the visible pixels for gripper and
    hand. w >= h and theta in [-pi/4, 3pi/4), from +x towards +y. `visible` is the visible part of the whole projected
    shape, 0..1 (1 where it is not defined). `keypoints` [K, 3]: x, y and 2 visible, 1 hidden, 0 outside the image.
    """

    name: str
    class_id: int
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_]
    corners: NDArray[np.float64]
    rotated: tuple[float, float, float, float, float]
    visible: float
    keypoints: NDArray[np.float64] | None = None


class World:
    """One simulated table: step it, look at it, ask it the truth.

    Args:
        style: how it looks.
        seed: of image noise and of `place_objects` where no generator is given.
    """

    def __init__(self, style: SceneStyle = NOMINAL, seed: int = 0) -> None:
        self.model = build_model(style)
        self.data = mujoco.MjData(self.model)
        self.style = style
        self._rng = np.random.default_rng(seed)
        self._noise_rng = np.random.default_rng((seed, 1))
        self._renderer: gl.Renderer | None = None
        self._noise = self._make_noise()
        self._joint_q = np.array([self.model.joint(name).qposadr[0] for name in JOINTS[:5]])
        self._joint_v = np.array([self.model.joint(name).dofadr[0] for name in JOINTS[:5]])
        fingers = ("left_finger", "right_finger")
        self._finger_q = np.array([self.model.joint(name).qposadr[0] for name in fingers])
        self._finger_v = np.array([self.model.joint(name).dofadr[0] for name in fingers])
        limits = np.array([JOINT_LIMITS[name] for name in JOINTS])
        self._low, self._high = limits[:, 0], limits[:, 1]
        self._class_of_geom = np.full(
            self.model.ngeom + 1, -1, dtype=np.int16
        )  # the last serves "no geom" (-1)
        for geom in range(self.model.ngeom):
            name = self.model.geom(geom).name
            if name in CLASSES:
                self._class_of_geom[geom] = CLASSES.index(name)
            elif name.startswith("hand_"):
                self._class_of_geom[geom] = CLASSES.index("hand")
            elif name.startswith("gripper_") or name.endswith("_finger"):
                self._class_of_geom[geom] = CLASSES.index("gripper")
        self._keypoint_geoms = [
            {self.model.geom(geom).id for geom in geoms}
            for geoms in (("base",), ("elbow",), ("wrist",), ("left_finger",), ("right_finger",))
        ]
        self.reset()

    # ---- physics

    @property
    def time_s(self) -> float:
        """Simulated time since the last reset."""
        return float(self.data.time)

    @property
    def joint_positions(self) -> NDArray[np.float64]:
        """Positions [6] of `JOINTS`, rad."""
        return np.append(self.data.qpos[self._joint_q], self.data.qpos[self._finger_q].mean() / PINION_RADIUS)

    @property
    def joint_velocities(self) -> NDArray[np.float64]:
        """Velocities [6] of `JOINTS`, rad/s."""
        return np.append(self.data.qvel[self._joint_v], self.data.qvel[self._finger_v].mean() / PINION_RADIUS)

    @property
    def tool_position(self) -> NDArray[np.float64]:
        """Position [3] of the point between the fingertips, m."""
        return self.data.site("tool").xpos.copy()

    @property
    def tool_axis(self) -> NDArray[np.float64]:
        """Unit vector [3] in which the tool points."""
        return self.data.site("tool").xmat.reshape(3, 3)[:, 2].copy()

    def reset(self, joints: NDArray[np.float64] | tuple[float, ...] = HOME) -> None:
        """Start anew with the arm at rest at `joints`, the objects and the mark placed by the world's own generator."""
        mujoco.mj_resetData(self.model, self.data)
        self.teleport_arm(joints)
        self.hide_hand()
        self.place_objects(self._rng)

    def teleport_arm(self, joints: NDArray[np.float64] | tuple[float, ...]) -> None:
        """Put the arm at `joints` [6] at once, at rest."""
        target = np.clip(np.asarray(joints, dtype=np.float64), self._low, self._high)
        self.data.qpos[self._joint_q] = target[:5]
        self.data.qpos[self._finger_q] = target[5] * PINION_RADIUS
        self.data.qvel[self._joint_v] = 0.0
        self.data.qvel[self._finger_v] = 0.0
        self._command(target)
        mujoco.mj_forward(self.model, self.data)

    def step(self, command: NDArray[np.float64] | None = None, steps: int = 1) -> None:
        """Advance by `steps` of `TIMESTEP_S`. `command` [6]: new joint targets, rad; None keeps the last ones."""
        if command is not None:
            self._command(np.clip(np.asarray(command, dtype=np.float64), self._low, self._high))
        mujoco.mj_step(self.model, self.data, steps)
        if any(self.data.warning[kind].number for kind in _UNSTABLE):
            self.reset()  # MuJoCo has begun anew with all joints at 0, and the objects where the model has them

    def _command(self, target: NDArray[np.float64]) -> None:
        self.data.ctrl[:5] = target[:5]
        self.data.ctrl[5:7] = target[5] * PINION_RADIUS

    # ---- objects, mark, hand

    def restyle(self, style: SceneStyle) -> None:
        """Change the looks without compiling anew. Call `place_objects` after it: sizes may have changed."""
        apply_style(self.model, style)
        self.style = style
        self._noise = self._make_noise()
        mujoco.mj_forward(self.model, self.data)

    def object_pose(self, name: str) -> NDArray[np.float64]:
        """Position and quaternion [7] (x y z, qw qx qy qz) of an object."""
        return self.data.joint(name).qpos.copy()

    def object_speed(self, name: str) -> float:
        """Speed of an object, m/s."""
        return float(np.linalg.norm(self.data.joint(name).qvel[:3]))

    def is_touched(self, name: str) -> bool:
        """Whether the gripper touches an object."""
        geom = self.model.geom(name).id
        for pair in self.data.contact.geom:
            if geom in pair and any(self._class_of_geom[other] == CLASSES.index("gripper") for other in pair):
                return True
        return False

    @property
    def mark_position(self) -> NDArray[np.float64]:
        """Centre [2] of the mark on the table, m."""
        return self.model.geom("mark").pos[:2].copy()

    def set_object(self, name: str, x: float, y: float, yaw: float = 0.0, z: float | None = None) -> None:
        """Put an object down at rest; on the table unless `z` is given."""
        height = self.style.object_sizes[name] / 2.0 if z is None else z
        joint = self.data.joint(name)
        joint.qpos[:] = (x, y, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
        joint.qvel[:] = 0.0

    def set_mark(self, x: float, y: float) -> None:
        """Move the mark."""
        self.model.geom("mark").pos[:2] = (x, y)

    def place_objects(self, rng: np.random.Generator | None = None) -> None:
        """Put mark and objects at random places within reach, apart from each other and from the tool, at rest."""
        generator = self._rng if rng is None else rng
        tool = self.tool_position
        while True:
            spots = _draw_spots(generator)
            if spots is None:
                continue
            if tool[2] > CLEAR_HEIGHT or all(math.dist(spot, tool[:2]) > CLEAR_RADIUS for spot in spots):
                break
        self.set_mark(*spots[0])
        for name, (x, y) in zip(OBJECTS, spots[1:], strict=True):
            self.set_object(name, x, y, float(generator.uniform(-math.pi, math.pi)))
        mujoco.mj_forward(self.model, self.data)

    def set_hand(self, x: float, y: float, z: float, yaw: float = 0.0) -> None:
        """Put the person's hand at a place; it points along -x turned by `yaw`, its forearm behind it."""
        self.data.mocap_pos[0] = (x, y, z)
        self.data.mocap_quat[0] = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))

    def hide_hand(self) -> None:
        """Take the hand out of the scene."""
        self.data.mocap_pos[0] = (0.0, 0.0, -3.0)

    # ---- camera

    def render(self) -> NDArray[np.uint8]:
        """Draw a frame: uint8 [240, 320, 3] RGB, a new array. RenderingUnavailableError where nothing can be drawn."""
        image = self._open_renderer().draw(self.data, CAMERA)
        if self.style.noise_std > 0.0:
            # A window of one large noise picture, elsewhere at each frame: noise of its own for a frame costs 4 ms.
            row, column = self._noise_rng.integers(0, _NOISE_MARGIN, 2)
            noise = self._noise[row : row + HEIGHT, column : column + WIDTH]
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
        return image

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels [N, 2] of base-frame points [N, 3] (no lens distortion)."""
        local = (np.atleast_2d(points) - np.asarray(self.style.camera_position)) @ camera_axes(self.style)
        focal = focal_length_px(self.style.camera_fovy)
        pixels: NDArray[np.float64] = local[:, :2] / local[:, 2:] * focal + (WIDTH / 2.0, HEIGHT / 2.0)
        return pixels

    def annotations(self, min_pixels: int = 12) -> list[Annotation]:
        """Ground truth of everything that shows at least `min_pixels`, as the next `render` would draw it."""
        geoms = self._open_renderer().segment(self.data, CAMERA)
        classes = self._class_of_geom[geoms]
        found = []
        for class_id, name in enumerate(CLASSES):
            mask = classes == class_id
            count = int(mask.sum())
            if count < min_pixels:
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            whole = self._outline(name)
            visible = 1.0
            if whole is None:
                outline = np.argwhere(mask)[:, ::-1].astype(np.float32) + 0.5
            else:
                outline = whole.astype(np.float32)
                visible = min(1.0, count / max(float(cv2.contourArea(cv2.convexHull(outline))), 1.0))
            corners = cv2.boxPoints(cv2.minAreaRect(outline)).astype(np.float64)
            keypoints = self._keypoints(geoms) if name == "gripper" else None
            found.append(
                Annotation(name, class_id, box, mask, corners, rotated_box(corners), visible, keypoints)
            )
        return found

    def close(self) -> None:
        """Free the drawing context. `render` opens a new one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _make_noise(self) -> NDArray[np.int16]:
        shape = (HEIGHT + _NOISE_MARGIN, WIDTH + _NOISE_MARGIN, 3)
        if self.style.noise_std <= 0.0:
            return np.zeros((0, 0, 3), dtype=np.int16)
        return np.rint(
            self._noise_rng.standard_normal(shape, dtype=np.float32) * self.style.noise_std
        ).astype(np.int16)

    def _open_renderer(self) -> gl.Renderer:
        if self._renderer is None:
            self._renderer = gl.Renderer(self.model, HEIGHT, WIDTH)
        return self._renderer

    def _outline(self, name: str) -> NDArray[np.float64] | None:
        """Pixels [N, 2] whose hull is the projected whole shape; None for jointed things."""
        if name in ("gripper", "hand"):
            return None
        geom = self.data.geom(name)
        size = self.model.geom(name).size
        if name == "mark":
            local = np.stack((size[0] * np.cos(_RING), size[0] * np.sin(_RING), np.full(24, size[1])), axis=1)
        elif name == "yellow_cylinder":
            ring = np.stack((size[0] * np.cos(_RING), size[0] * np.sin(_RING), np.full(24, size[1])), axis=1)
            local = np.concatenate((ring, ring * (1.0, 1.0, -1.0)))
        else:
            local = _CORNERS * size
        return self.project(geom.xpos + local @ geom.xmat.reshape(3, 3).T)

    def _keypoints(self, geoms: NDArray[np.int32]) -> NDArray[np.float64]:
        """Pixels and visibility [K, 3] of `KEYPOINTS`."""
        data = self.data
        points = np.stack(
            (
                data.geom("base").xpos + np.array((0.045, 0.0, 0.0)),  # the face that looks at the camera
                data.body("forearm").xpos,
                data.body("wrist").xpos,
                data.site("left_fingertip").xpos,
                data.site("right_fingertip").xpos,
            )
        )
        pixels = self.project(points)
        keypoints = np.zeros((len(KEYPOINTS), 3))
        keypoints[:, :2] = pixels
        for index, (x, y) in enumerate(pixels):
            column, row = math.floor(x), math.floor(y)
            if 0 <= column < WIDTH and 0 <= row < HEIGHT:
                around = geoms[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                seen = any(int(geom) in self._keypoint_geoms[index] for geom in around.flat)
                keypoints[index, 2] = 2.0 if seen else 1.0
        return keypoints


def focal_length_px(fovy_deg: float) -> float:
    """Focal length of the camera in pixels."""
    return HEIGHT / 2.0 / math.tan(math.radians(fovy_deg) / 2.0)


def rotated_box(corners: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """(cx, cy, w, h, theta) of a rectangle given by its corners [4, 2] in order; w >= h, theta in [-pi/4, 3pi/4)."""
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    long, short = (first, second) if np.hypot(*first) >= np.hypot(*second) else (second, first)
    theta = math.atan2(long[1], long[0])
    theta = (theta + math.pi / 4) % math.pi - math.pi / 4
    centre = corners.mean(axis=0)
    return float(centre[0]), float(centre[1]), float(np.hypot(*long)), float(np.hypot(*short)), theta


def _draw_spots(rng: np.random.Generator) -> list[tuple[float, float]] | None:
    """Places of the mark and the objects, or None where they would not fit."""
    spots: list[tuple[float, float]] = []
    for index in range(1 + len(OBJECTS)):
        for _ in range(40):
            radius = math.sqrt(rng.uniform(REACH_MIN**2, REACH_MAX**2))
            bearing = rng.uniform(-BEARING_MAX, BEARING_MAX)
            spot = (radius * math.cos(bearing), radius * math.sin(bearing))
            gaps = [math.dist(spot, other) for other in spots]
            limits = [MARK_SPACING if number == 0 else MIN_SPACING for number in range(len(spots))]
            if all(gap >= limit for gap, limit in zip(gaps, limits, strict=True)):
                spots.append(spot)
                break
        if len(spots) <= index:
            return None
    return spots
