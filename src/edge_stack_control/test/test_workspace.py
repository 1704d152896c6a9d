# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Who is in the workspace, and who and what is near it, is found by class, score and place; in doubt, it is inside."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.workspace import NOTHING, Box, WorkspaceWatch

SQUARE = (100.0, 100.0, 200.0, 100.0, 200.0, 200.0, 100.0, 200.0)
TRIANGLE = (0.0, 0.0, 100.0, 0.0, 0.0, 100.0)


def hand(x: float, y: float, size: float = 10.0, **changes: float | str) -> Box:
    values: dict[str, float | str] = {
        "name": "hand",
        "score": 0.9,
        "x": x,
        "y": y,
        "width": size,
        "height": size,
    }
    return Box(**{**values, **changes})  # type: ignore[arg-type]


def watch(polygon: tuple[float, ...] = SQUARE, slow_zone_px: float = 0.0) -> WorkspaceWatch:
    return WorkspaceWatch(("person", "hand"), ("bottle",), 0.5, polygon, slow_zone_px)


def inside(watching: WorkspaceWatch, *boxes: Box) -> bool:
    return watching.look(boxes).person_inside


def test_without_a_polygon_a_person_anywhere_counts() -> None:
    assert inside(watch(()), hand(5.0, 5.0))


def test_a_person_inside_the_polygon_counts() -> None:
    assert inside(watch(), hand(150.0, 150.0))


def test_a_person_outside_does_not_count() -> None:
    assert not inside(watch(), hand(50.0, 150.0))


def test_a_box_that_only_reaches_in_counts() -> None:
    assert inside(watch(), hand(90.0, 150.0, 30.0))


def test_a_box_around_the_whole_polygon_counts() -> None:
    assert inside(watch(), hand(150.0, 150.0, 500.0))


def test_a_box_in_the_empty_corner_of_a_triangle_does_not_count() -> None:
    assert not inside(watch(TRIANGLE), hand(90.0, 90.0))
    assert inside(watch(TRIANGLE), hand(40.0, 40.0))


def test_other_classes_and_low_scores_do_not_count() -> None:
    assert not inside(watch(), hand(150.0, 150.0, name="red_cube"), hand(150.0, 150.0, score=0.3))


@pytest.mark.parametrize("field", ["x", "y", "width", "height", "theta"])
def test_a_person_whose_place_is_no_number_counts(field: str) -> None:
    assert inside(watch(), replace(hand(0.0, 0.0), **{field: math.nan}))


def test_a_score_that_is_no_number_counts() -> None:
    assert inside(watch(), hand(150.0, 150.0, score=math.nan))


def test_a_turned_box_reaches_as_far_as_its_upright_bounds() -> None:
    assert not inside(watch(), hand(85.0, 150.0, 24.0))
    assert inside(watch(), hand(85.0, 150.0, 24.0, theta=math.pi / 4))


@pytest.mark.parametrize("polygon", [(1.0,), (1.0, 2.0, 3.0, 4.0), (0.0, 0.0, 1.0, 0.0, math.nan, 1.0)])
def test_a_polygon_that_is_none_is_refused(polygon: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="polygon"):
        watch(polygon)


coordinates = st.floats(0.0, 300.0)


@given(coordinates, coordinates, st.floats(1.0, 200.0), st.floats(1.0, 200.0))
def test_touching_a_rectangle_is_what_comparing_bounds_says(x: float, y: float, w: float, h: float) -> None:
    box = hand(x, y, width=w, height=h)
    left, top, right, bottom = box.bounds()
    margin = min(abs(right - 100), abs(left - 200), abs(bottom - 100), abs(top - 200))
    if margin > 1e-6:
        expected = right > 100 and left < 200 and bottom > 100 and top < 200
        assert inside(watch(), box) == expected


def test_a_person_in_the_slow_zone_is_near_by_share_of_its_width() -> None:
    sight = watch(slow_zone_px=50.0).look([hand(70.0, 150.0)])
    assert not sight.person_inside
    assert sight.person_distance == pytest.approx(0.5)
    assert sight.person == "hand (score 0.90)"
    assert math.isinf(sight.object_distance)


def test_the_distance_to_a_corner_is_the_straight_one() -> None:
    assert watch(slow_zone_px=50.0).look([hand(65.0, 55.0)]).person_distance == pytest.approx(1.0)


def test_the_nearest_counts_and_persons_and_objects_are_told_apart() -> None:
    boxes = [
        hand(50.0, 150.0),
        hand(70.0, 150.0),
        hand(90.0, 150.0, name="bottle"),
        hand(95.0, 150.0, name="cup"),
    ]
    sight = watch(slow_zone_px=50.0).look(boxes)
    assert (sight.person_distance, sight.object_distance) == pytest.approx((0.5, 0.1))


def test_without_a_slow_zone_nobody_is_near() -> None:
    assert watch().look([hand(94.0, 150.0)]) == replace(NOTHING)


def test_an_object_inside_slows_and_does_not_count_as_a_person() -> None:
    sight = watch().look([hand(150.0, 150.0, name="bottle")])
    assert sight.object_distance == 0.0
    assert not sight.person_inside


@given(coordinates, coordinates, st.floats(1.0, 100.0))
def test_the_distance_to_a_rectangle_is_that_of_the_bounds(x: float, y: float, size: float) -> None:
    box = hand(x, y, size)
    left, top, right, bottom = box.bounds()
    dx = max(100.0 - right, 0.0, left - 200.0)
    dy = max(100.0 - bottom, 0.0, top - 200.0)
    sight = watch(slow_zone_px=100.0).look([box])
    if math.hypot(dx, dy) > 1e-6:
        assert sight.person_distance == pytest.approx(math.hypot(dx, dy) / 100.0)
        assert not sight.person_inside
    elif dx == dy == 0.0 and min(right - 100.0, 200.0 - left, bottom - 100.0, 200.0 - top) > 1e-6:
        assert sight.person_inside
