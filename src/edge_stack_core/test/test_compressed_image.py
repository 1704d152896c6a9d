# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Compressed pictures: every convention of image_transport's format, and data that is wrong or asks for too much."""

from __future__ import annotations

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_stack_core import compressed_image
from edge_stack_core.compressed_image import check, decode_rgb
from edge_stack_core.image_codec import ImageError

RGB = np.full((16, 24, 3), (200, 120, 40), np.uint8)
BGR = RGB[..., ::-1]


def jpeg(image: NDArray[np.generic], *options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", image, list(options))[1])


def png(image: NDArray[np.generic]) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is as large as that."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("form", "coded"),
    [
        ("rgb8; jpeg compressed bgr8", BGR),
        ("bgr8; jpeg compressed bgr8", BGR),
        ("rgba8; jpeg compressed bgr8", BGR),
        ("bayer_rggb8; jpeg compressed bgr8", BGR),
        ("jpeg", BGR),
        ("jpg", BGR),
        ("", BGR),
        # Coded as if RGB were BGR, and said so.
        ("rgb8; jpeg compressed rgb8", RGB),
        ("bgr8; jpeg compressed rgb8", RGB),
    ],
)
@pytest.mark.parametrize("code", [jpeg, png], ids=["jpeg", "png"])
def test_colours_are_those_of_image_transport(form: str, coded: NDArray[np.uint8], code: object) -> None:
    data = code(coded)  # type: ignore[operator]
    got = decode_rgb(array.array("B", data), form.replace("jpeg", "png") if code is png else form)
    assert got.shape == RGB.shape
    assert np.abs(got.astype(int) - RGB).max() <= 3


def test_grey_sixteen_bits_alpha_and_bayer_are_read() -> None:
    grey = np.full((6, 8), 90, np.uint8)
    expected = np.full((6, 8, 3), 90, np.uint8)
    assert np.array_equal(decode_rgb(png(grey), "mono8; png compressed "), expected)
    assert np.array_equal(decode_rgb(png(grey.astype(np.uint16) * 257), "mono16; png compressed "), expected)
    assert np.array_equal(decode_rgb(png(np.dstack([BGR, BGR[..., :1]])), "png"), RGB)
    assert np.array_equal(decode_rgb(png(BGR.astype(np.uint16) * 257), "rgb16; png compressed bgr16"), RGB)
    assert np.array_equal(decode_rgb(png(grey), "bayer_rggb8; png compressed "), expected)


@pytest.mark.parametrize(
    ("data", "form", "says"),
    [
        (png_of_size(60000, 60000), "png", "a picture of 60000x60000, at most 33554432 pixels are decoded"),
        (png_of_size(2**31, 2**31), "png", "a picture of 2147483648x"),
        (png_of_size(0, 5), "png", "a picture of 0x5"),
        (b"", "jpeg", "format: 'jpeg' is not read: data is neither a JPEG nor a PNG"),
        (b"RIFF1234WEBPVP8 ", "webp", "'webp' is not read"),
        (b"\0" * 40, "h" * 500, "format: 'hhh.*[.][.][.]' is not read"),
        (jpeg(BGR)[:-40], "jpeg", "a JPEG that is cut off"),
        (png(BGR)[:-20], "png", "a PNG that is cut off"),
        (b"\x89PNG\r\n\x1a\n", "png", "a PNG without its header"),
        (b"\xff\xd8\xff\xd9", "jpeg", "a JPEG without the size"),
        (jpeg(BGR) + b"\xff\xda" * 200 + b"\xff\xd9", "jpeg", "a JPEG of more than 100 scans"),
        (png(np.zeros((4, 4), np.uint16)), "16UC1; compressedDepth png", "is a depth image"),
        (png(np.zeros((4, 4), np.uint16)), "16UC1; png compressed ", "16UC1 has no colours"),
        (png_of_size(64, 64), "png", "cannot be decoded"),
    ],
)
def test_what_cannot_or_should_not_be_decoded_says_why(data: bytes, form: str, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        decode_rgb(data, form)


def test_a_header_that_asks_for_too_much_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    small = bytearray(jpeg(BGR))
    at = small.index(b"\xff\xc0")
    struct.pack_into(">HH", small, at + 5, 65000, 65000)
    for data in (bytes(small), png_of_size(20000, 20000)):
        with pytest.raises(ImageError, match="at most 33554432 pixels are decoded"):
            check(data, "")
        with pytest.raises(ImageError):
            decode_rgb(data, "")


def test_more_bytes_than_any_camera_sends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed_image, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="at most 100 are decoded"):
        decode_rgb(jpeg(BGR), "jpeg")


def test_progressive_pictures_and_bytes_after_the_end_are_read() -> None:
    data = jpeg(BGR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1) + bytes(300)
    assert decode_rgb(data, "jpeg").shape == RGB.shape


@settings(deadline=None)
@given(st.data())
def test_damaged_data_gives_a_picture_or_an_image_error(data: st.DataObject) -> None:
    good = bytearray(jpeg(BGR) if data.draw(st.booleans()) else png(BGR))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = decode_rgb(
            bytes(good), data.draw(st.sampled_from(["", "rgb8; jpeg compressed bgr8", "mono16; png"]))
        )
    except ImageError:
        return
    assert got.dtype == np.uint8 and got.ndim == 3 and got.shape[2] == 3
