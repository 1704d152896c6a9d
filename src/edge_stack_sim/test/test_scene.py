# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The scene, its styles, and that robot description, URDF and scene speak of the same arm."""

from __future__ import annotations

import colorsys
import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import numpy as np
import pytest

from edge_stack_core.robot import load_robot
from edge_stack_policy.visual_servo.kinematics import ArmKinematics
from edge_stack_sim import gl, scene
from edge_stack_sim.urdf import robot_description
from edge_stack_sim.world import World, focal_length_px


def test_the_robot_description_is_of_the_simulated_arm(robot_file: Path) -> None:
    robot = load_robot(robot_file)
    assert robot.joint_names == scene.JOINTS
    for joint in robot.joints:
        assert (joint.position_min, joint.position_max) == scene.JOINT_LIMITS[joint.name]
    assert tuple(robot.home) == scene.HOME
    arm = ArmKinematics.of(robot)
    lengths = (scene.SHOULDER_HEIGHT, scene.UPPER_ARM, scene.FOREARM, scene.TOOL)
    assert (arm.shoulder_height, arm.upper_arm, arm.forearm, arm.tool) == lengths
    assert robot.geometry["pinion_radius"] == scene.PINION_RADIUS


def test_the_robot_description_is_of_the_simulated_camera(robot_file: Path) -> None:
    camera = load_robot(robot_file).cameras[scene.CAMERA]
    assert (camera.width, camera.height) == (scene.WIDTH, scene.HEIGHT)
    np.testing.assert_allclose(camera.position_m, scene.NOMINAL.camera_position)
    np.testing.assert_allclose(camera.rotation, scene.camera_axes(scene.NOMINAL), atol=1e-9)
    assert camera.intrinsics()[0, 0] == pytest.approx(focal_length_px(scene.NOMINAL.camera_fovy))


def test_kinematics_agree_with_the_physics(world: World, robot_file: Path) -> None:
    robot = load_robot(robot_file)
    arm = ArmKinematics.of(robot)
    rng = np.random.default_rng(0)
    for joints in rng.uniform(robot.position_min, robot.position_max, (200, 6)):
        world.teleport_arm(joints)
        pose = arm.forward(joints)
        np.testing.assert_allclose(pose.xyz, world.tool_position, atol=1e-9)
        assert np.cos(pose.pitch) == pytest.approx(world.tool_axis[2], abs=1e-9)


def test_the_file_with_the_urdf_is_of_this_scene(robot_file: Path) -> None:
    file = load_robot(robot_file).urdf
    assert file is not None
    assert file.read_text(encoding="utf-8") == robot_description(), (
        "run python -m edge_stack_sim.urdf > the file"
    )


def test_the_urdf_is_the_same_arm(world: World) -> None:
    root = ET.fromstring(robot_description("base_link", "arm"))
    links = {link.get("name") for link in root.iter("link")}
    joints = {joint.get("name"): joint for joint in root.iter("joint")}
    assert root.get("name") == "arm"
    assert set(scene.JOINTS) <= set(joints)
    height = 0.0
    for name in ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"):
        origin = joints[name].find("origin")
        limit = joints[name].find("limit")
        assert origin is not None
        assert limit is not None
        height += float(origin.get("xyz", "").split()[2])
        assert (float(limit.get("lower", "")), float(limit.get("upper", ""))) == scene.JOINT_LIMITS[name]
    world.teleport_arm((0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert height + scene.TOOL == pytest.approx(world.tool_position[2])
    children = [child.get("link") for child in root.iter("child")]
    assert sorted([*children, "base_link"]) == sorted(links)


@pytest.mark.parametrize("seed", range(20))
def test_random_styles_keep_each_object_the_colour_of_its_name(seed: int) -> None:
    style = scene.random_style(np.random.default_rng(seed))
    hues = {"red_cube": (0.0, 0.03), "green_cube": (0.36, 0.05), "blue_cube": (0.61, 0.05)}
    hues["yellow_cylinder"] = (0.145, 0.04)
    for name, (hue, tolerance) in hues.items():
        actual, saturation, _ = colorsys.rgb_to_hsv(*style.object_colours[name])
        assert abs((actual - hue + 0.5) % 1.0 - 0.5) <= tolerance
        assert saturation > 0.6
    assert abs(max(style.mark_colour) - max(style.table_colour)) > 0.15


def test_a_style_drawn_twice_from_one_seed_is_the_same() -> None:
    assert scene.random_style(np.random.default_rng(5)) == scene.random_style(np.random.default_rng(5))


def test_restyling_is_the_same_as_building_anew() -> None:
    style = scene.random_style(np.random.default_rng(1))
    changed = scene.build_model()
    scene.apply_style(changed, style)
    built = scene.build_model(style)
    for field in (
        "geom_size",
        "geom_rgba",
        "geom_rbound",
        "body_mass",
        "body_inertia",
        "cam_pos",
        "cam_quat",
        "cam_fovy",
    ):
        np.testing.assert_array_equal(getattr(changed, field), getattr(built, field))


def test_a_machine_that_cannot_draw_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_LIBRARIES", {"egl": "libNone.so.1", "osmesa": "libNeither.so.8"})
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(gl.RenderingUnavailableError, match="apt-get install -y libegl1 libgl1-mesa-dri"):
        gl.Renderer(scene.build_model(), 240, 320)


def test_physics_needs_no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_LIBRARIES", {})
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    world = World()
    world.step(np.array(scene.HOME), 50)
    assert world.time_s == pytest.approx(0.2)
    assert mujoco.mj_version() > 0
