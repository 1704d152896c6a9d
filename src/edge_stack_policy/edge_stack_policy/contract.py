# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A policy's contract with the robot: which topic each of its features comes from, and in which units.

Its unit is one YAML file, such as contracts/<name>.yaml of this package. A checkpoint names features by keys and
knows numbers without units; the contract ties keys to topics, fields to joints, and units to rad. `check` compares it
with what the checkpoint says about itself before anything moves. It never touches a topic: the policy node does, by what
stands here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.robot import Robot
from edge_stack_core.yaml_file import Field, YamlFile, load_yaml
from edge_stack_policy.base import ENVIRONMENT_STATE, IMAGES, STATE

_SCHEMA = Path(__file__).parent / "schema" / "policy.schema.json"

ACTION = "action"
UNITS = ("rad", "deg", "normalized", "percent")
"""normalized: -100 to 100 between a joint's limits; percent: 0 to 100 between them. Both are LeRobot's."""
DEFAULT_RATE_HZ = 24.0


@dataclass(frozen=True)
class ImageFeature:
    """One camera: uint8 [height, width, 3] RGB under `key`. No height and width: as it comes from the topic."""

    key: str
    topic: str
    camera: str = ""
    height: int | None = None
    width: int | None = None
    rate_hz: float | None = None

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale an image [H, W, 3] to the contract's size: the same way when recording, training and running."""
        if self.height is None or self.width is None or image.shape[:2] == (self.height, self.width):
            return image
        smaller = self.height * self.width < image.shape[0] * image.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (self.width, self.height), interpolation=how), dtype=np.uint8)


@dataclass(frozen=True)
class JointScale:
    """How joint positions are written: value = (position - zero) * scale, for each joint. zero: rad."""

    units: tuple[str, ...]
    zero: tuple[float, ...]
    scale: tuple[float, ...]
    """Units for each rad."""
    limits: tuple[tuple[float, float], ...]
    """Of each joint, rad."""


@dataclass(frozen=True)
class StateFeature:
    """Joint positions from a sensor_msgs/JointState. fields: joints in the order of the values."""

    key: str
    topic: str
    fields: tuple[str, ...]
    scale: JointScale

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each value."""
        return self.scale.units


@dataclass(frozen=True)
class ActionFeature:
    """Joint positions to command. joints: in the order of an action's values."""

    key: str
    joints: tuple[str, ...]
    scale: JointScale

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each value."""
        return self.scale.units


@dataclass(frozen=True)
class EnvironmentStateFeature:
    """
    Detections: the `rows` best of all topics, columns as in DETECTION_FIELDS, zeros where there are fewer.

    class_names: what their class index means.
    """

    key: str
    topics: tuple[str, ...]
    class_names: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class PolicyContract:
    """All features of one policy. path: the file, for errors; empty if made in code."""

    action: ActionFeature
    images: tuple[ImageFeature, ...] = ()
    state: StateFeature | None = None
    environment_state: EnvironmentStateFeature | None = None
    task_topic: str = "instruction"
    task_default: str = ""
    rate_hz: float = DEFAULT_RATE_HZ
    path: str = ""

    @property
    def input_features(self) -> tuple[str, ...]:
        """Keys of all observations but the task."""
        rest = [f.key for f in (self.state, self.environment_state) if f is not None]
        return (*(image.key for image in self.images), *rest)


@dataclass(frozen=True)
class FeatureShapes:
    """
    What a checkpoint says about itself.

    inputs, outputs: shapes by key, images as [3, H, W]. flexible_images: whether it scales images itself, so that any size
    does. names: of the values of a vector, where the checkpoint knows them. ranges: lowest and highest value of each
    component in its training data, in its own units, where known.
    """

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    flexible_images: bool = False
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)


def to_units(feature: StateFeature | ActionFeature, positions: ArrayLike) -> NDArray[np.float64]:
    """Positions [..., A] in rad, in the feature's units."""
    scale = feature.scale
    return (np.asarray(positions, dtype=np.float64) - np.array(scale.zero)) * np.array(scale.scale)


def from_units(feature: StateFeature | ActionFeature, values: ArrayLike) -> NDArray[np.float64]:
    """Values [..., A] in the feature's units, in rad."""
    scale = feature.scale
    return np.asarray(values, dtype=np.float64) / np.array(scale.scale) + np.array(scale.zero)


def plain_contract(robot: Robot, step_s: float = 1.0 / DEFAULT_RATE_HZ) -> PolicyContract:
    """Return the contract of a policy that has none: the robot's joints in rad, its cameras by their names."""
    count = len(robot.joints)
    limits = tuple((joint.position_min, joint.position_max) for joint in robot.joints)
    scale = JointScale(("rad",) * count, (0.0,) * count, (1.0,) * count, limits)
    return PolicyContract(
        action=ActionFeature(ACTION, robot.joint_names, scale),
        images=tuple(ImageFeature(IMAGES + name, "image_raw", name) for name in robot.cameras),
        state=StateFeature(STATE, "joint_states", robot.joint_names, scale),
        rate_hz=1.0 / step_s,
    )


# ---- the file


def load_contract(path: str | Path, robot: Robot) -> PolicyContract:
    """
    Load a contract for a robot.

    path: a file, or a shipped contract's name. Raises ConfigurationError with file, line, field.
    """
    file = load_yaml(_contract_file(path), _SCHEMA)
    data = file.data
    images = tuple(_image(file, key, entry, robot) for key, entry in data.get("images", {}).items())
    state = None
    if "state" in data:
        entry = data["state"]
        fields = tuple(entry.get("fields", robot.joint_names))
        scale = _joint_scale(file, ("state",), "fields", fields, entry, robot)
        state = StateFeature(entry.get("key", STATE), entry.get("topic", "joint_states"), fields, scale)
    environment = None
    if "environment_state" in data:
        entry = data["environment_state"]
        key = entry.get("key", ENVIRONMENT_STATE)
        environment = EnvironmentStateFeature(
            key, tuple(entry["topics"]), tuple(entry["class_names"]), entry["rows"]
        )
    entry = data["action"]
    joints = tuple(entry.get("joints", robot.joint_names))
    action = ActionFeature(
        entry.get("key", ACTION), joints, _joint_scale(file, ("action",), "joints", joints, entry, robot)
    )
    task = data.get("task", {})
    return PolicyContract(
        action=action,
        images=images,
        state=state,
        environment_state=environment,
        task_topic=task.get("topic", "instruction"),
        task_default=task.get("default", ""),
        rate_hz=float(data.get("rate_hz", DEFAULT_RATE_HZ)),
        path=str(file.path),
    )


def _contract_file(path: str | Path) -> Path:
    if Path(path).suffix in (".yaml", ".yml") or Path(path).exists():
        return Path(path)
    folder = share_folder("edge_stack_policy") / "contracts"
    file = folder / f"{path}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.yaml"))) or "none"
        raise ConfigurationError(
            f"there is no policy contract '{path}'; known are {known}, or give the path of a .yaml file"
        )
    return file


def _image(file: YamlFile, key: str, entry: dict[str, Any], robot: Robot) -> ImageFeature:
    camera = entry.get("camera", "")
    if not camera and key.rpartition(".")[2] in robot.cameras:
        camera = key.rpartition(".")[2]
    if camera and camera not in robot.cameras:
        known = ", ".join(robot.cameras) or "none"
        raise file.error(
            ("images", key, "camera"), f"the robot {robot.name} has no camera '{camera}'; it has {known}"
        )
    size = entry.get("resize", {})
    return ImageFeature(
        key, entry["topic"], camera, size.get("height"), size.get("width"), entry.get("rate_hz")
    )


def _joint_scale(
    file: YamlFile, where: Field, name: str, joints: Sequence[str], entry: dict[str, Any], robot: Robot
) -> JointScale:
    known = {joint.name: (joint.position_min, joint.position_max) for joint in robot.joints}
    for index, joint in enumerate(joints):
        if joint not in known:
            field_ = (*where, name, index) if name in entry else where
            raise file.error(
                field_, f"the robot {robot.name} has no joint '{joint}'; it has {', '.join(known)}"
            )
    for option in ("limits", "zero"):
        for joint in entry.get(option, {}):
            if joint not in joints:
                raise file.error(
                    (*where, option, joint), f"is not among the {name}, which are {', '.join(joints)}"
                )
    units = entry.get("units", "rad")
    units = (units,) * len(joints) if isinstance(units, str) else tuple(units)
    if len(units) != len(joints):
        raise file.error(
            (*where, "units"),
            f"there are {len(units)} for {len(joints)} {name}; give one for all or one for each",
        )
    zeros, scales, limits = [], [], []
    for joint, unit in zip(joints, units):
        low, high = entry.get("limits", {}).get(joint, known[joint])
        between = unit in ("normalized", "percent")
        if low == high:
            raise file.error((*where, "limits", joint), "the two are equal")
        if between and joint in entry.get("zero", {}):
            raise file.error(
                (*where, "zero", joint), f"its unit is {unit}, whose zero follows from the limits"
            )
        if not between and joint in entry.get("limits", {}):
            raise file.error(
                (*where, "limits", joint), f"its unit is {unit}; limits count for normalized and percent"
            )
        zero = float(entry.get("zero", {}).get(joint, 0.0))
        if unit == "normalized":
            zero = (low + high) / 2.0
        elif unit == "percent":
            zero = float(low)
        zeros.append(zero)
        scales.append(
            {
                "rad": 1.0,
                "deg": 180.0 / math.pi,
                "normalized": 200.0 / (high - low),
                "percent": 100.0 / (high - low),
            }[unit]
        )
        limits.append((float(low), float(high)))
    return JointScale(units, tuple(zeros), tuple(scales), tuple(limits))
