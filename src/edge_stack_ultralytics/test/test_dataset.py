# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Rendered data sets: labels describe what the simulator says, and a seed gives the same files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("mujoco", reason="data sets are rendered with edge_stack_sim, which needs MuJoCo")
pytest.importorskip("edge_stack_sim", reason="data sets are rendered with edge_stack_sim")

from edge_stack_sim.gl import RenderingUnavailableError
from edge_stack_sim.scene import HEIGHT, JOINT_LIMITS, WIDTH
from edge_stack_sim.world import World
from edge_stack_ultralytics import dataset


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World(seed=1)
    try:
        world.render()
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    yield world
    world.close()


def test_a_reachable_place_is_reached_with_the_tool_pointing_down(world: World) -> None:
    joints = dataset.tool_down(0.2, -0.05, 0.03, 0.4, 0.5)
    assert joints is not None
    world.teleport_arm(joints)
    np.testing.assert_allclose(world.tool_position, (0.2, -0.05, 0.03), atol=1e-6)
    np.testing.assert_allclose(world.tool_axis, (0.0, 0.0, -1.0), atol=1e-6)


def test_a_place_out_of_reach_gives_no_joints() -> None:
    assert dataset.tool_down(0.6, 0.0, 0.05, 0.0, 0.5) is None
    limits = JOINT_LIMITS["wrist_roll"]
    assert dataset.tool_down(0.2, 0.0, 0.05, limits[1] + 0.1, 0.5) is None


def test_polygons_cover_the_masks_that_they_outline(world: World) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        dataset.scramble(world, rng, hand_share=0.5)
        items = dataset.labelled(world.annotations())
        for item in items:
            polygon = dataset.outline(item.mask)
            drawn = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
            cv2.fillPoly(drawn, [np.round(polygon * 8).astype(np.int32)], 1)
            drawn = drawn[4::8, 4::8].astype(bool)
            for other in items:  # what stands on the mark makes a hole in it, which ultralytics paints over
                drawn &= ~other.mask | item.mask
            union = np.count_nonzero(drawn | item.mask)
            assert np.count_nonzero(drawn & item.mask) > 0.85 * union, item.name


def test_every_label_lies_inside_the_image(world: World) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        dataset.scramble(world, rng)
        items = dataset.labelled(world.annotations())
        for lines in dataset.LINES.values():
            for line in lines(items):
                values = np.array(line.split()[1:], float)
                if len(values) == 19:  # pose: visibility is 0, 1 or 2
                    values = np.delete(values, slice(6, None, 3))
                assert values.min() >= 0.0
                assert values.max() <= 1.0


def test_fingertips_are_named_by_their_place_in_the_image(world: World) -> None:
    rng = np.random.default_rng(5)
    seen = 0
    while seen < 10:
        dataset.scramble(world, rng, hand_share=0.0)
        for line in dataset.pose_lines(dataset.labelled(world.annotations())):
            points = np.array(line.split()[5:], float).reshape(5, 3)
            if points[3:, 2].all():
                seen += 1
                assert points[3, 0] <= points[4, 0]


def test_staged_scenes_are_of_the_state_they_are_staged_for(world: World) -> None:
    rng = np.random.default_rng(6)
    for state in dataset.STATES:
        found = []
        for _ in range(30):
            dataset.stage_state(world, state, rng)
            found.append(dataset.scene_state(world, world.annotations()))
        assert found.count(state) >= 3


def test_the_same_seed_gives_the_same_files(world: World, tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        dataset.render_split(tmp_path / name, "val", 3)
        dataset.render_states(tmp_path / name, "val", 3)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4 * 2 * 3 + 3
