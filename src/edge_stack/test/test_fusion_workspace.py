# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A person in the workspace is found by class, score and place; what cannot be judged counts as inside."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack.fusion.workspace import Box, PersonWatch

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


def watch(polygon: tuple[float, ...] = SQUARE) -> PersonWatch:
    return PersonWatch(("person", "hand"), 0.5, polygon)


def test_without_a_polygon_a_person_anywhere_counts() -> None:
    assert watch(()).inside([hand(5.0, 5.0)])


def test_a_person_inside_the_polygon_counts() -> None:
    assert watch().inside([hand(150.0, 150.0)])


def test_a_person_outside_does_not_count() -> None:
    assert watch().inside([hand(50.0, 150.0)]) is None


def test_a_box_that_only_reaches_in_counts() -> None:
    assert watch().inside([hand(90.0, 150.0, 30.0)])


def test_a_box_around_the_whole_polygon_counts() -> None:
    assert watch().inside([hand(150.0, 150.0, 500.0)])


def test_a_box_in_the_empty_corner_of_a_triangle_does_not_count() -> None:
    assert watch(TRIANGLE).inside([hand(90.0, 90.0)]) is None
    assert watch(TRIANGLE).inside([hand(40.0, 40.0)])


def test_other_classes_and_low_scores_do_not_count() -> None:
    assert watch().inside([hand(150.0, 150.0, name="red_cube"), hand(150.0, 150.0, score=0.3)]) is None


@pytest.mark.parametrize("field", ["x", "y", "width", "height", "theta"])
def test_a_person_whose_place_is_no_number_counts(field: str) -> None:
    assert watch().inside([replace(hand(0.0, 0.0), **{field: math.nan})])


def test_a_score_that_is_no_number_counts() -> None:
    assert watch().inside([hand(150.0, 150.0, score=math.nan)])


def test_a_turned_box_reaches_as_far_as_its_upright_bounds() -> None:
    assert watch().inside([hand(85.0, 150.0, 24.0)]) is None
    assert watch().inside([hand(85.0, 150.0, 24.0, theta=math.pi / 4)])


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
        assert (watch().inside([box]) is not None) == expected
