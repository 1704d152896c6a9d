# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of the table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.robot import find_robot, load_robot
from edge_stack_policy.visual_servo.kinematics import point_to_pixel
from edge_stack_policy.visual_servo.scene_memory import SceneMemory

CAMERA = load_robot(find_robot("so101_sim")).cameras["table"]
NAMES = ("red_cube", "mark")


@pytest.fixture
def memory() -> SceneMemory:
    return SceneMemory(CAMERA, NAMES, {"red_cube": (0.03, 0.03)})


def seen(
    x: float, y: float, *, score: float = 0.9, size: float = 24.0, age_s: float = 0.1, index: int = 0
) -> np.ndarray:
    pixel = point_to_pixel(CAMERA, (x, y, 0.015))
    assert pixel is not None
    return np.array([[index, score, *pixel, size, size, 0.0, age_s]], dtype=np.float32)


def test_a_thing_is_where_its_detection_points(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1), 1.0)
    assert memory.places["red_cube"].xy == pytest.approx((0.2, 0.1), abs=1e-4)
    assert memory.places["red_cube"].seen_s == pytest.approx(0.9)


def test_noise_averages_out(memory: SceneMemory) -> None:
    rng = np.random.default_rng(1)
    for index in range(30):
        dx, dy = rng.normal(0.0, 0.003, 2)
        memory.update(seen(0.2 + dx, 0.1 + dy), float(index))
    assert np.linalg.norm(memory.places["red_cube"].xy - (0.2, 0.1)) < 0.004


def test_the_same_capture_counts_once(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1, age_s=0.1), 1.0)
    memory.update(seen(0.2, 0.1, age_s=0.3), 1.2)
    assert memory.places["red_cube"].count == 1


def test_one_wild_detection_moves_nothing_and_two_that_agree_do(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1), 1.0)
    memory.update(seen(0.2, -0.1), 2.0)
    assert memory.places["red_cube"].y == pytest.approx(0.1, abs=1e-4)
    memory.update(seen(0.2, -0.1), 3.0)
    assert memory.places["red_cube"].y == pytest.approx(-0.1, abs=1e-4)


def test_a_partly_hidden_thing_is_not_used(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1, size=9.0), 1.0)
    assert not memory.places


def test_a_missing_thing_keeps_its_place(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1), 1.0)
    memory.update(np.zeros((0, 8), dtype=np.float32), 9.0)
    assert memory.places["red_cube"].x == pytest.approx(0.2, abs=1e-4)


def test_frozen_things_are_left_alone(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1), 1.0, ["red_cube"])
    assert not memory.places


def test_what_was_captured_before_forgetting_does_not_come_back(memory: SceneMemory) -> None:
    memory.update(seen(0.2, 0.1), 1.0)
    memory.forget(2.0)
    memory.update(seen(0.2, 0.1, age_s=0.5), 2.3)
    assert not memory.places
    memory.update(seen(0.25, 0.1, age_s=0.1), 2.4)
    assert memory.places["red_cube"].x == pytest.approx(0.25, abs=1e-4)


def test_of_two_detections_of_a_class_the_better_one_counts(memory: SceneMemory) -> None:
    memory.update(np.concatenate((seen(0.2, -0.1, score=0.4), seen(0.2, 0.1, score=0.8))), 1.0)
    assert memory.places["red_cube"].y == pytest.approx(0.1, abs=1e-4)


numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None)
@given(st.lists(st.tuples(*[numbers] * 8), max_size=6))
def test_no_detections_whatever_raise_or_give_places_that_are_not_finite(
    rows: list[tuple[float, ...]],
) -> None:
    memory = SceneMemory(CAMERA, NAMES, {"red_cube": (0.03, 0.03)})
    memory.update(np.array(rows, dtype=np.float32).reshape(-1, 8), 1.0)
    assert all(np.isfinite(place.xy).all() for place in memory.places.values())
