# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Physics, camera and ground truth."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_sim import scene
from edge_stack_sim.world import CLEAR_RADIUS, Annotation, World, rotated_box


def annotations(world: World) -> dict[str, Annotation]:
    return {one.name: one for one in world.annotations()}


def test_the_same_seed_gives_the_same_scene_and_picture() -> None:
    first, second = World(seed=7), World(seed=7)
    np.testing.assert_array_equal(first.data.qpos, second.data.qpos)
    np.testing.assert_array_equal(first.render(), second.render())


def test_a_frame_is_rgb_and_shows_the_colours(world: World) -> None:
    image = world.render()
    assert image.shape == (240, 320, 3)
    assert image.dtype == np.uint8
    for name, channel in (("red_cube", 0), ("green_cube", 1), ("blue_cube", 2)):
        colours = image[annotations(world)[name].mask].astype(float).mean(axis=0)
        assert colours.argmax() == channel


def test_each_frame_has_noise_of_its_own(world: World) -> None:
    difference = world.render().astype(float) - world.render()
    assert difference.std() == pytest.approx(world.style.noise_std * math.sqrt(2.0), rel=0.15)


def test_objects_stay_where_they_are_placed(world: World) -> None:
    before = {name: world.object_pose(name) for name in scene.OBJECTS}
    world.step(steps=500)
    for name, pose in before.items():
        np.testing.assert_allclose(world.object_pose(name)[:3], pose[:3], atol=2e-3)


def test_the_arm_goes_where_it_is_told(world: World) -> None:
    target = np.array((0.5, 0.1, 1.2, 1.0, 0.3, 0.8))
    world.step(target, 500)
    np.testing.assert_allclose(world.joint_positions, target, atol=0.01)
    np.testing.assert_allclose(world.joint_velocities, 0.0, atol=0.01)


def test_commands_beyond_the_limits_are_clipped(world: World) -> None:
    world.step(np.full(6, 9.0), 1)
    limits = np.array([scene.JOINT_LIMITS[name] for name in scene.JOINTS])
    assert (world.data.ctrl[:5] <= limits[:5, 1]).all()


@pytest.mark.parametrize("seed", range(10))
def test_things_are_placed_within_reach_and_apart(world: World, seed: int) -> None:
    world.place_objects(np.random.default_rng(seed))
    places = [world.mark_position, *(world.object_pose(name)[:2] for name in scene.OBJECTS)]
    for index, place in enumerate(places):
        assert scene.REACH_MIN - 1e-9 <= np.linalg.norm(place) <= scene.REACH_MAX + 1e-9
        for other in places[:index]:
            assert np.linalg.norm(place - other) >= scene.MIN_SPACING - 1e-9


def test_nothing_is_placed_under_a_low_tool(world: World) -> None:
    world.teleport_arm((0.0, 0.62, 1.45, 1.07, 0.0, 0.9))
    assert world.tool_position[2] < 0.05
    for seed in range(20):
        world.place_objects(np.random.default_rng(seed))
        for place in (world.mark_position, *(world.object_pose(name)[:2] for name in scene.OBJECTS)):
            assert np.linalg.norm(place - world.tool_position[:2]) > CLEAR_RADIUS


def test_everything_on_the_table_is_annotated(world: World) -> None:
    found = annotations(world)
    assert set(found) == {*scene.OBJECTS, "mark", "gripper"}
    assert all(scene.CLASSES[one.class_id] == name for name, one in found.items())
    world.set_hand(0.2, 0.1, 0.1)
    world.step()
    assert "hand" in annotations(world)
    world.hide_hand()
    world.step()
    assert "hand" not in annotations(world)


@pytest.mark.parametrize("seed", range(8))
def test_ground_truth_is_consistent_in_any_style(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    world.restyle(scene.random_style(rng))
    world.place_objects(rng)
    found = world.annotations()
    total = np.zeros((240, 320), dtype=int)
    for one in found:
        total += one.mask
        left, top, right, bottom = one.box
        rows, columns = np.nonzero(one.mask)
        assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0.0 < one.visible <= 1.0
        if one.name in scene.OBJECTS:
            centre = world.project(world.object_pose(one.name)[:3])[0]
            if one.visible > 0.95:
                assert np.hypot(*(centre - ((left + right) / 2, (top + bottom) / 2))) < 2.0
            grown = cv2.boxPoints(((one.rotated[0], one.rotated[1]), (one.rotated[2] + 3, one.rotated[3] + 3),
                                   math.degrees(one.rotated[4])))  # fmt: skip
            outline = grown.astype(np.float32)
            assert all(cv2.pointPolygonTest(outline, (float(x) + 0.5, float(y) + 0.5), False) >= 0
                       for x, y in zip(columns, rows, strict=True))  # fmt: skip
    assert total.max() <= 1, "two things own one pixel"


def test_a_covered_object_is_annotated_as_partly_visible(world: World) -> None:
    whole = annotations(world)["red_cube"].visible
    x, y, _ = world.object_pose("red_cube")[:3]
    world.set_object("blue_cube", x + 0.028, y, z=0.02)  # between the red cube and the camera
    world.step()
    assert annotations(world)["red_cube"].visible < 0.75 * whole


def test_keypoints_of_the_arm_are_where_they_are_and_seen_unless_hidden(world: World) -> None:
    world.teleport_arm((0.6, 0.3, 1.3, 1.5, 0.5, 0.9))
    keypoints = annotations(world)["gripper"].keypoints
    assert keypoints is not None
    assert keypoints.shape == (len(scene.KEYPOINTS), 3)
    for index, site in ((3, "left_fingertip"), (4, "right_fingertip")):
        np.testing.assert_allclose(keypoints[index, :2], world.project(world.data.site(site).xpos)[0])
    assert keypoints[3, 2] == 2.0
    x, y, z = world.data.site("left_fingertip").xpos
    world.set_hand(x + 0.03, y, z + 0.05)
    world.step()
    keypoints = annotations(world)["gripper"].keypoints
    assert keypoints is not None
    assert keypoints[3, 2] == 1.0


@given(st.floats(1.0, 100.0), st.floats(1.0, 100.0), st.floats(-3.0, 3.0))
def test_a_rotated_box_is_found_again_from_its_corners(width: float, height: float, angle: float) -> None:
    axes = np.array(((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))))
    corners = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1))) * (width / 2, height / 2) @ axes + (50.0, 40.0)
    cx, cy, w, h, theta = rotated_box(corners)
    assert (cx, cy) == pytest.approx((50.0, 40.0))
    assert w == pytest.approx(max(width, height))
    assert h == pytest.approx(min(width, height))
    assert -math.pi / 4 <= theta < 3 * math.pi / 4
    if abs(width - height) > 1e-3:
        long_angle = angle if width > height else angle + math.pi / 2
        assert math.sin(theta - long_angle) == pytest.approx(0.0, abs=1e-6)


def test_what_is_pushed_off_the_table_comes_to_rest_on_the_floor(world: World) -> None:
    for index, name in enumerate(scene.OBJECTS):
        world.set_object(name, 0.9, 0.2 * index, z=0.1)
        world.data.joint(name).qvel[3:] = (
            5.0,
            -8.0,
            14.0,
        )  # as it tumbles; falling on, it would spin ever faster
    world.step(steps=round(10.0 / scene.TIMESTEP_S))
    for name in scene.OBJECTS:
        assert -0.75 < world.object_pose(name)[2] < -0.6
        assert world.object_speed(name) < 0.1


def test_physics_that_became_unstable_begin_anew_and_leave_no_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    world.data.joint("yellow_cylinder").qvel[2] = 1e11
    world.step()
    assert "unstable" in caplog.text
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_allclose(world.joint_positions, scene.HOME, atol=1e-6)
    assert all(world.object_pose(name)[2] > 0.0 for name in scene.OBJECTS)
