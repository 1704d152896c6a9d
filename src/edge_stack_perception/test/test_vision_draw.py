# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Drawing results into a picture: that each kind shows where it is, in its colour, and that nothing makes it fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_stack_perception.vision import text
from edge_stack_perception.vision.draw import annotate, class_colour
from edge_stack_perception.vision.text import put_text, text_size
from edge_stack_perception.vision.types import Detections

NAMES = ("red_cube", "mark", "hand")
GREY = np.full((240, 320, 3), 90, np.uint8)


def found(*boxes: tuple[float, ...], classes: tuple[int, ...] | None = None, **kinds: Any) -> Detections:
    """Detections of these boxes x1 y1 x2 y2."""
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.full(len(boxes), 0.9, np.float32),
        classes=np.array(classes or (0,) * len(boxes), np.int32),
        **kinds,
    )


def changed(image: NDArray[np.uint8], before: NDArray[np.uint8] = GREY) -> NDArray[np.bool_]:
    scale = image.shape[0] // before.shape[0]
    return (image != before.repeat(scale, 0).repeat(scale, 1)).any(2)


def test_the_given_picture_stays_as_it_is() -> None:
    picture = GREY.copy()
    picture.flags.writeable = False
    annotate(picture, found((10, 60, 50, 100)), NAMES)
    assert (picture == 90).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_box_is_a_line_on_its_edges_and_leaves_its_inside(scale: int) -> None:
    drawn = annotate(GREY, found((100, 80, 160, 120)), NAMES, scale=scale, labels=False)
    assert drawn.shape == (240 * scale, 320 * scale, 3)
    rows, columns = np.nonzero(changed(drawn))
    edges = (columns.min() / scale, rows.min() / scale, (columns.max() + 1) / scale, (rows.max() + 1) / scale)
    assert np.abs(np.array(edges) - (100, 80, 160, 120)).max() <= 2
    assert not changed(drawn)[85 * scale : 115 * scale, 105 * scale : 155 * scale].any()
    assert (drawn == class_colour(0, "red_cube")).all(2).any()


def test_an_empty_result_changes_nothing() -> None:
    assert np.array_equal(annotate(GREY, found(), NAMES), GREY)


def test_a_rotated_box_is_drawn_instead_of_the_box_around_it() -> None:
    turned = np.array([[160, 120, 80, 20, np.pi / 4]], np.float32)
    drawn = changed(annotate(GREY, found((120, 80, 200, 160), rotated=turned), NAMES, labels=False))
    assert drawn[120 + 28 - 3 : 120 + 28 + 4, 160 + 28 - 10 : 160 + 28 + 11].any()  # the far end along (1, 1)
    assert not drawn[80:90, 120:130].any()  # a corner of the upright box


def test_a_mask_tints_its_pixels_and_no_others() -> None:
    ids = np.zeros((240, 320), np.uint16)
    ids[100:140, 150:170] = 2
    result = found((0, 0, 1, 1), (150, 100, 170, 140), classes=(0, 1), masks=ids)
    drawn = annotate(GREY, result, NAMES, labels=False)
    assert changed(drawn)[102:138, 152:168].all()
    assert not changed(drawn)[20:90].any()


def test_the_edge_of_a_mask_is_smooth_when_enlarged() -> None:
    ids = np.zeros((240, 320), np.uint16)
    ids[100:140, 150:190] = np.tri(40, dtype=np.uint16)  # a diagonal edge
    drawn = changed(annotate(GREY, found((0, 0, 0, 0), masks=ids), NAMES, scale=3, labels=False))
    steps = np.diff([np.nonzero(row)[0].max() for row in drawn[315:400]])
    assert steps.max() <= 2  # not one jump of 3 pixels every 3 rows


def test_a_mask_that_vanishes_in_a_smaller_picture_is_left_out() -> None:
    ids = np.zeros((240, 320), np.uint16)
    ids[100, 150] = 1
    drawn = annotate(GREY, found((0, 0, 0, 0), masks=ids), NAMES, scale=0.5, labels=False)
    assert drawn.shape == (120, 160, 3)


def test_keypoints_show_where_they_are_visible_only() -> None:
    points = np.array([[[50, 50, 0.9], [100, 50, 0.2], [150, np.nan, 0.9]]], np.float32)
    drawn = changed(annotate(GREY, found((200, 200, 201, 201), keypoints=points), NAMES, labels=False))
    assert drawn[50, 50]
    assert not drawn[40:60, 90:160].any()


def test_joined_keypoints_have_a_line_between_them() -> None:
    points = np.array([[[50, 50, 1], [100, 50, 1]]], np.float32)
    result = found((200, 200, 201, 201), keypoints=points)
    joined = changed(annotate(GREY, result, NAMES, labels=False, skeleton=[(0, 1), (0, 7)]))
    assert joined[48:52, 70:80].any()


def test_the_classes_of_a_picture_are_written_at_its_upper_left() -> None:
    result = found(probabilities=np.array([0.1, 0.85, 0.05], np.float32))
    drawn = changed(annotate(GREY, result, NAMES))
    assert drawn[:60, :120].any()
    assert not drawn[80:].any()


def test_labels_cover_neither_each_other_nor_a_neighbour() -> None:
    boxes = ((100, 100, 130, 130), (104, 132, 134, 160))
    one = [
        changed(annotate(GREY, found(b), NAMES)) & ~changed(annotate(GREY, found(b), NAMES, labels=False))
        for b in boxes
    ]
    both = changed(annotate(GREY, found(*boxes), NAMES))
    plain = changed(annotate(GREY, found(*boxes), NAMES, labels=False))
    assert (both & ~plain).sum() >= 0.95 * sum(label.sum() for label in one)
    assert not both[102:128, 102:128].any()
    assert not both[136:156, 107:131].any()


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (300, 220, 319, 239), (-50, -50, 400, 300), (0, 0, 0, 0)])
def test_a_label_stays_in_the_picture(box: tuple[float, ...]) -> None:
    width, height = text_size("red_cube 0.90", 10, boxed=True)
    colour = class_colour(0, "red_cube")
    drawn = (annotate(GREY, found(box), NAMES) == colour).all(2)
    assert drawn.sum() > 0.5 * width * height


def test_a_class_keeps_its_colour_and_a_named_colour_is_taken() -> None:
    assert class_colour(3, "person") == class_colour(3, "person")
    assert class_colour(0, "red_cube") == class_colour(9, "Red ball")
    assert class_colour(0, "predator") != class_colour(0, "red_cube")
    colours = np.array([class_colour(i) for i in range(8)], int)
    apart = np.abs(colours[:, None] - colours[None]).sum(2)[~np.eye(8, dtype=bool)]
    assert apart.min() > 60


number = st.floats(width=32)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(number, number, number, number), max_size=4),
    st.integers(-1, 5),
    st.integers(1, 2),
    st.booleans(),
)
def test_whatever_a_model_says_is_drawn_or_left_out(
    boxes: list[tuple[float, ...]], class_index: int, scale: int, turned: bool
) -> None:
    n = len(boxes)
    square = np.array(boxes, np.float32).reshape(n, 4)
    result = found(
        *boxes,
        classes=(class_index,) * n,
        rotated=np.concatenate([square, square[:, :1]], 1) if turned else None,
        keypoints=np.concatenate([square, square[:, :2]], 1).reshape(n, 2, 3),
        masks=np.full((30, 40), 7, np.uint16),
    )
    with np.errstate(all="ignore"):
        assert annotate(GREY[:30, :40], result, NAMES, scale=scale).shape == (30 * scale, 40 * scale, 3)


def test_text_is_cut_off_at_the_edges_and_never_wraps() -> None:
    for x, y in ((-20, -4), (310, 236), (500, 500), (-500, -500)):
        image = GREY.copy()
        put_text(image, "red_cube 0.90", x, y, 12, background=(0, 0, 0))
        if x > 320 or x < -400:
            assert np.array_equal(image, GREY)


def test_text_is_readable_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "Image", None)
    for cache in (text._font, text._coverage):
        cache.cache_clear()
    try:
        image = GREY.copy()
        width, height = put_text(image, "red_cube 0.90", 4, 4, 12)
        assert changed(image).sum() > 60
        assert 40 < width < 140
        assert 8 < height < 24
    finally:
        for cache in (text._font, text._coverage):
            cache.cache_clear()
