# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A robot as data: its joints with their limits, its frames, its cameras, and how it takes commands.

Read from a YAML file such as robots/so101_sim.yaml of this package. Units: rad, rad/s (m, m/s for prismatic joints),
m, pixels. Frames: REP-103; a camera's pose is that of its optical frame (z forward, x right, y down) in the base
frame. A camera on a link that moves has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from edge_stack_core.package_files import find_yaml, share_folder
from edge_stack_core.yaml_file import YamlFile, load_yaml

_SCHEMA = Path(__file__).parent / "schema" / "robot.schema.json"

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """
    One joint: position limits (rad or m) and the highest speed that is commanded (rad/s or m/s).

    following_error_max: how far it may be from its command, rad or m; following_error_s: for how long it may be further.
    """

    name: str
    position_min: float
    position_max: float
    velocity_max: float
    home: float
    following_error_max: float
    following_error_s: float


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera without distortion; it may be on a link that moves."""

    name: str
    frame_id: str
    width: int
    height: int
    fovy_deg: float

    def intrinsics(self) -> FloatArray:
        """Return the camera matrix K, [3,3], pixels."""
        focal = 0.5 * self.height / np.tan(np.radians(self.fovy_deg) / 2.0)
        return np.array([[focal, 0.0, self.width / 2.0], [0.0, focal, self.height / 2.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class FixedCamera(CameraModel):
    """A camera that is fixed in the base frame."""

    position_m: FloatArray
    rotation: FloatArray
    """[3,3]: columns are the optical axes (x right, y down, z forward) in the base frame."""

    def quaternion(self) -> tuple[float, float, float, float]:
        """Return the rotation as a unit quaternion x, y, z, w with w >= 0."""
        return _quaternion(self.rotation)


@dataclass(frozen=True)
class Robot:
    """One robot."""

    name: str
    base_frame: str
    joints: tuple[Joint, ...]
    cameras: dict[str, CameraModel]
    geometry: dict[str, Any] = field(default_factory=dict)
    """Lengths and offsets that the robot's own kinematics need, m."""
    urdf: Path | None = None
    """Its description as URDF, whose joints are those of joint_states; None if the file names none."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints in the order of every array of this robot."""
        return tuple(joint.name for joint in self.joints)

    @property
    def position_min(self) -> FloatArray:
        """Lower position limits, [A]."""
        return np.array([joint.position_min for joint in self.joints])

    @property
    def position_max(self) -> FloatArray:
        """Upper position limits, [A]."""
        return np.array([joint.position_max for joint in self.joints])

    @property
    def velocity_max(self) -> FloatArray:
        """Highest speeds, [A]."""
        return np.array([joint.velocity_max for joint in self.joints])

    @property
    def following_error_max(self) -> FloatArray:
        """How far the joints may be from their commands, [A], rad or m."""
        return np.array([joint.following_error_max for joint in self.joints])

    @property
    def following_error_s(self) -> FloatArray:
        """For how long they may be further, [A], s."""
        return np.array([joint.following_error_s for joint in self.joints])

    @property
    def home(self) -> FloatArray:
        """Rest positions, [A]."""
        return np.array([joint.home for joint in self.joints])


def find_robot(name: str, *folders: Path) -> Path:
    """
    Return a robot's file: a .yaml file itself, NAME.yaml in one of the folders, or a shipped one.

    ConfigurationError names the known ones if there is none.
    """
    return find_yaml("robot", name, *folders, share_folder("edge_stack_core") / "robots")


def load_robot(path: str | Path) -> Robot:
    """Load a robot from its YAML file; ConfigurationError names file, line and field."""
    file = load_yaml(path, _SCHEMA)
    joints = []
    seen: set[str] = set()
    for index, entry in enumerate(file.data["joints"]):
        where = ("joints", index)
        if entry["name"] in seen:
            raise file.error(where, f"the joint {entry['name']} stands twice")
        seen.add(entry["name"])
        low, high = entry["position"]
        if low >= high:
            raise file.error(
                (*where, "position"), f"the lower limit {low} is not below the upper limit {high}"
            )
        home = entry.get("home", min(max(0.0, low), high))
        if not low <= home <= high:
            raise file.error((*where, "home"), f"{home} is outside the limits {low} to {high}")
        following = entry.get("following_error", file.data.get("following_error"))
        if following is None:
            raise file.error(
                where,
                "following_error is missing: how far the joint may be from its command, and for how long, such as"
                " following_error: {max: 0.25, time_s: 0.5}, here or for all joints at the top",
            )
        joints.append(
            Joint(
                entry["name"],
                float(low),
                float(high),
                float(entry["velocity_max"]),
                float(home),
                float(following["max"]),
                float(following["time_s"]),
            )
        )
    cameras = {name: _camera(file, name, entry) for name, entry in file.data.get("cameras", {}).items()}
    return Robot(
        name=file.data["name"],
        base_frame=file.data.get("base_frame", "base_link"),
        joints=tuple(joints),
        cameras=cameras,
        geometry=dict(file.data.get("geometry", {})),
        urdf=_urdf(file),
    )


def _urdf(file: YamlFile) -> Path | None:
    """Return the file of the URDF, which stands relative to the robot's own file."""
    if "urdf" not in file.data:
        return None
    path = file.path.resolve().parent / Path(file.data["urdf"]).expanduser()
    if not path.is_file():
        raise file.error(("urdf",), f"there is no file {path}")
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise file.error(("urdf",), f"{path} is no XML: {error}") from None
    expand = ": expand it, `xacro IN > OUT`" if path.suffix == ".xacro" else ""
    if root.tag != "robot" or expand:
        raise file.error(("urdf",), f"{path} is no URDF, which begins with <robot>{expand}")
    return path


def _quaternion(rotation: FloatArray) -> tuple[float, float, float, float]:
    """Return a rotation matrix as a unit quaternion x, y, z, w: the eigenvector of Bar-Itzhack's matrix (JGCD 23, 2000)."""
    r = rotation
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    vector = np.linalg.eigh(matrix)[1][:, -1]
    x, y, z, w = (float(value) for value in (vector if vector[3] >= 0.0 else -vector))
    return x, y, z, w


def _camera(file: YamlFile, name: str, entry: dict[str, Any]) -> CameraModel:
    optics = name, entry["frame"], entry["width"], entry["height"], float(entry["fovy_deg"])
    if "position" not in entry and "look_at" not in entry:
        if "right" in entry:
            raise file.error(
                ("cameras", name), "has `right` and no position and look_at; give all, or none of them"
            )
        return CameraModel(*optics)
    for given, missing in (("position", "look_at"), ("look_at", "position")):
        if missing not in entry:
            raise file.error(
                ("cameras", name),
                f"has {given} and no {missing}; give both for a fixed camera, and none for one on a link that moves",
            )
    position = np.array(entry["position"], dtype=np.float64)
    forward = np.array(entry["look_at"], dtype=np.float64) - position
    down = np.array([0.0, 0.0, -1.0])
    right = np.cross(down, forward)
    if np.linalg.norm(right) < 1e-9:
        if "right" not in entry:
            raise file.error(("cameras", name), "looks straight down or up; give `right`, the image's x axis")
        right = np.array(entry["right"], dtype=np.float64)
    axes = [right, np.cross(forward, right), forward]
    rotation = np.stack([axis / np.linalg.norm(axis) for axis in axes], axis=1)
    return FixedCamera(*optics, position, rotation)
