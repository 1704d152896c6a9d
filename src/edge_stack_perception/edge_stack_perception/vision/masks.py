# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Instance masks from prototypes and coefficients, as one image of instance ids at the size of the original image.

Its unit of work is one image. The logits of each instance are interpolated straight to the original size and cut at
zero and at its box, which is what Ultralytics calls native masks (retina_masks=True); its default masks have the size
of the network's input, padding included, and would have to be resized as pictures of 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["InstanceMask", "instance_ids", "instance_masks"]

_STRIDE = 4  # input pixels a prototype pixel
# OpenCV interpolates the whole image about this many times as fast, a pixel, as numpy the part inside a box.
_WHOLE = 12


@dataclass(frozen=True, slots=True)
class InstanceMask:
    """One instance's mask inside its box: bool [h, w] whose first pixel is (top, left) of the original image."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    @property
    def empty(self) -> bool:
        """Whether no pixel is set."""
        return not self.inside.any()


def instance_masks(
    prototypes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    boxes: NDArray[np.float32],
    source: tuple[int, int],
) -> list[InstanceMask]:
    """
    Return the mask of every instance.

    prototypes: [P, h, w], of the letterboxed input at a quarter of its size. coefficients: [N, P]. boxes: [N, 4]
    x1 y1 x2 y2 in pixels of the original image and inside it. source: (height, width) of the original image.
    """
    planes, height, width = prototypes.shape
    logits = (coefficients @ prototypes.reshape(planes, -1)).reshape(-1, height, width)
    factor = _upsampling(source, (height, width))
    top, left, rows, columns = _content(source, (height * factor, width * factor))
    masks = []
    for plane, box in zip(logits, boxes, strict=True):
        if factor > 1:
            larger = width * factor, height * factor
            plane = np.asarray(cv2.resize(plane, larger, interpolation=cv2.INTER_LINEAR), np.float32)
        content = plane[top : top + rows, left : left + columns]
        # A pixel belongs to the box if its index lies in [x1, x2).
        x_start, y_start, x_end, y_end = (math.ceil(value) for value in box)
        if (y_end - y_start) * (x_end - x_start) * _WHOLE > source[0] * source[1]:
            whole = cv2.resize(content, (source[1], source[0]), interpolation=cv2.INTER_LINEAR)
            values = whole[y_start:y_end, x_start:x_end]
        else:
            y_samples = _samples(y_start, y_end, source[0], rows)
            x_samples = _samples(x_start, x_end, source[1], columns)
            values = _interpolate(content, y_samples, x_samples)
        masks.append(InstanceMask(y_start, x_start, values > 0.0))
    return masks


def instance_ids(
    masks: list[InstanceMask], scores: NDArray[np.float32], source: tuple[int, int]
) -> NDArray[np.uint16]:
    """
    Paint masks into one image, uint16 [H, W]: 0 = none, i = instance i - 1; the higher score is on top.

    An instance that lies wholly below others has no pixel left, though it stays a detection.
    """
    ids = np.zeros(source, np.uint16)
    for index in np.argsort(scores, kind="stable"):
        mask = masks[index]
        height, width = mask.inside.shape
        region = ids[mask.top : mask.top + height, mask.left : mask.left + width]
        np.copyto(region, np.uint16(index + 1), where=mask.inside)
    return ids


def _upsampling(source: tuple[int, int], plane: tuple[int, int]) -> int:
    """Return the smallest factor (1, 2, 4) at which the letterbox's padding ends between two prototype pixels."""
    gain = min(_STRIDE * plane[0] / source[0], _STRIDE * plane[1] / source[1])
    padding = (_STRIDE * plane[0] - max(round(source[0] * gain), 1)) | (
        _STRIDE * plane[1] - max(round(source[1] * gain), 1)
    )
    return _STRIDE // math.gcd(_STRIDE, padding | padding // 2)


def _content(source: tuple[int, int], plane: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return where the image lies in a plane of logits: top, left, rows, columns."""
    if plane == source:
        return 0, 0, *plane
    gain = min(plane[0] / source[0], plane[1] / source[1])
    rows, columns = max(round(source[0] * gain), 1), max(round(source[1] * gain), 1)
    return round((plane[0] - rows) / 2 - 0.1), round((plane[1] - columns) / 2 - 0.1), rows, columns


_Samples = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


def _samples(start: int, end: int, size: int, available: int) -> _Samples:
    """Return the two neighbours and the weight of the second for pixels start..end of ``size`` over ``available``."""
    scale = np.float32(available / size)
    centre = np.float32(0.5)
    at = (np.arange(start, end, dtype=np.float32) + centre) * scale - centre
    np.maximum(at, np.float32(0.0), out=at)
    first = np.minimum(at.astype(np.intp), available - 1)
    second = np.minimum(first + 1, available - 1)
    return first, second, at - first.astype(np.float32)


def _interpolate(plane: NDArray[np.float32], y: _Samples, x: _Samples) -> NDArray[np.float32]:
    """Interpolate a plane bilinearly at the grid of y and x samples."""
    x_first, x_second, x_weight = x
    y_first, y_second, y_weight = y
    if not len(x_first) or not len(y_first):
        return np.zeros((len(y_first), len(x_first)), np.float32)
    low, high = int(x_first[0]), int(x_second[-1]) + 1
    part = plane[:, low:high]
    below = y_weight[:, None]
    rows = part[y_first] * (np.float32(1.0) - below) + part[y_second] * below
    left, right = rows[:, x_first - low], rows[:, x_second - low]
    values: NDArray[np.float32] = left * (np.float32(1.0) - x_weight) + right * x_weight
    return values
