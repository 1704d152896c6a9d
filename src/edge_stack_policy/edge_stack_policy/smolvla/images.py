# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera images as SmolVLA's vision model wants them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def prepare(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """
    Return pixels float32 [1, 3, height, width] in [-1, 1] of an image [H, W, 3], RGB.

    As LeRobot's resize_with_pad: scaled to fit without distortion, bilinear without smoothing, black to the left and on top.
    """
    have_height, have_width = image.shape[:2]
    floats = image.astype(np.float32)
    if (have_height, have_width) != (height, width):
        ratio = max(have_width / width, have_height / height)
        size = (max(1, int(have_width / ratio)), max(1, int(have_height / ratio)))
        scaled = cv2.resize(floats, size, interpolation=cv2.INTER_LINEAR)
        floats = np.zeros((height, width, 3), dtype=np.float32)
        floats[height - size[1] :, width - size[0] :] = scaled
    floats *= np.float32(2.0 / 255.0)
    floats -= np.float32(1.0)
    return np.ascontiguousarray(floats.transpose(2, 0, 1))[None]
