# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Images on the wire: raw, JPEG or PNG, in RGB.

Its unit is one image. What comes from outside is measured before it is decoded: the sizes in its header must be those that
were announced, within limits, and only plain files pass (one scan, no extra chunks), so that a few bytes cannot cost much
memory or time.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_MAX = 4096
PIXELS_MAX = 4096 * 2160

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
_JPEG_BASELINE = (0xC0, 0xC1)
_JPEG_TABLES = (
    0xC4,
    0xDB,
    0xDD,
    0xFE,
    *range(0xE0, 0xF0),
)  # Huffman, quantization, restart, comment, application


def check_size(height: int, width: int) -> None:
    """Raise ValueError for sizes beyond the limits."""
    if not (0 < height <= SIDE_MAX and 0 < width <= SIDE_MAX and height * width <= PIXELS_MAX):
        raise ValueError(
            f"an image of {height}x{width}; up to {SIDE_MAX} a side and {PIXELS_MAX} pixels are taken"
        )


def encode_image(image: NDArray[np.uint8], encoding: str, jpeg_quality: int) -> bytes:
    """Encode uint8 [H, W, 3] RGB as raw, jpeg or png."""
    check_size(*image.shape[:2])
    if encoding == "raw":
        return image.tobytes()
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if encoding == "jpeg":
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    else:
        _, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)


def decode_image(data: bytes, encoding: str, height: int, width: int) -> NDArray[np.uint8]:
    """Decode to uint8 [height, width, 3] RGB; ValueError says what is wrong."""
    check_size(height, width)
    if encoding == "raw":
        if len(data) != height * width * 3:
            raise ValueError(f"{len(data)} bytes for a raw image of {height}x{width}x3")
        return np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()  # to be written to, as others
    found = _jpeg_size(data) if encoding == "jpeg" else _png_size(data)
    if found != (height, width):
        raise ValueError(f"the {encoding} is {found[0]}x{found[1]} but {height}x{width} was announced")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(f"the {encoding} cannot be decoded") from error
    if bgr is None or bgr.shape != (height, width, 3):
        raise ValueError(f"the {encoding} cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _png_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of a plain 8-bit RGB PNG."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError("not a PNG")
    position = len(_PNG_SIGNATURE)
    size = None
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind not in _PNG_CHUNKS or (kind == b"IHDR") != (size is None):
            raise ValueError("a PNG with chunks other than IHDR, IDAT, IEND")
        if kind == b"IHDR":
            if length != 13 or position + 25 > len(data):
                raise ValueError("a PNG with a broken header")
            width, height, *form = struct.unpack_from(">IIBBBBB", data, position + 8)
            if form != [8, 2, 0, 0, 0]:
                raise ValueError("a PNG that is not 8-bit RGB without interlace")
            size = (height, width)
        if kind == b"IEND":
            assert size is not None
            return size
        position += 12 + length
    raise ValueError("a PNG that is cut off")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of a baseline JPEG whose one scan holds all colours."""
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("not a JPEG")
    position, size, colours = 2, None, 0
    while position + 4 <= len(data):
        sync, marker, length = struct.unpack_from(">BBH", data, position)
        body = data[position + 4 : position + 2 + length]
        if sync != 0xFF or length < 2 or len(body) != length - 2:
            break
        if marker in _JPEG_BASELINE and size is None and len(body) >= 6:
            _, height, width, colours = struct.unpack_from(">BHHB", body)
            size = (height, width)
        elif marker == 0xDA and size is not None:
            if not body or body[0] != colours or colours not in (1, 3):
                raise ValueError("a JPEG with several scans")
            return size
        elif marker not in _JPEG_TABLES:
            raise ValueError(f"a JPEG that is not baseline (marker {marker:#x})")
        position += 2 + length
    raise ValueError("a JPEG that is cut off")
