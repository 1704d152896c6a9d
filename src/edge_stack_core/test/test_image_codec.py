# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The image codec: every encoding there and back, padding, byte order, and what a wrong image is told."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_stack_core.image_codec import (
    COLOUR_ENCODINGS,
    ENCODINGS,
    ImageError,
    as_bytes,
    from_rgb,
    picture_height,
    row_bytes,
    to_array,
    to_rgb,
)

EXACT = ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "8UC4", "rgb16", "bgr16", "rgba16", "bgra16")
GREY = ("mono8", "mono16", "8UC1")
RAW = ("16UC1", "16SC1", "32SC1", "32FC1", "64FC1")
CONTAINERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "array": lambda b: array.array("B", b),
    "view": memoryview,
}


def random_rgb(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def padded(rows: NDArray[np.uint8], padding: int) -> bytes:
    """Return rows [H, bytes] with ``padding`` bytes of rubbish after each."""
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5).tobytes()


@settings(deadline=None)
@given(
    st.sampled_from(EXACT),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 9),
    st.sampled_from(sorted(CONTAINERS)),
    st.integers(0, 1000),
)
def test_colours_survive_there_and_back_with_any_padding(
    encoding: str, height: int, width: int, padding: int, container: str, seed: int
) -> None:
    rgb = random_rgb(height, width, seed)
    rows = np.frombuffer(as_bytes(from_rgb(rgb, encoding), encoding), np.uint8).reshape(height, -1)
    data = CONTAINERS[container](padded(rows, padding))
    step = row_bytes(encoding, width) + padding
    assert np.array_equal(to_rgb(data, encoding, height, width, step), rgb)


@settings(deadline=None)
@given(st.sampled_from(GREY), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 1000))
def test_grey_survives_there_and_back_as_three_equal_channels(
    encoding: str, height: int, width: int, padding: int, seed: int
) -> None:
    grey = random_rgb(height, width, seed)[..., :1].repeat(3, 2)
    rows = np.frombuffer(as_bytes(from_rgb(grey, encoding), encoding), np.uint8).reshape(height, -1)
    data = padded(rows, padding)
    assert np.array_equal(to_rgb(data, encoding, height, width, row_bytes(encoding, width) + padding), grey)


@settings(deadline=None)
@given(st.sampled_from(RAW), st.integers(1, 30), st.integers(1, 30), st.integers(0, 9), st.integers(0, 1000))
def test_depth_and_ids_pass_through_unchanged(
    encoding: str, height: int, width: int, padding: int, seed: int
) -> None:
    dtype = {"16UC1": "u2", "16SC1": "i2", "32SC1": "i4", "32FC1": "f4", "64FC1": "f8"}[encoding]
    values = (np.random.default_rng(seed).random((height, width)) * 60000 - 30000).astype(dtype)
    rows = np.frombuffer(as_bytes(values, encoding), np.uint8).reshape(height, -1)
    image = to_array(padded(rows, padding), encoding, height, width, row_bytes(encoding, width) + padding)
    assert image.dtype == dtype
    assert np.array_equal(image, values)


@pytest.mark.parametrize(
    ("encoding", "dtype"), [("mono16", "u2"), ("16SC1", "i2"), ("32FC1", "f4"), ("64FC1", "f8")]
)
def test_big_endian_values_are_read_in_the_machines_order(encoding: str, dtype: str) -> None:
    values = np.arange(12).reshape(3, 4).astype(dtype)
    data = values.astype(f">{dtype}").tobytes()
    image = to_array(data, encoding, 3, 4, values.strides[0], is_bigendian=True)
    assert image.dtype.isnative
    assert np.array_equal(image, values)


@pytest.mark.parametrize("encoding", ["rgb16", "bgra16", "mono16"])
def test_sixteen_bit_colours_keep_their_upper_byte_in_either_byte_order(encoding: str) -> None:
    grey = np.full((3, 4, 3), 0x7F, np.uint8)
    image = from_rgb(grey, encoding)
    for big in (False, True):
        data = image.astype(image.dtype.newbyteorder(">" if big else "<")).tobytes()
        assert np.array_equal(to_rgb(data, encoding, 3, 4, image.strides[0], big), grey)


def yuv_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """BT.601, limited range, from its definition."""
    r, g, b = np.moveaxis(rgb.astype(float) / 255, 2, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([16 + 219 * y, 128 + 224 * 0.5 * (b - y) / 0.886, 128 + 224 * 0.5 * (r - y) / 0.701], 2)


def blocks(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A picture whose 2 by 2 blocks are of one colour, so that halved chroma loses nothing."""
    return random_rgb(height // 2, width // 2, seed).repeat(2, 0).repeat(2, 1)


def encode_yuv(rgb: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """[rows, bytes]: the picture in a 4:2:2 or 4:2:0 encoding, made by hand from the format's definition."""
    y, u, v = np.moveaxis(yuv_of(rgb).round().astype(np.uint8), 2, 0)
    height, width = y.shape
    if encoding == "nv24":
        return np.concatenate([y, np.stack([u, v], 2).reshape(2 * height, width)])
    if encoding in ("nv12", "nv21"):
        first, second = (u, v) if encoding == "nv12" else (v, u)
        chroma = np.stack([first[::2, ::2], second[::2, ::2]], 2).reshape(height // 2, width)
        return np.concatenate([y, chroma])
    rows = np.empty((height, width * 2), np.uint8)
    luma, chroma_at = (1, 0) if encoding in ("yuv422", "uyvy") else (0, 1)
    rows[:, luma::2] = y
    rows[:, chroma_at::4] = u[:, ::2]
    rows[:, chroma_at + 2 :: 4] = v[:, ::2]
    return rows


@settings(deadline=None)
@given(
    st.sampled_from(["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "nv24"]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 6),
    st.integers(0, 1000),
)
def test_yuv_colours_are_right_to_the_rounding(
    encoding: str, half_height: int, half_width: int, padding: int, seed: int
) -> None:
    rgb = blocks(2 * half_height, 2 * half_width, seed)
    rows = encode_yuv(rgb, encoding)
    if encoding == "nv24":  # a row of chroma is as long as two of luma, and so is its padding
        data = padded(rows[: rgb.shape[0]], padding)
        data += padded(rows[rgb.shape[0] :].reshape(rgb.shape[0], -1), 2 * padding)
    else:
        data = padded(rows, padding)
    step = row_bytes(encoding, rgb.shape[1]) + padding
    got = to_rgb(data, encoding, *rgb.shape[:2], step)
    assert np.abs(got.astype(int) - rgb).max() <= 3  # 8-bit YUV has 219 steps of luma


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_keep_their_colours(pattern: str, bits: int) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    dtype = np.uint8 if bits == 8 else np.uint16
    tile = np.array([[colour[c] for c in pattern[:2]], [colour[c] for c in pattern[2:]]], dtype)
    mosaic = np.tile(tile, (4, 4)) * dtype(1 if bits == 8 else 257)
    got = to_rgb(mosaic.tobytes(), f"bayer_{pattern}{bits}", 8, 8, mosaic.strides[0])
    assert np.array_equal(got, np.broadcast_to(np.array([200, 120, 40], np.uint8), (8, 8, 3)))


def test_rows_of_an_odd_step_reach_opencv_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV 4.6 raises where rows do not begin at whole values."""
    convert = cv2.cvtColor

    def strict(image: NDArray[np.generic], code: int) -> NDArray[np.generic]:
        assert image.flags.aligned and image.strides[0] % image.itemsize == 0
        return convert(image, code)

    monkeypatch.setattr(cv2, "cvtColor", strict)
    mosaic = np.arange(48, dtype=np.uint16).reshape(6, 8)
    rows = np.frombuffer(mosaic.tobytes(), np.uint8).reshape(6, 16)
    got = to_rgb(padded(rows, 3), "bayer_rggb16", 6, 8, 19)
    assert np.array_equal(got, to_rgb(mosaic.tobytes(), "bayer_rggb16", 6, 8, 16))


def test_what_opencv_refuses_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("(-215) an assertion")

    monkeypatch.setattr(cv2, "cvtColor", refuse)
    with pytest.raises(ImageError, match="bayer_rggb16 of 4x4 is refused by OpenCV"):
        to_rgb(bytes(32), "bayer_rggb16", 4, 4, 8)


# sensor_msgs/image_encodings.hpp of Jazzy.
SENSOR_MSGS = (
    *(f"{order}{bits}" for order in ("rgb", "rgba", "bgr", "bgra", "mono") for bits in (8, 16)),
    *(f"{kind}C{n}" for kind in ("8U", "8S", "16U", "16S", "32S", "32F", "64F") for n in range(1, 5)),
    *(f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)),
    *("uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv21", "nv24"),
)


@pytest.mark.parametrize("encoding", SENSOR_MSGS)
def test_every_encoding_of_sensor_msgs_is_read_or_refused_by_name_with_those_that_are_read(
    encoding: str,
) -> None:
    step = row_bytes(encoding, 8)
    data = bytes(step * 8 * 3 if encoding == "nv24" else step * 12 if encoding == "nv21" else step * 8)
    assert to_array(data, encoding, 8, 8, step).size
    if encoding in COLOUR_ENCODINGS:
        assert to_rgb(data, encoding, 8, 8, step).shape == (8, 8, 3)
        return
    with pytest.raises(ImageError, match=f"encoding: {encoding} has no colours; one of rgb8, .*nv24"):
        to_rgb(data, encoding, 8, 8, step)


def test_rgb8_is_a_read_only_view_of_the_message() -> None:
    data = bytearray(as_bytes(random_rgb(4, 5), "rgb8"))
    rgb = to_rgb(data, "rgb8", 4, 5, 15)
    assert np.shares_memory(rgb, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        rgb[0, 0, 0] = 1


def test_tight_rows_become_bytes_without_a_copy() -> None:
    rgb = random_rgb(4, 5)
    assert np.shares_memory(np.frombuffer(as_bytes(rgb, "rgb8"), np.uint8), rgb)
    cut = rgb[:, 1:4]
    assert bytes(as_bytes(cut, "rgb8")) == cut.tobytes()


GOOD = {"data": bytes(4 * 20), "encoding": "rgb8", "height": 4, "width": 6, "step": 20}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoding": "jpeg"}, r"encoding: 'jpeg' is not supported; one of rgb8,"),
        ({"encoding": ""}, r"encoding: '' is not supported"),
        ({"encoding": "32FC1"}, r"encoding: 32FC1 has no colours"),
        ({"height": 0}, r"height: 0, must be 1 or more"),
        ({"width": 0}, r"width: 0, must be 1 or more"),
        ({"step": 17}, r"step: 17 bytes a row, but 6 pixels of rgb8 take 18 \(3 a pixel\)"),
        ({"step": 0}, r"step: 0 bytes a row"),
        ({"data": bytes(79)}, r"data: 79 bytes, but 4 rows of step 20 take 80 \(rgb8, width 6, height 4\)"),
        ({"data": b""}, r"data: 0 bytes, but 4 rows of step 20 take 80"),
        ({"data": bytes(81)}, r"data: 81 bytes"),
        ({"data": [0] * 80}, r"data: list is not a contiguous buffer"),
        ({"encoding": "yuv422", "width": 5}, r"width: 5 is odd; yuv422"),
        ({"encoding": "nv12", "height": 3}, r"height: 3 is odd; nv12"),
        ({"encoding": "nv12"}, r"data: 80 bytes, but 6 rows of step 20 take 120"),
        ({"encoding": "bayer_rggb8", "height": 1, "data": bytes(20)}, r"at least 2 by 2"),
    ],
)
def test_an_image_that_does_not_fit_is_told_which_field_and_what_would_be_right(
    change: dict[str, object], says: str
) -> None:
    with pytest.raises(ImageError, match=says):
        to_rgb(**{**GOOD, **change})  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([*ENCODINGS, "h264", ""]),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 60),
    st.booleans(),
)
def test_any_message_gives_an_image_of_its_size_or_an_image_error(
    data: bytes, encoding: str, height: int, width: int, step: int, big: bool
) -> None:
    try:
        rgb = to_rgb(data, encoding, height, width, step, big)
    except ImageError:
        return
    assert encoding in COLOUR_ENCODINGS
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == np.uint8


@settings(deadline=None)
@given(st.sampled_from(ENCODINGS), st.integers(1, 8), st.integers(1, 8), st.booleans(), st.data())
def test_every_image_of_the_right_size_is_accepted(
    encoding: str, half_height: int, half_width: int, big: bool, data: st.DataObject
) -> None:
    height, width = 2 * half_height, 2 * half_width
    step = row_bytes(encoding, width) + data.draw(st.integers(0, 5))
    rows = {"nv12": height * 3 // 2, "nv21": height * 3 // 2, "nv24": height * 3}.get(encoding, height)
    assert picture_height(encoding, rows) == height
    assert to_array(bytes(rows * step), encoding, height, width, step, big).shape[:2] == (rows, width)
    if encoding in COLOUR_ENCODINGS:
        assert to_rgb(bytes(rows * step), encoding, height, width, step, big).shape == (height, width, 3)


def test_wrong_arrays_are_refused_by_name() -> None:
    with pytest.raises(
        ImageError, match=r"image: float32 \[2, 2, 3\], rgb8 needs uint8 \[height, width, 3\]"
    ):
        as_bytes(np.zeros((2, 2, 3), np.float32), "rgb8")
    with pytest.raises(ImageError, match=r"mono16 needs uint16 \[height, width\]"):
        as_bytes(np.zeros((2, 2, 3), np.uint16), "mono16")
    with pytest.raises(ImageError, match=r"uint8 \[2, 2\], uint8 \[height, width, 3\] is needed"):
        from_rgb(np.zeros((2, 2), np.uint8), "bgr8")
    with pytest.raises(ImageError, match="nv12 can be read but not written"):
        from_rgb(random_rgb(2, 2), "nv12")


def test_grey_is_the_luma_of_the_colours() -> None:
    rgb = random_rgb(5, 7)
    assert np.array_equal(from_rgb(rgb, "mono8"), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
