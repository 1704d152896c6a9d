# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How noisy a camera picture is.

A unit is one picture, uint8 [H,W,3]. The figure costs well below a millisecond at camera sizes and needs no history.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# The difference of two Laplacians: blind to edges and slopes, so that what is left is noise.
_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_LARGEST = 160  # the wider side that is looked at: a middle cut, since resizing would average noise away


def noise_sigma(image: NDArray[np.uint8]) -> float:
    """
    Return the standard deviation of the noise in a picture, grey levels.

    J. Immerkaer, Fast Noise Variance Estimation, Computer Vision and Image Understanding 64(2), 1996. Fine texture counts as
    noise: sharp photographs have 2 to 10. Pictures below 3x3 pixels have none.
    """
    grey = cv2.cvtColor(_middle(image), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if height < 3 or width < 3:
        return 0.0
    response = cv2.filter2D(grey, cv2.CV_32F, _KERNEL)[1:-1, 1:-1]
    return float(np.abs(response).mean() * math.sqrt(math.pi / 2.0) / 6.0)


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle of a large picture, in full resolution."""
    height, width = image.shape[:2]
    top, left = max(0, (height - _LARGEST) // 2), max(0, (width - _LARGEST) // 2)
    return np.ascontiguousarray(image[top : top + _LARGEST, left : left + _LARGEST])
