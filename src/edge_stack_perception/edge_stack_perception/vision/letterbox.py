# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
From an image to a model's input tensor, and the geometry of the way back.

Its unit of work is one RGB image. Two preparations, the same to the pixel as Ultralytics' own: Letterbox (detect,
segment, pose, obb: keep the aspect ratio, bilinear, centred on grey 114) and CenterCrop (classify: shorter side to
size with an antialiased bilinear filter, then the centre). Both write into one buffer made once; the tensor they return
is valid until the next call. Nothing here knows what a model is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CenterCrop", "Geometry", "Letterbox", "Preprocessor"]

PADDING_VALUE = 114  # of Ultralytics' letterbox
# A picture longer than this many times the crop is cut before it is scaled, with a margin for the filter.
_LONG = 4
_MARGIN = 16
_FULL_SCALE = np.float32(255.0)


@dataclass(frozen=True, slots=True)
class Geometry:
    """
    How one image lies in the input tensor, and back.

    source: (height, width) of the image. target: of the tensor. resized: of the image inside it. top, left: where the
    image starts. gain_y, gain_x: resized / source; they differ slightly, since each resized side is whole pixels.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    resized: tuple[int, int]
    top: int
    left: int
    gain_y: float
    gain_x: float

    @classmethod
    def fit(cls, source: tuple[int, int], target: tuple[int, int]) -> Geometry:
        """Fit an image into a tensor, scaled up or down with its aspect ratio kept, and centred."""
        height, width = source
        gain = min(target[0] / height, target[1] / width)
        resized = max(round(height * gain), 1), max(round(width * gain), 1)
        # An odd pixel of padding goes to the bottom and right: half of it minus a bit rounds down.
        top = round((target[0] - resized[0]) / 2 - 0.1)
        left = round((target[1] - resized[1]) / 2 - 0.1)
        return cls(source, target, resized, top, left, resized[0] / height, resized[1] / width)

    def boxes_to_source(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes [N, 4] x1 y1 x2 y2 from tensor to image pixels, clipped to the image."""
        height, width = self.source
        offset = np.array((self.left, self.top, self.left, self.top), np.float32)
        gain = np.array((self.gain_x, self.gain_y, self.gain_x, self.gain_y), np.float32)
        limit = np.array((width, height, width, height), np.float32)
        mapped = (boxes - offset) / gain
        return np.clip(mapped, np.float32(0.0), limit, out=mapped)

    def rotated_to_source(self, rotated: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes [N, 5] cx cy w h theta from tensor to image pixels; a rotated box is not clipped."""
        mapped = rotated.astype(np.float32, copy=True)
        mapped[:, :2] -= np.array((self.left, self.top), np.float32)
        mapped[:, :4] /= np.array((self.gain_x, self.gain_y, self.gain_x, self.gain_y), np.float32)
        return mapped

    def points_to_source(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points [..., 2 or more] (x and y first) from tensor to image pixels, clipped to the image."""
        height, width = self.source
        mapped = points.astype(np.float32, copy=True)
        xy = mapped[..., :2]
        xy -= np.array((self.left, self.top), np.float32)
        xy /= np.array((self.gain_x, self.gain_y), np.float32)
        np.clip(xy, np.float32(0.0), np.array((width, height), np.float32), out=xy)
        return mapped

    def boxes_to_target(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes [N, 4] x1 y1 x2 y2 from image to tensor pixels."""
        offset = np.array((self.left, self.top, self.left, self.top), np.float32)
        gain = np.array((self.gain_x, self.gain_y, self.gain_x, self.gain_y), np.float32)
        return np.asarray(boxes * gain + offset, np.float32)


class Preprocessor:
    """What Letterbox and CenterCrop share: the canvas in pixels and the tensor it becomes."""

    def __init__(self, size: tuple[int, int]) -> None:
        """size: (height, width) of the tensor, px."""
        self.size = size
        self._tensor = np.empty((1, 3, *size), np.float32)

    def __call__(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Geometry]:
        """
        Prepare one image.

        Args:
            rgb: uint8 [H, W, 3], rows may be padded; not changed.

        Returns:
            The tensor, float32 [1, 3, height, width], 0..1, and how the image lies in it.

        Raises:
            ValueError: not such an image.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
            raise ValueError(f"image: {rgb.dtype} {list(rgb.shape)}, uint8 [height, width, 3] is needed")
        canvas, geometry = self._place(rgb)
        for plane, scaled in zip(cv2.split(canvas), self._tensor[0], strict=True):
            np.divide(plane, _FULL_SCALE, out=scaled, dtype=np.float32)
        return self._tensor, geometry

    def _place(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Geometry]:
        raise NotImplementedError


class Letterbox(Preprocessor):
    """Fits the whole image into the tensor, on grey."""

    def __init__(self, size: tuple[int, int]) -> None:
        """size: (height, width) of the tensor, px."""
        super().__init__(size)
        self._canvas = np.full((*size, 3), PADDING_VALUE, np.uint8)
        self._geometry: Geometry | None = None

    def _place(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Geometry]:
        geometry = self._geometry
        if geometry is None or geometry.source != rgb.shape[:2]:
            geometry = self._geometry = Geometry.fit((rgb.shape[0], rgb.shape[1]), self.size)
            self._canvas[:] = PADDING_VALUE
        height, width = geometry.resized
        inside = self._canvas[geometry.top : geometry.top + height, geometry.left : geometry.left + width]
        if geometry.resized == geometry.source:
            np.copyto(inside, rgb)
        else:
            cv2.resize(rgb, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
        return self._canvas, geometry


class CenterCrop(Preprocessor):
    """
    Scales the shorter side to the tensor's and takes the centre; into a tensor that is not square, scales both sides.

    The filter is Pillow's bilinear one, which averages over all source pixels when it scales down, as in training;
    OpenCV has none that gives the same values.
    """

    def _place(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Geometry]:
        height, width = rgb.shape[:2]
        if self.size[0] != self.size[1]:
            resized = self.size
        elif width <= height:
            resized = int(self.size[0] * height / width), self.size[0]
        else:
            resized = self.size[0], int(self.size[0] * width / height)
        top = round((resized[0] - self.size[0]) / 2.0)
        left = round((resized[1] - self.size[1]) / 2.0)
        gains = resized[0] / height, resized[1] / width
        geometry = Geometry((height, width), self.size, resized, -top, -left, *gains)
        if resized == (height, width):
            return rgb[top : top + self.size[0], left : left + self.size[1]], geometry
        # Pixels of the resized picture that are made: all, or those around the crop.
        y_start, y_end = _needed(top, self.size[0], resized[0])
        x_start, x_end = _needed(left, self.size[1], resized[1])
        scaled = Image.fromarray(np.ascontiguousarray(rgb)).resize(
            (x_end - x_start, y_end - y_start),
            Image.Resampling.BILINEAR,
            box=(x_start / gains[1], y_start / gains[0], x_end / gains[1], y_end / gains[0]),
        )
        top, left = top - y_start, left - x_start
        return np.asarray(scaled)[top : top + self.size[0], left : left + self.size[1]], geometry


def _needed(start: int, size: int, available: int) -> tuple[int, int]:
    """Return the range of one side to make, of which start..start + size is wanted."""
    if available <= _LONG * size:
        return 0, available
    return max(start - _MARGIN, 0), min(start + size + _MARGIN, available)
