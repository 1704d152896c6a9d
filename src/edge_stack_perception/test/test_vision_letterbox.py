# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of image preparation and of the geometry back to the original image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_stack_perception.vision import letterbox
from edge_stack_perception.vision.letterbox import CenterCrop, Geometry, Letterbox

SIDES = st.integers(1, 2000)
TARGETS = st.tuples(st.integers(32, 640), st.integers(32, 640))
UNITS = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=40).map(lambda v: v[: len(v) // 4 * 4])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_frame_of_the_demo_fills_its_tensor() -> None:
    geometry = Geometry.fit((240, 320), (192, 256))
    assert (geometry.resized, geometry.top, geometry.left) == ((192, 256), 0, 0)


def test_an_odd_pixel_of_padding_goes_to_the_bottom_and_right() -> None:
    assert Geometry.fit((240, 320), (193, 256)).top == 0
    assert Geometry.fit((320, 240), (256, 193)).left == 0
    assert Geometry.fit((240, 320), (195, 256)).top == 1


def test_a_thin_image_keeps_one_pixel() -> None:
    assert Geometry.fit((1, 3000), (64, 64)).resized == (1, 64)


@given(SIDES, SIDES, TARGETS)
def test_the_image_lies_inside_the_tensor_and_touches_two_of_its_sides(
    height: int, width: int, target: tuple[int, int]
) -> None:
    g = Geometry.fit((height, width), target)
    assert g.top >= 0 and g.left >= 0
    assert g.top + g.resized[0] <= target[0] and g.left + g.resized[1] <= target[1]
    assert g.resized[0] == target[0] or g.resized[1] == target[1]


@given(SIDES, SIDES, TARGETS, UNITS)
def test_boxes_come_back_to_where_they_were(
    height: int, width: int, target: tuple[int, int], units: list[float]
) -> None:
    g = Geometry.fit((height, width), target)
    corners = np.array(units, np.float32).reshape(-1, 2, 2) * np.array((width, height), np.float32)
    boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    back = g.boxes_to_source(g.boxes_to_target(boxes))
    # Rounding in float32, magnified by as much as the image was scaled down.
    tolerance = 1e-4 * max(1.0, 1.0 / g.gain_x, 1.0 / g.gain_y) + 1e-3
    assert np.abs(back - boxes).max() <= tolerance


@given(SIDES, SIDES, TARGETS, st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))
def test_what_comes_back_is_inside_the_image(
    height: int, width: int, target: tuple[int, int], values: list[float]
) -> None:
    g = Geometry.fit((height, width), target)
    row = np.array([values], np.float32)
    for back in (g.boxes_to_source(row), g.points_to_source(row.reshape(1, 2, 2)).reshape(1, 4)):
        assert (back >= 0).all()
        assert (back <= np.array((width, height, width, height))).all()


def test_the_third_value_of_a_keypoint_is_left_alone() -> None:
    g = Geometry.fit((240, 320), (96, 128))
    points = np.array([[[64.0, 48.0, 0.7]]], np.float32)
    assert np.allclose(g.points_to_source(points), [[[160.0, 120.0, 0.7]]])
    assert np.allclose(points, [[[64.0, 48.0, 0.7]]])


def test_a_rotated_box_keeps_its_angle_and_is_not_clipped() -> None:
    g = Geometry.fit((240, 320), (120, 160))
    back = g.rotated_to_source(np.array([[-5.0, 10.0, 30.0, 20.0, 0.5]], np.float32))
    assert np.allclose(back, [[-10.0, 20.0, 60.0, 40.0, 0.5]])


def test_the_tensor_is_the_resized_image_on_grey() -> None:
    rgb = picture(100, 200)
    tensor, g = Letterbox((128, 128))(rgb)
    assert tensor.dtype == np.float32 and tensor.shape == (1, 3, 128, 128) and tensor.flags.c_contiguous
    expected = np.full((128, 128, 3), 114, np.uint8)
    expected[g.top : g.top + 64, :] = cv2.resize(rgb, (128, 64), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(tensor[0], expected.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_an_image_of_the_tensors_size_is_not_interpolated() -> None:
    rgb = picture(64, 96)
    tensor, _ = Letterbox((64, 96))(rgb)
    assert np.array_equal(tensor[0].transpose(1, 2, 0), rgb.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("kind", [Letterbox, CenterCrop])
def test_a_read_only_image_with_padded_rows_gives_the_same_tensor(kind: type) -> None:
    rgb = picture(50, 70)
    padded = np.zeros((50, 80, 3), np.uint8)
    padded[:, :70] = rgb
    view = padded[:, :70]
    view.flags.writeable = False
    expected = kind((64, 64))(rgb)[0].copy()
    assert np.array_equal(kind((64, 64))(view)[0], expected)


def test_nothing_of_the_last_image_is_left_when_the_size_changes() -> None:
    prepare = Letterbox((96, 96))
    prepare(picture(90, 30))
    after = prepare(picture(30, 90))[0].copy()
    assert np.array_equal(after, Letterbox((96, 96))(picture(30, 90))[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 96))
def test_the_centre_crop_is_that_of_pillow(height: int, width: int, size: int) -> None:
    rgb = picture(height, width)
    tensor, _ = CenterCrop((size, size))(rgb)
    short = min(height, width)
    resized = (size, int(size * height / short)) if width <= height else (int(size * width / short), size)
    whole = np.asarray(Image.fromarray(rgb).resize(resized, Image.Resampling.BILINEAR))
    top, left = round((resized[1] - size) / 2.0), round((resized[0] - size) / 2.0)
    expected = whole[top : top + size, left : left + size]
    difference = np.abs(tensor[0].transpose(1, 2, 0) * 255 - expected.astype(np.float32))
    # A long picture is cut before it is scaled, which may round one value differently.
    assert difference.max() <= (1.001 if max(resized) > 4 * size else 1e-3)


def test_a_picture_of_any_length_is_cropped_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Image.Image.resize

    def resize(self: Image.Image, size: tuple[int, int], *args: object, **kwargs: object) -> Image.Image:
        made.append(size[0] * size[1])
        return original(self, size, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", resize)
    CenterCrop((224, 224))(picture(1, 60_000))
    assert max(made) <= (224 * letterbox._LONG) ** 2


def test_a_tensor_that_is_not_square_scales_both_sides() -> None:
    rgb = picture(50, 80)
    tensor, _ = CenterCrop((32, 64))(rgb)
    expected = np.asarray(Image.fromarray(rgb).resize((64, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(np.rint(tensor[0].transpose(1, 2, 0) * 255), expected)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
@pytest.mark.parametrize("kind", [Letterbox, CenterCrop])
def test_what_is_no_rgb_image_is_refused_in_words(kind: type, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 \\[height, width, 3\\] is needed"):
        kind((64, 64))(image)
