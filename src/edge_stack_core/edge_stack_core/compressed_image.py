# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Compressed pictures: the data and format of a ``sensor_msgs/CompressedImage`` to RGB.

Its unit of work is one JPEG or PNG. The nodes' frames and the camera node's topic source call it. The size of a picture is
read from its header and bounded before anything is decoded, because a few kilobytes can ask for gigabytes. The order of
colours follows image_transport: "rgb8; jpeg compressed bgr8" names the driver's encoding, then that of the coded picture.
"""

from __future__ import annotations

import struct
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_stack_core import image_codec as codec
from edge_stack_core.image_codec import ImageError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "check", "decode_rgb"]

MAX_PIXELS = 1 << 25
"""Pixels of the largest picture that is decoded: one of 7680x4320 is."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of the largest picture that is decoded."""

# A progressive JPEG is built up in scans, mostly ten; each costs a pass over the whole picture, however short it is.
_MOST_SCANS = 100
# Cameras append zeros or a few words of their own after the end of a JPEG.
_TAIL_BYTES = 65536
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Markers of a JPEG that begin a frame of any kind, and those without a length.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset((*range(0xD0, 0xD8), 0x01))
_LONGEST_FORMAT = 60


def check(data: Any, form: str) -> None:
    """Look at the header of a picture alone; ImageError if it cannot be decoded, or should not be."""
    _checked(data, form)


def decode_rgb(data: Any, form: str) -> NDArray[np.uint8]:
    """
    Return a compressed picture as uint8 [H, W, 3] in RGB; 16-bit values keep their upper 8 bits.

    data: bytes, or anything with a buffer of them. form: the message's format. ImageError says what is wrong.
    """
    checked = _checked(data, form)
    try:
        picture = cv2.imdecode(np.frombuffer(checked, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"data: cannot be decoded: {error}") from error
    if picture is None:
        raise ImageError("data: cannot be decoded; it is damaged")
    return _rgb(cast("NDArray[Any]", picture), form)


def _checked(data: Any, form: str) -> bytes:
    encoding = form.split(";")[0].strip()
    if "compressedDepth" in form:
        raise ImageError(f"format: {_words(form)} is a depth image, which has no colours")
    size = len(data)
    if size > MAX_BYTES:
        raise ImageError(f"data: {size} bytes, at most {MAX_BYTES} are decoded")
    try:
        raw = bytes(memoryview(data).cast("B")) if size else b""
    except (TypeError, ValueError, BufferError):
        raise ImageError(f"data: {type(data).__name__} is not a contiguous buffer of bytes") from None
    if raw.startswith(_PNG):
        width, height = _png_size(raw)
    elif raw.startswith(_JPEG):
        width, height = _jpeg_size(raw)
    else:
        raise ImageError(f"format: {_words(form)} is not read: data is neither a JPEG nor a PNG")
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ImageError(f"data: a picture of {width}x{height}, at most {MAX_PIXELS} pixels are decoded")
    if encoding in codec.ENCODINGS and encoding not in codec.COLOUR_ENCODINGS:
        raise ImageError(f"format: {encoding} has no colours")
    return raw


def _words(form: str) -> str:
    return repr(form if len(form) <= _LONGEST_FORMAT else form[:_LONGEST_FORMAT] + "...")


def _png_size(raw: bytes) -> tuple[int, int]:
    if len(raw) < 33 or raw[12:16] != b"IHDR":
        raise ImageError("data: a PNG without its header")
    if raw.rfind(b"IEND") < 0:
        raise ImageError("data: a PNG that is cut off")
    width, height = struct.unpack_from(">II", raw, 16)
    return width, height


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    if raw.rfind(b"\xff\xd9", max(0, len(raw) - _TAIL_BYTES)) < 0:
        raise ImageError("data: a JPEG that is cut off")
    if raw.count(b"\xff\xda") > _MOST_SCANS:
        raise ImageError(f"data: a JPEG of more than {_MOST_SCANS} scans")
    at = 2
    while (at := raw.find(b"\xff", at)) >= 0 and at + 9 <= len(raw):
        marker = raw[at + 1]
        if marker == 0xFF:  # fills
            at += 1
        elif marker == 0x00 or marker in _BARE:
            at += 2
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", raw, at + 5)
            return width, height
        elif marker == 0xDA:
            break
        else:
            at += 2 + max(2, struct.unpack_from(">H", raw, at + 2)[0])
    raise ImageError("data: a JPEG without the size of its picture")


def _rgb(picture: NDArray[Any], form: str) -> NDArray[np.uint8]:
    """Return what OpenCV decoded in RGB."""
    if picture.ndim == 3 and picture.shape[2] <= 2:
        picture = picture[..., 0]  # grey, perhaps with alpha
    if picture.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"data: values of {picture.dtype}, 8 or 16 bits are read")
    encoding, separator, coded = form.partition(";")
    encoding, height, width = encoding.strip(), picture.shape[0], picture.shape[1]
    bits = 8 * picture.dtype.itemsize
    if picture.ndim == 2:
        grey = f"mono{bits}"
        if encoding.startswith("bayer_") and encoding in codec.ENCODINGS:
            grey = encoding.rstrip("0123456789") + str(bits)
        return codec.to_rgb(codec.as_bytes(picture, grey), grey, height, width, picture[0].nbytes)
    # Some publishers hand RGB to a coder that takes it for BGR, and say so (image_transport_plugins, compressed_subscriber).
    as_is = bool(separator) and encoding in codec.COLOUR_ENCODINGS and "compressed bgr" not in coded
    as_is = as_is and not encoding.startswith(("bayer", "mono", "8U", "16U"))
    order = "rgb" if as_is else "bgr"
    name = f"{order}{'a' if picture.shape[2] == 4 else ''}{bits}"
    return codec.to_rgb(codec.as_bytes(picture, name), name, height, width, picture[0].nbytes)
