# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The demo scene as a MuJoCo model: an SO-101-class arm on a table, coloured objects, a mark, a camera.

Its unit of work is one compiled model; a `SceneStyle` says how that model looks and can be applied again at any time
without compiling. It never steps physics and never renders. Only primitives are used, so that a frame costs little.

The world frame is the arm's base frame: origin on the table below the pan axis, x towards the camera, y left, z up.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import mujoco
import numpy as np
from numpy.typing import NDArray

ROBOT = "so101_sim"
"""The simulated robot's description, shipped with edge_stack_core."""
CONTRACT = "demo"
"""The contract of the demo's policy, shipped with edge_stack_policy."""
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
JOINT_LIMITS = {  # rad
    "shoulder_pan": (-1.92, 1.92),
    "shoulder_lift": (-0.80, 1.75),
    "elbow_flex": (0.0, 2.70),
    "wrist_flex": (-1.66, 1.90),
    "wrist_roll": (-2.75, 2.75),
    "gripper": (0.0, 1.0),
}
HOME = (
    0.0,
    -0.60,
    2.10,
    1.6416,
    0.0,
    0.60,
)  # rad; tool down, above the base, out of the camera's view of the table
CLASSES = ("red_cube", "green_cube", "blue_cube", "yellow_cylinder", "mark", "gripper", "hand")
OBJECTS = CLASSES[:4]
CAMERA = "table"
WIDTH, HEIGHT = 320, 240
TIMESTEP_S = 0.004

# Lengths of the arm, m.
SHOULDER_HEIGHT = 0.11
UPPER_ARM = 0.15
FOREARM = 0.15
TOOL = 0.13  # wrist axis to the point between the fingertips
FINGER_LENGTH = 0.05
FINGER_THICKNESS = 0.007
PINION_RADIUS = 0.03  # the fingers are racks on one pinion: each opens by radius * gripper angle

# Where the objects may lie: a ring sector around the pan axis that the tool reaches pointing down.
REACH_MIN, REACH_MAX = 0.16, 0.265  # m
BEARING_MAX = math.radians(52)
MIN_SPACING = 0.075  # m between centres of objects
MARK_SPACING = 0.09  # m between the mark and an object

KEYPOINTS = ("base", "elbow", "wrist", "left_fingertip", "right_fingertip")

_HUE = {"red_cube": 0.0, "green_cube": 0.36, "blue_cube": 0.61, "yellow_cylinder": 0.145}
_HAND_PARTS = ("forearm", "palm", "thumb", "finger_1", "finger_2", "finger_3", "finger_4")
_HAND_PARKED = (0.0, 0.0, -3.0)


def _hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def _nominal_colours() -> Mapping[str, tuple[float, float, float]]:
    return MappingProxyType({name: _hsv(hue, 0.88, 0.80) for name, hue in _HUE.items()})


def _nominal_sizes() -> Mapping[str, float]:
    return MappingProxyType(
        {"red_cube": 0.03, "green_cube": 0.03, "blue_cube": 0.03, "yellow_cylinder": 0.03}
    )


@dataclass(frozen=True)
class SceneStyle:
    """How the scene looks: everything that domain randomisation changes. Lengths in m, colours RGB in 0..1."""

    seed: int = 0
    object_colours: Mapping[str, tuple[float, float, float]] = field(default_factory=_nominal_colours)
    object_sizes: Mapping[str, float] = field(default_factory=_nominal_sizes)  # edge, or diameter and height
    table_colour: tuple[float, float, float] = (0.62, 0.55, 0.47)
    background_colour: tuple[float, float, float] = (0.24, 0.26, 0.30)
    mark_colour: tuple[float, float, float] = (0.95, 0.95, 0.96)
    mark_radius: float = 0.04
    arm_colour: tuple[float, float, float] = (0.86, 0.84, 0.80)
    joint_colour: tuple[float, float, float] = (0.15, 0.15, 0.17)
    gripper_colour: tuple[float, float, float] = (0.25, 0.27, 0.30)
    skin_colour: tuple[float, float, float] = (0.87, 0.67, 0.54)
    light_position: tuple[float, float, float] = (0.5, 0.6, 1.4)
    light_colour: tuple[float, float, float] = (0.62, 0.62, 0.62)
    ambient: float = 0.38
    camera_position: tuple[float, float, float] = (0.52, 0.0, 0.56)
    camera_target: tuple[float, float, float] = (0.135, 0.0, 0.04)
    camera_roll: float = 0.0  # rad
    camera_fovy: float = 40.0  # degrees
    noise_std: float = 3.0  # of the rendered image, grey levels; about that of a webcam indoors


NOMINAL = SceneStyle()


def random_style(rng: np.random.Generator) -> SceneStyle:
    """Draw a style: hues stay within what their names say, everything else moves generously around nominal."""

    def jitter(centre: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        x, y, z = (float(c + rng.uniform(-spread, spread)) for c in centre)
        return x, y, z

    def grey(low: float, high: float, tint: float) -> tuple[float, float, float]:
        return _hsv(float(rng.random()), float(rng.uniform(0, tint)), float(rng.uniform(low, high)))

    colours = {
        name: _hsv(
            hue + float(rng.uniform(-0.02, 0.02)), float(rng.uniform(0.65, 1.0)), float(rng.uniform(0.5, 1.0))
        )
        for name, hue in _HUE.items()
    }
    wooden = rng.random() < 0.5
    table = (
        _hsv(float(rng.uniform(0.06, 0.12)), float(rng.uniform(0.1, 0.45)), float(rng.uniform(0.35, 0.85)))
        if wooden
        else grey(0.2, 0.85, 0.15)
    )
    # The mark is told from the table by its lightness, so it stays clearly lighter or clearly darker.
    table_value = max(table)
    light_mark = table_value < 0.45 or (table_value < 0.7 and rng.random() < 0.7)
    mark = (
        grey(min(table_value + 0.22, 0.95), 1.0, 0.06) if light_mark else grey(0.03, table_value - 0.3, 0.1)
    )
    skin_value = float(rng.uniform(0.3, 1.0))
    direction = rng.uniform(-math.pi, math.pi)
    light_distance = rng.uniform(0.0, 1.0)
    return SceneStyle(
        seed=int(rng.integers(2**31)),
        object_colours=MappingProxyType(colours),
        object_sizes=MappingProxyType({name: float(rng.uniform(0.026, 0.034)) for name in OBJECTS}),
        table_colour=table,
        background_colour=grey(0.05, 0.9, 0.3),
        mark_colour=mark,
        mark_radius=float(rng.uniform(0.034, 0.046)),
        arm_colour=grey(0.3, 1.0, 0.25),
        joint_colour=grey(0.05, 0.5, 0.2),
        gripper_colour=grey(0.08, 0.55, 0.2),
        skin_colour=_hsv(float(rng.uniform(0.03, 0.09)), float(rng.uniform(0.25, 0.6)), skin_value),
        light_position=(
            0.2 + float(light_distance * math.cos(direction)),
            float(light_distance * math.sin(direction)),
            float(rng.uniform(1.0, 2.0)),
        ),
        light_colour=jitter((0.62, 0.62, 0.62), 0.18),
        ambient=float(rng.uniform(0.22, 0.5)),
        camera_position=jitter(NOMINAL.camera_position, 0.035),
        camera_target=jitter(NOMINAL.camera_target, 0.02),
        camera_roll=float(rng.uniform(-0.06, 0.06)),
        camera_fovy=float(rng.uniform(37.5, 42.5)),
        noise_std=float(rng.uniform(0.0, 6.0)),
    )


def camera_axes(style: SceneStyle) -> NDArray[np.float64]:
    """Rotation [3, 3] whose columns are the camera's optical axes (x right, y down, z forward) in the base frame."""
    forward = np.asarray(style.camera_target) - np.asarray(style.camera_position)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = math.cos(style.camera_roll), math.sin(style.camera_roll)
    return np.stack((cosine * right + sine * down, cosine * down - sine * right, forward), axis=1)


def build_model(style: SceneStyle = NOMINAL) -> mujoco.MjModel:
    """Compile the scene and give it a style."""
    model = mujoco.MjModel.from_xml_string(_mjcf())
    apply_style(model, style)
    return model


def apply_style(model: mujoco.MjModel, style: SceneStyle) -> None:
    """Change the looks, sizes, light and camera of a compiled scene in place. Objects must be placed anew after it."""
    for name in OBJECTS:
        half = style.object_sizes[name] / 2.0
        geom, body = model.geom(name), model.body(name)
        mass = 600.0 * style.object_sizes[name] ** 3  # as light as soft wood
        if name == "yellow_cylinder":
            geom.size[:] = (half, half, 0.0)
            geom.rbound[:] = math.hypot(half, half)
            body.inertia[:] = mass * np.array((7.0, 7.0, 6.0)) * half**2 / 12.0
        else:
            geom.size[:] = half
            geom.rbound[:] = half * math.sqrt(3.0)
            body.inertia[:] = mass * 8.0 * half**2 / 12.0
        model.geom_aabb[geom.id, 3:] = half
        body.mass[:] = mass
        geom.rgba[:3] = style.object_colours[name]
    mark = model.geom("mark")
    mark.size[0] = style.mark_radius
    mark.rbound[:] = style.mark_radius
    model.geom_aabb[mark.id, 3:5] = style.mark_radius
    mark.rgba[:3] = style.mark_colour
    model.geom("table").rgba[:3] = style.table_colour
    model.geom("floor").rgba[:3] = style.background_colour
    for index in range(model.ngeom):
        group = model.geom_group[index]
        if group in _GROUP_COLOURS:
            model.geom_rgba[index, :3] = getattr(style, _GROUP_COLOURS[group])
    model.light_pos[0] = style.light_position
    model.light_dir[0] = np.array((0.18, 0.0, 0.0)) - style.light_position
    model.light_dir[0] /= np.linalg.norm(model.light_dir[0])
    model.light_diffuse[0] = style.light_colour
    model.light_ambient[0] = style.ambient
    axes = camera_axes(style)
    # MuJoCo's camera looks along its -z with y up.
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.stack((axes[:, 0], -axes[:, 1], -axes[:, 2]), axis=1).ravel())
    camera = model.camera(CAMERA)
    camera.pos[:] = style.camera_position
    camera.quat[:] = quaternion
    camera.fovy[:] = style.camera_fovy


_ARM, _JOINT, _GRIPPER, _SKIN = 1, 2, 3, 4  # geom groups that share a colour; all are visible
_GROUP_COLOURS = {
    _ARM: "arm_colour",
    _JOINT: "joint_colour",
    _GRIPPER: "gripper_colour",
    _SKIN: "skin_colour",
}


def _mjcf() -> str:
    """The scene as MJCF. Colours, sizes of objects, light and camera are set by `apply_style`."""
    return f"""
<mujoco model="edge_stack_table">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="10" noslip_iterations="3"/>
  <visual>
    <global offwidth="{WIDTH}" offheight="{HEIGHT}"/>
    <quality offsamples="0" numslices="20" numstacks="12" shadowsize="0"/>
    <headlight ambient="0.08 0.08 0.08" diffuse="0.22 0.22 0.22" specular="0 0 0"/>
    <map znear="0.05" zfar="10"/>
  </visual>
  <statistic extent="1" center="0.15 0 0.1"/>
  <default>
    <geom contype="0" conaffinity="0" condim="4" friction="1.2 0.02 0.0005"/>
    <default class="solid"><geom contype="1" conaffinity="1"/></default>
    <default class="arm"><geom group="{_ARM}" mass="0.08"/></default>
    <default class="motor"><geom group="{_JOINT}" mass="0.06"/></default>
    <default class="gripper"><geom group="{_GRIPPER}" mass="0.02"/></default>
    <default class="skin"><geom group="{_SKIN}" mass="0.1"/></default>
    <joint damping="0.3" armature="0.02"/>
    <position kp="60" kv="3" forcerange="-6 6"/>
  </default>
  <worldbody>
    <light pos="0.5 0.6 1.4" dir="0 0 -1" castshadow="false" specular="0.15 0.15 0.15" cutoff="120"/>
    <camera name="{CAMERA}"/>
    <geom name="floor" class="solid" type="box" size="4 4 0.05" pos="0 0 -0.75"/>
    <geom name="table" class="solid" type="box" size="0.42 0.55 0.02" pos="0.2 0 -0.02" friction="0.8 0.01 0.0005"/>
    <geom name="mark" type="cylinder" size="0.04 0.0008" pos="0.2 0 0.0008"/>
    <geom name="base" class="motor" type="box" size="0.045 0.04 0.03" pos="-0.01 0 0.03"/>
    <body name="pan" pos="0 0 0.06" gravcomp="1">
      <joint name="shoulder_pan" axis="0 0 1" range="{_limits("shoulder_pan")}"/>
      <geom class="arm" type="cylinder" size="0.034 0.015" pos="0 0 0.012"/>
      <geom class="motor" type="capsule" size="0.022"
            fromto="0 -0.022 {SHOULDER_HEIGHT - 0.06} 0 0.022 {SHOULDER_HEIGHT - 0.06}"/>
      <body name="upper_arm" pos="0 0 {SHOULDER_HEIGHT - 0.06}" gravcomp="1">
        <joint name="shoulder_lift" axis="0 1 0" range="{_limits("shoulder_lift")}"/>
        <geom class="arm" type="box" size="0.014 0.017 {UPPER_ARM / 2}" pos="0 0 {UPPER_ARM / 2}"/>
        <body name="forearm" pos="0 0 {UPPER_ARM}" gravcomp="1">
          <joint name="elbow_flex" axis="0 1 0" range="{_limits("elbow_flex")}"/>
          <geom name="elbow" class="motor" type="capsule" size="0.019" fromto="0 -0.02 0 0 0.02 0"/>
          <geom class="arm" type="box" size="0.012 0.015 {FOREARM / 2}" pos="0 0 {FOREARM / 2}"/>
          <body name="wrist" pos="0 0 {FOREARM}" gravcomp="1">
            <joint name="wrist_flex" axis="0 1 0" range="{_limits("wrist_flex")}" armature="0.01"/>
            <geom name="wrist" class="motor" type="capsule" size="0.016" fromto="0 -0.018 0 0 0.018 0"/>
            <body name="hand_mount" pos="0 0 0" gravcomp="1">
              <joint name="wrist_roll" axis="0 0 1" range="{_limits("wrist_roll")}" armature="0.005"/>
              <geom name="gripper_neck" class="gripper" type="cylinder" size="0.013 0.02" pos="0 0 0.035"/>
              <geom name="gripper_palm" class="gripper" type="box" size="0.013 0.042 0.012"
                    pos="0 0 {TOOL - FINGER_LENGTH - 0.012}"/>
              <site name="tool" pos="0 0 {TOOL}" size="0.002" rgba="0 0 0 0"/>
              {_finger("left", 1)}
              {_finger("right", -1)}
            </body>
          </body>
        </body>
      </body>
    </body>
    {"".join(_object(name) for name in OBJECTS)}
    <body name="hand" mocap="true" pos="0 0 -3">
      <geom name="hand_forearm" class="skin" type="capsule" size="0.033" fromto="0.09 0 0.01 0.42 0 0.08"/>
      <geom name="hand_palm" class="skin" type="ellipsoid" size="0.055 0.042 0.018" pos="0.045 0 0"/>
      <geom name="hand_thumb" class="skin" type="ellipsoid" size="0.033 0.011 0.010" pos="0.025 0.048 0" euler="0 0 -0.7"/>
      <geom name="hand_finger_1" class="skin" type="ellipsoid" size="0.040 0.010 0.009"
            pos="-0.030 0.028 0" euler="0 0 -0.15"/>
      <geom name="hand_finger_2" class="skin" type="ellipsoid" size="0.044 0.010 0.009" pos="-0.036 0.009 0"/>
      <geom name="hand_finger_3" class="skin" type="ellipsoid" size="0.042 0.010 0.009" pos="-0.034 -0.011 0"/>
      <geom name="hand_finger_4" class="skin" type="ellipsoid" size="0.034 0.009 0.008"
            pos="-0.024 -0.030 0" euler="0 0 0.15"/>
    </body>
  </worldbody>
  <contact><exclude body1="left_finger" body2="right_finger"/></contact>
  <actuator>
    <position name="shoulder_pan" joint="shoulder_pan"/>
    <position name="shoulder_lift" joint="shoulder_lift"/>
    <position name="elbow_flex" joint="elbow_flex"/>
    <position name="wrist_flex" joint="wrist_flex"/>
    <position name="wrist_roll" joint="wrist_roll" kp="30" kv="1.5"/>
    <position name="left_finger" joint="left_finger" kp="300" kv="15" forcerange="-6 6"/>
    <position name="right_finger" joint="right_finger" kp="300" kv="15" forcerange="-6 6"/>
  </actuator>
</mujoco>
"""


def _limits(joint: str) -> str:
    low, high = JOINT_LIMITS[joint]
    return f"{low} {high}"


def _finger(side: str, sign: int) -> str:
    stroke = PINION_RADIUS * JOINT_LIMITS["gripper"][1]
    return f"""
              <body name="{side}_finger" pos="0 {sign * FINGER_THICKNESS / 2} {TOOL - FINGER_LENGTH}" gravcomp="1">
                <joint name="{side}_finger" type="slide" axis="0 {sign} 0" range="0 {stroke}" armature="0.05" damping="2"/>
                <geom name="{side}_finger" class="gripper" type="box" size="0.008 {FINGER_THICKNESS / 2} {FINGER_LENGTH / 2}"
                      pos="0 0 {FINGER_LENGTH / 2}" contype="1" conaffinity="1" friction="1.8 0.05 0.001" priority="1"/>
                <site name="{side}_fingertip" pos="0 0 {FINGER_LENGTH}" size="0.002" rgba="0 0 0 0"/>
              </body>"""


def _object(name: str) -> str:
    shape = (
        'type="cylinder" size="0.015 0.015"'
        if name == "yellow_cylinder"
        else 'type="box" size="0.015 0.015 0.015"'
    )
    return f"""
    <body name="{name}" pos="0 0 0.1">
      <freejoint name="{name}"/>
      <geom name="{name}" class="solid" {shape} mass="0.016"/>
    </body>"""
