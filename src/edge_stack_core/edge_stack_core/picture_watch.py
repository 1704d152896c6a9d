# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether anything can be seen in the pictures of a camera, and whether they are new.

Its unit of work is one picture. The camera node and every subscription to frames call it. It looks at a grid of pixels,
averaged in blocks: that evens out the noise of a sensor, and leaves what a dark room still shows. It refuses nothing; it
reports in words.
"""

from __future__ import annotations

import math
import threading
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FROZEN_S", "UNIFORM_S", "PictureWatch"]

UNIFORM_S = 1.5
"""Pictures without content are reported after this time: a sensor that sets its exposure gives some."""
FROZEN_S = 10.0
"""Equal pictures are reported after this time; two pictures of a real sensor are never equal."""
STALE_S = 5.0
"""What was found in pictures counts no longer after this time without another one."""

# Pixels of the grid and of a block of it, each way. The mean of 256 pixels with noise of 3 grey levels is off by 0.2.
_GRID, _BLOCK = (96, 128), 16
_LARGEST_RANGE = 1.5  # of the blocks, grey levels
_LARGEST_SIGMA = 6.0  # of the pixels, grey levels: stripes and checks have even blocks, and more
_SAME_COLOUR = 8.0  # grey levels
_BLACK, _WHITE = 16.0, 239.0  # as limited range has them


class PictureWatch:
    """Looks at the pictures of one camera, in order. Any thread, one at a time."""

    def __init__(self, frozen_s: float = FROZEN_S) -> None:
        """frozen_s: 0 where equal pictures are right, such as those of a folder."""
        self._frozen_s = frozen_s
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._colour: NDArray[np.float64] | None = None
        self._uniform_since_s = self._same_since_s = self._looked_s = -math.inf
        self._sum, self._whole_sum = 0, 0

    def look(self, picture: NDArray[Any], now_s: float) -> None:
        """Look at a picture, [H, W] or [H, W, C], 8 bits. now_s: monotonic."""
        grid = _grid(picture)
        colour = _only_colour(grid)
        with self._lock:
            changed = (
                colour is None
                or self._colour is None
                or bool(np.abs(colour - self._colour).max() > _SAME_COLOUR)
            )
            if changed:
                self._uniform_since_s, self._colour = now_s, colour
            self._look_for_change(picture, grid, now_s)
            self._looked_s = now_s

    def problem(self, now_s: float) -> str:
        """Return what is wrong with the pictures, in words; "" if nothing is. now_s: monotonic."""
        with self._lock:
            if now_s - self._looked_s > STALE_S:
                return ""
            if self._colour is not None and self._looked_s - self._uniform_since_s >= UNIFORM_S:
                return _uniform_words(self._colour)
            if self._frozen_s and self._looked_s - self._same_since_s >= self._frozen_s:
                return (
                    f"the pictures have been equal to the last bit for {self._frozen_s:g} s; the camera or its driver hangs,"
                    " unless a simulated one shows a scene at rest"
                )
            return ""

    def _look_for_change(self, picture: NDArray[Any], grid: NDArray[np.uint8], now_s: float) -> None:
        if not self._frozen_s:
            return
        sum_ = zlib.crc32(grid.data)
        # The whole picture is read where the grid is equal, so that a small thing that moves counts.
        whole_sum = zlib.crc32(np.ascontiguousarray(picture).data) if sum_ == self._sum else 0
        if sum_ != self._sum or (self._whole_sum and whole_sum != self._whole_sum):
            self._same_since_s = now_s
        self._sum, self._whole_sum = sum_, whole_sum


def _grid(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels of a picture at equal distances, uint8 [h, w, C]; no more than are there."""
    rows, columns = (
        np.linspace(0, size - 1, min(size, most)).astype(np.intp)
        for size, most in zip(picture.shape[:2], _GRID)
    )
    grid = picture[np.ix_(rows, columns)]
    return np.ascontiguousarray(grid.reshape(len(rows), len(columns), -1), np.uint8)


def _only_colour(grid: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the colour of a grid that shows nothing else, [C]; None if it shows something."""
    tall, wide = grid.shape[0] // _BLOCK, grid.shape[1] // _BLOCK
    if not tall or not wide:
        return None  # too small to be judged
    pixels = grid[: tall * _BLOCK, : wide * _BLOCK].astype(np.float32)
    if float(pixels.std(axis=(0, 1)).max()) > _LARGEST_SIGMA:
        return None
    blocks = pixels.reshape(tall, _BLOCK, wide, _BLOCK, -1).mean(axis=(1, 3))
    if float(np.ptp(blocks, axis=(0, 1)).max()) > _LARGEST_RANGE:
        return None
    return blocks.mean(axis=(0, 1), dtype=np.float64)


def _uniform_words(colour: NDArray[np.float64]) -> str:
    if colour.max() <= _BLACK:
        return "the pictures are black all over; is the lens covered, the exposure too short, or the scene without light?"
    if colour.min() >= _WHITE:
        return "the pictures are white all over; is the exposure too long?"
    return "the pictures have one colour all over and show nothing; is the lens covered, or the driver's format wrong?"
