# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Crisp text in an RGB image, at any size from 9 px up.

Its unit of work is one line of text, rendered once and kept (a bounded cache). Uses the font that Pillow brings along,
else DejaVu Sans, else OpenCV's strokes; it never needs a font to be installed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:  # drawing still works, with OpenCV's strokes
    Image = None  # type: ignore[assignment]

__all__ = ["Colour", "put_text", "text_size"]

Colour = tuple[int, int, int]

_PADDING = 0.3  # of the text's size, around a label's text


@lru_cache(maxsize=16)
def _font(size_px: int) -> Any:
    if Image is None:
        return None
    try:
        font = ImageFont.load_default(size_px)  # Pillow 10.1 or newer, built with FreeType
        if hasattr(font, "getmetrics"):
            return font
    except (TypeError, ImportError):
        pass
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size_px)
    except (OSError, ImportError):
        return None


@lru_cache(maxsize=1024)
def _coverage(text: str, size_px: int) -> NDArray[np.uint8]:
    """uint8 [h, w]: how much of each pixel the text covers; h is the line height of the font, whatever the text."""
    font = _font(size_px)
    if font is None:
        plain = text.encode("ascii", "replace").decode()
        scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, max(6, round(size_px * 0.72)), 1)
        (width, height), below = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        strokes = np.zeros((height + below, max(1, width)), np.uint8)
        cv2.putText(strokes, plain, (0, height), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
        return strokes
    ascent, descent = font.getmetrics()
    canvas = Image.new("L", (max(1, int(np.ceil(font.getlength(text)))), ascent + descent))
    ImageDraw.Draw(canvas).text((0, 0), text, fill=255, font=font)
    return np.asarray(canvas)


def text_size(text: str, size_px: int, *, boxed: bool = False) -> tuple[int, int]:
    """Return width and height of a line in pixels; boxed: with the padding of its background."""
    height, width = _coverage(text, size_px).shape
    pad = round(size_px * _PADDING) if boxed else 0
    return width + 2 * pad, height + (pad if boxed else 0)


def put_text(
    image: NDArray[np.uint8],
    text: str,
    x: int,
    y: int,
    size_px: int,
    colour: Colour = (255, 255, 255),
    background: Colour | None = None,
    opacity: float = 1.0,
) -> tuple[int, int]:
    """
    Draw one line into an image in place; what lies outside of the image is cut off.

    image: uint8 [H, W, 3]. x, y: its upper left corner. background: a filled box around it, of this opacity. Returns
    the width and height that it took.
    """
    coverage = _coverage(text, size_px)
    width, height = text_size(text, size_px, boxed=background is not None)
    if background is not None:
        area = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        if area.size:
            cv2.addWeighted(area, 1.0 - opacity, np.full_like(area, background), opacity, 0.0, dst=area)
    left = x + (width - coverage.shape[1]) // 2
    top = y + (height - coverage.shape[0]) // 2
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(image.shape[1], left + coverage.shape[1]), min(image.shape[0], top + coverage.shape[0])
    if x0 < x1 and y0 < y1:
        alpha = coverage[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.uint16)
        area = image[y0:y1, x0:x1]
        area[:] = (area * (255 - alpha) + np.array(colour, np.uint16) * alpha + 127) // 255
    return width, height
