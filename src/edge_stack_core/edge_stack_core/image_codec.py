# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Image codec: the bytes of a ``sensor_msgs/Image`` to numpy and back.

Its unit of work is one image given by the fields of the message (data, encoding, height, width, step,
is_bigendian). Encoding names are those of ``sensor_msgs/image_encodings.hpp``. It never imports ROS, never keeps an
image, and never guesses: what does not fit is an :class:`ImageError` that names the field and what would be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLOUR_ENCODINGS",
    "ENCODINGS",
    "ImageError",
    "as_bytes",
    "check_array",
    "check_colours",
    "convert",
    "from_rgb",
    "picture_height",
    "row_bytes",
    "to_array",
    "to_rgb",
]


class ImageError(ValueError):
    """An image whose fields do not fit together, or that has no colours; the text says what would be right."""


@dataclass(frozen=True)
class _Format:
    """How one encoding lies in memory."""

    kind: str  # rgb | bgr | mono | yuv422 | yuv420 | bayer | raw
    channels: int  # values a pixel
    dtype: type[np.generic]
    code: int = -1  # cv2.COLOR_... that makes RGB of it, where cv2 does the work

    @property
    def pixel_bytes(self) -> int:
        return self.channels * np.dtype(self.dtype).itemsize


_FORMATS: dict[str, _Format] = {
    "rgb8": _Format("rgb", 3, np.uint8),
    "rgba8": _Format("rgb", 4, np.uint8, cv2.COLOR_RGBA2RGB),
    "bgr8": _Format("bgr", 3, np.uint8, cv2.COLOR_BGR2RGB),
    "bgra8": _Format("bgr", 4, np.uint8, cv2.COLOR_BGRA2RGB),
    "rgb16": _Format("rgb", 3, np.uint16),
    "rgba16": _Format("rgb", 4, np.uint16),
    "bgr16": _Format("bgr", 3, np.uint16),
    "bgra16": _Format("bgr", 4, np.uint16),
    "mono8": _Format("mono", 1, np.uint8, cv2.COLOR_GRAY2RGB),
    "mono16": _Format("mono", 1, np.uint16),
    # Formats of OpenCV without a stated meaning: by OpenCV's habit one channel is grey, three and four are BGR(A).
    "8UC1": _Format("mono", 1, np.uint8, cv2.COLOR_GRAY2RGB),
    "8UC3": _Format("bgr", 3, np.uint8, cv2.COLOR_BGR2RGB),
    "8UC4": _Format("bgr", 4, np.uint8, cv2.COLOR_BGRA2RGB),
    "16UC3": _Format("bgr", 3, np.uint16),
    "16UC4": _Format("bgr", 4, np.uint16),
    # Both spellings: Jazzy added "uyvy" and "yuyv" for the older names.
    "yuv422": _Format("yuv422", 2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _Format("yuv422", 2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Format("yuv422", 2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _Format("yuv422", 2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    # One byte of luma a pixel, then half as many rows of interleaved chroma.
    "nv12": _Format("yuv420", 1, np.uint8, cv2.COLOR_YUV2RGB_NV12),
    "nv21": _Format("yuv420", 1, np.uint8, cv2.COLOR_YUV2RGB_NV21),
    # One byte of luma a pixel, then interleaved chroma, two bytes a pixel.
    "nv24": _Format("yuv444", 1, np.uint8, cv2.COLOR_YUV2RGB_NV12),
}
# OpenCV names a Bayer pattern by its second row, from the second column on; ROS by its first two pixels.
for _ros, _cv in (("rggb", "BG"), ("bggr", "RG"), ("gbrg", "GR"), ("grbg", "GB")):
    for _bits, _dtype in ((8, np.uint8), (16, np.uint16)):
        _code = getattr(cv2, f"COLOR_Bayer{_cv}2RGB")
        _FORMATS[f"bayer_{_ros}{_bits}"] = _Format("bayer", 1, _dtype, _code)
# What is left of OpenCV's formats: depth, ids and other measurements, read with to_array(); they have no colours.
for _name, _type in (
    ("8U", np.uint8),
    ("8S", np.int8),
    ("16U", np.uint16),
    ("16S", np.int16),
    ("32S", np.int32),
    ("32F", np.float32),
    ("64F", np.float64),
):
    for _channels in range(1, 5):
        _FORMATS.setdefault(f"{_name}C{_channels}", _Format("raw", _channels, _type))

ENCODINGS: tuple[str, ...] = tuple(_FORMATS)
"""Every encoding that can be read with :func:`to_array`."""

COLOUR_ENCODINGS: tuple[str, ...] = tuple(name for name, f in _FORMATS.items() if f.kind != "raw")
"""Every encoding that can be read with :func:`to_rgb`."""

# Rows in memory of two rows of a picture, where chroma lies below luma.
_TIMES_ROWS = {"yuv420": 3, "yuv444": 6}

_WRITABLE: tuple[str, ...] = tuple(name for name, f in _FORMATS.items() if f.kind in ("rgb", "bgr", "mono"))


def _format(encoding: str) -> _Format:
    try:
        return _FORMATS[encoding]
    except (KeyError, TypeError):
        raise ImageError(f"encoding: {encoding!r} is not supported; one of {', '.join(ENCODINGS)}") from None


def row_bytes(encoding: str, width: int) -> int:
    """Return the bytes of one row without padding: the smallest right ``step`` of an image.

    Raises:
        ImageError: unknown encoding.
    """
    return _format(encoding).pixel_bytes * width


def picture_height(encoding: str, rows: int) -> int:
    """Return the height of a picture that takes so many rows in memory.

    Raises:
        ImageError: unknown encoding.
    """
    return rows * 2 // _TIMES_ROWS.get(_format(encoding).kind, 2)


def _check(size: int, form: _Format, encoding: str, height: int, width: int, step: int) -> int:
    """Check the fields against each other; return the number of rows in memory."""
    if height <= 0:
        raise ImageError(f"height: {height}, must be 1 or more")
    if width <= 0:
        raise ImageError(f"width: {width}, must be 1 or more")
    if form.kind in ("yuv422", "yuv420") and width % 2:
        raise ImageError(
            f"width: {width} is odd; {encoding} holds pixels in pairs, so an even number is needed"
        )
    if form.kind == "yuv420" and height % 2:
        raise ImageError(
            f"height: {height} is odd; {encoding} holds rows in pairs, so an even number is needed"
        )
    least = form.pixel_bytes * width
    if step < least:
        raise ImageError(
            f"step: {step} bytes a row, but {width} pixels of {encoding} take {least} ({form.pixel_bytes} a pixel)"
        )
    rows = height * _TIMES_ROWS.get(form.kind, 2) // 2
    if size != step * rows:
        raise ImageError(
            f"data: {size} bytes, but {rows} rows of step {step} take {step * rows}"
            f" ({encoding}, width {width}, height {height})"
        )
    return rows


def to_array(
    data: Any, encoding: str, height: int, width: int, step: int, is_bigendian: bool | int = False
) -> NDArray[Any]:
    """Return an image as it lies in memory, without a copy wherever the byte order is the machine's.

    Args:
        data: anything with a buffer of bytes (bytes, array.array, memoryview, ndarray).
        encoding: one of :data:`ENCODINGS`.
        height: rows.
        width: pixels a row.
        step: bytes from one row to the next.
        is_bigendian: byte order of values of more than one byte.

    Returns:
        [H, W] for one channel, [H, W, C] for more (C = 2 for 4:2:2 YUV; nv12 and nv21: [H * 3 / 2, W]; nv24:
        [H * 3, W]), of the encoding's dtype, read-only, sharing memory with ``data``.

    Raises:
        ImageError: unknown encoding, or fields that do not fit together.
    """
    form = _format(encoding)
    try:
        buffer = np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
    except (TypeError, ValueError, BufferError):
        raise ImageError(f"data: {type(data).__name__} is not a contiguous buffer of bytes") from None
    rows = _check(buffer.size, form, encoding, height, width, step)
    itemsize = np.dtype(form.dtype).itemsize
    dtype = np.dtype(form.dtype).newbyteorder(">" if is_bigendian else "<")
    shape: tuple[int, ...] = (rows, width)
    strides: tuple[int, ...] = (step, form.pixel_bytes)
    if form.channels > 1:
        shape, strides = (*shape, form.channels), (*strides, itemsize)
    view: NDArray[Any] = np.ndarray(shape, dtype, buffer, 0, strides)
    if not dtype.isnative:
        view = view.astype(form.dtype)
    view.flags.writeable = False
    return view


def to_rgb(
    data: Any, encoding: str, height: int, width: int, step: int, is_bigendian: bool | int = False
) -> NDArray[np.uint8]:
    """Return an image in RGB, whatever its encoding; 16-bit values keep their upper 8 bits.

    YUV is taken as BT.601 with limited range (16..235), as cameras give it. Arguments as in :func:`to_array`.

    Returns:
        uint8 [H, W, 3]. For rgb8 a read-only view of ``data`` (its rows may be padded: ``strides[0] == step``),
        else a new array.

    Raises:
        ImageError: unknown encoding, one without colours (depth), or fields that do not fit together.
    """
    check_colours(encoding)
    form = _format(encoding)
    image = to_array(data, encoding, height, width, step, is_bigendian)
    if encoding == "rgb8":
        return image
    if form.kind == "bayer" and (height < 2 or width < 2):
        raise ImageError(f"height, width: {height}, {width}; a Bayer pattern takes at least 2 by 2 pixels")
    if form.kind == "yuv444":
        return _from_nv24(data, height, width, step, form.code)
    if not image.flags.aligned:
        image = image.copy()  # rows of an odd step: OpenCV before 4.7 raises
    if form.kind == "bayer" and form.dtype is np.uint16:
        return _upper_byte(_converted(image, form.code, encoding))
    if form.dtype is np.uint16:
        image = _upper_byte(image)
        order = (0, 0, 0) if form.kind == "mono" else (0, 1, 2) if form.kind == "rgb" else (2, 1, 0)
        pixels = image[..., None] if image.ndim == 2 else image
        return np.ascontiguousarray(pixels[..., order])
    return _converted(image, form.code, encoding)


def from_rgb(rgb: NDArray[np.uint8], encoding: str) -> NDArray[Any]:
    """Return an RGB image as an array of another encoding.

    Args:
        rgb: uint8 [H, W, 3].
        encoding: an RGB, BGR or mono encoding, of 8 or 16 bits.

    Returns:
        [H, W] or [H, W, C] of the encoding's dtype; alpha is opaque; 16-bit values span the whole range. For rgb8
        the same array.

    Raises:
        ImageError: not an RGB image, or an encoding that cannot be written.
    """
    form = _format(encoding)
    if encoding not in _WRITABLE:
        raise ImageError(f"encoding: {encoding} can be read but not written; one of {', '.join(_WRITABLE)}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ImageError(f"image: {rgb.dtype} {list(rgb.shape)}, uint8 [height, width, 3] is needed")
    out: NDArray[Any] = rgb
    if form.kind == "mono":
        out = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    elif form.channels == 4:
        out = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA if form.kind == "rgb" else cv2.COLOR_RGB2BGRA)
    elif form.kind == "bgr":
        out = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if form.dtype is np.uint16:
        out = out.astype(np.uint16) * np.uint16(257)
    return out


def convert(image: NDArray[Any], encoding: str, target: str) -> NDArray[Any]:
    """
    Return an image, as :func:`to_array` gives it, in another encoding; the same array where nothing changes.

    Raises ImageError: the array does not fit its encoding, or the target cannot be written.
    """
    if encoding == target:
        return image
    if encoding == "rgb8":
        return from_rgb(image, target)
    check_array(image, encoding)
    height, width = image.shape[:2]
    height = picture_height(encoding, height)
    return from_rgb(
        to_rgb(as_bytes(image, encoding), encoding, height, width, row_bytes(encoding, width)), target
    )


def check_colours(encoding: str) -> None:
    """Check that :func:`to_rgb` reads an encoding.

    Raises:
        ImageError: it does not; the text names those that it reads.
    """
    if _format(encoding).kind == "raw":
        raise ImageError(
            f"encoding: {encoding} has no colours; one of {', '.join(COLOUR_ENCODINGS)} is needed"
        )


def check_array(array: NDArray[Any], encoding: str) -> None:
    """Check that an array has the dtype and the channels of an encoding.

    Raises:
        ImageError: it has not, or the encoding is unknown.
    """
    form = _format(encoding)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or array.dtype != form.dtype or channels != form.channels or not array.size:
        shape = "[height, width]" if form.channels == 1 else f"[height, width, {form.channels}]"
        raise ImageError(
            f"image: {array.dtype} {list(array.shape)}, {encoding} needs {np.dtype(form.dtype).name} {shape}"
        )


def as_bytes(array: NDArray[Any], encoding: str) -> memoryview:
    """Return the rows of an array without padding, as bytes for a message; without a copy where they lie so already.

    Args:
        array: an image as :func:`to_array` or :func:`from_rgb` give it: [H, W] or [H, W, C], of the encoding's dtype.
        encoding: any of :data:`ENCODINGS`; ``step`` of the message is then :func:`row_bytes` of the width, and
            ``is_bigendian`` is false.

    Raises:
        ImageError: the array's dtype or channels are not the encoding's.
    """
    check_array(array, encoding)
    tight = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return tight.view(np.uint8).reshape(-1).data


def _converted(image: NDArray[Any], code: int, encoding: str) -> NDArray[Any]:
    try:
        return cast("NDArray[Any]", cv2.cvtColor(image, code))
    except cv2.error as error:
        shape = "x".join(map(str, image.shape))
        raise ImageError(f"encoding: {encoding} of {shape} is refused by OpenCV: {error}") from error


def _from_nv24(data: Any, height: int, width: int, step: int, code: int) -> NDArray[np.uint8]:
    # OpenCV reads nv12 alone. Its chroma is that of nv24 where each pixel stands twice in both directions.
    bytes_ = np.frombuffer(data, np.uint8)
    luma = bytes_[: height * step].reshape(height, step)[:, :width]
    chroma = bytes_[height * step :].reshape(height, 2 * step)[:, : 2 * width]
    twice = np.concatenate([luma.repeat(2, 0).repeat(2, 1), chroma])
    return np.ascontiguousarray(_converted(twice, code, "nv24")[::2, ::2])


def _upper_byte(image: NDArray[Any]) -> NDArray[np.uint8]:
    return (image >> 8).astype(np.uint8)
