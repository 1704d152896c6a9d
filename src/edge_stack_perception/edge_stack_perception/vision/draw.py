# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Draws what models found into a picture: boxes, rotated boxes, masks, keypoints, labels, and the class of the picture.

Its unit of work is one picture with the results of one model. Sizes follow the picture, so that labels stay readable
from 320x240 up; a class has the same colour everywhere. It never changes the picture it is given, and what cannot be
drawn (a box that is not finite) is left out.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_stack_perception.vision.text import Colour, put_text, text_size

if TYPE_CHECKING:
    from edge_stack_perception.vision.types import Detections

__all__ = ["COCO_SKELETON", "annotate", "class_colour", "font_size"]

COCO_SKELETON: tuple[tuple[int, int], ...] = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12)),
    *((11, 13), (13, 15), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4)),
)
"""Pairs of the 17 COCO keypoints that a person's bones join."""

_NAMED: dict[str, Colour] = {
    "red": (255, 82, 82),
    "green": (76, 217, 100),
    "blue": (84, 160, 255),
    "yellow": (255, 214, 51),
    "orange": (255, 149, 40),
    "purple": (190, 120, 255),
    "pink": (255, 130, 200),
    "white": (240, 240, 240),
    "black": (120, 120, 120),
}
_DARK: Colour = (18, 18, 24)
_WHITE: Colour = (255, 255, 255)
_MASK_OPACITY = 0.42
_VISIBLE = 0.5  # a keypoint below this confidence is not drawn
_SHIFT = 4  # OpenCV draws in sixteenths of a pixel
_TOP_CLASSES = 3

_Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


@lru_cache(maxsize=1024)
def class_colour(index: int, name: str = "") -> Colour:
    """Return the colour of a class: that in its name where there is one (red_cube), else its own by its index."""
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in _NAMED:
            return _NAMED[word]
    # Steps of the golden ratio keep neighbours apart however many classes there are.
    hue = (0.398 + index * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.62, 1.0)
    return int(red * 255), int(green * 255), int(blue * 255)


def annotate(
    rgb: NDArray[np.uint8],
    detections: Detections,
    names: Sequence[str],
    *,
    scale: float = 1.0,
    skeleton: Sequence[tuple[int, int]] | None = None,
    labels: bool = True,
) -> NDArray[np.uint8]:
    """
    Return a copy of the picture with the results in it.

    rgb: uint8 [H, W, 3]. detections: in pixels of ``rgb``. names: of the classes. scale: enlarge the picture so many
    times before drawing. skeleton: pairs of keypoints to join; None: a person's where there are 17. labels: write
    class and score at each instance.

    Returns uint8 [H * scale, W * scale, 3].
    """
    image = _enlarged(rgb, scale)
    colours = [class_colour(int(c), _name(names, int(c))) for c in detections.classes]
    if detections.masks is not None:
        _draw_masks(image, detections.masks, colours)
    line = max(1, round(image.shape[0] / 220))
    corners = list(_corners(detections, scale))
    for points, colour in zip(corners, colours, strict=True):
        if points is not None:
            _outline(image, points, colour, line)
    if detections.keypoints is not None:
        if skeleton is None:
            skeleton = COCO_SKELETON if detections.keypoints.shape[1] == 17 else ()
        for points, colour in zip(detections.keypoints, colours, strict=True):
            _draw_keypoints(image, points, colour, scale, line, skeleton)
    if labels:
        texts = [
            f"{_name(names, int(c))} {s:.2f}"
            for c, s in zip(detections.classes, detections.scores, strict=True)
        ]
        _draw_labels(image, corners, texts, colours)
    if detections.probabilities is not None:
        _draw_classes(image, detections.probabilities, names)
    return image


def font_size(image: NDArray[np.uint8]) -> int:
    """Return the text size in pixels that suits a picture."""
    return int(np.clip(round(image.shape[0] / 38), 10, 24))


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"class {index}"


def _enlarged(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1.0:
        return np.array(rgb, order="C")
    large = cv2.resize(
        rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA
    )
    return np.asarray(large, np.uint8)


def _fixed(points: NDArray[Any]) -> NDArray[np.int32]:
    """Corner coordinates in pixels -> OpenCV's fixed point, whose integers are pixel centres."""
    return np.asarray(np.round((np.clip(points, -20000.0, 20000.0) - 0.5) * (1 << _SHIFT)), np.int32)


def _corners(detections: Detections, scale: float) -> Iterable[NDArray[np.float64] | None]:
    """[4, 2] corners of each instance in the enlarged picture, clockwise from upper left; None: cannot be drawn."""
    if detections.rotated is not None:
        for cx, cy, w, h, theta in np.asarray(detections.rotated, np.float64):
            along = np.array([np.cos(theta), np.sin(theta)]) * w / 2
            across = np.array([-np.sin(theta), np.cos(theta)]) * h / 2
            signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
            points = np.array([cx, cy]) + np.array([a * along + b * across for a, b in signs])
            yield points * scale if np.isfinite(points).all() else None
        return
    for x1, y1, x2, y2 in np.asarray(detections.boxes, np.float64):
        points = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) * scale
        # On pixel centres: a straight line between two rows of pixels would be blurred over both.
        yield np.rint(points - 0.5) + 0.5 if np.isfinite(points).all() else None


def _outline(image: NDArray[np.uint8], points: NDArray[np.float64], colour: Colour, line: int) -> None:
    """Draw an outline; with a dark rim, against objects of its colour, where the picture is large enough for one."""
    fixed = [_fixed(points)]
    upright = bool((points[0] == (points[3, 0], points[1, 1])).all())
    kind = cv2.LINE_8 if upright else cv2.LINE_AA
    if line > 1:
        cv2.polylines(image, fixed, True, _DARK, line + 2, kind, _SHIFT)
    cv2.polylines(image, fixed, True, colour, line, kind, _SHIFT)


def _draw_masks(image: NDArray[np.uint8], ids: NDArray[np.uint16], colours: Sequence[Colour]) -> None:
    """Tint each instance and line its edge; ids [H, W]: 0 is none, i is the (i - 1)th instance."""
    height, width = image.shape[:2]
    for i, colour in enumerate(colours, start=1):
        mask = np.asarray(ids == i, np.uint8)
        if not mask.any():
            continue
        if mask.shape != (height, width):
            # Interpolated between pixels, so that enlarged edges are smooth.
            large = cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_LINEAR)
            mask = np.asarray(large > 127, np.uint8)
            if not mask.any():  # too small for a smaller picture
                continue
        x, y, w, h = cv2.boundingRect(mask)
        area, inside = image[y : y + h, x : x + w], mask[y : y + h, x : x + w].astype(bool)
        tinted = cv2.addWeighted(area, 1.0 - _MASK_OPACITY, np.full_like(area, colour), _MASK_OPACITY, 0.0)
        area[inside] = tinted[inside]
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, contours, -1, colour, 1, cv2.LINE_AA)


def _draw_keypoints(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    colour: Colour,
    scale: float,
    line: int,
    skeleton: Sequence[tuple[int, int]],
) -> None:
    visible = np.isfinite(keypoints).all(1) & (keypoints[:, 2] >= _VISIBLE)
    fixed = _fixed(np.where(visible[:, None], keypoints[:, :2], 0.0) * scale)
    for a, b in skeleton:
        if max(a, b) < len(keypoints) and visible[a] and visible[b]:
            cv2.line(image, _xy(fixed[a]), _xy(fixed[b]), _DARK, line + 2, cv2.LINE_AA, _SHIFT)
            cv2.line(image, _xy(fixed[a]), _xy(fixed[b]), colour, line, cv2.LINE_AA, _SHIFT)
    radius = (line + 1) << _SHIFT
    for point in fixed[visible]:
        cv2.circle(image, _xy(point), radius + (1 << _SHIFT), _DARK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, _xy(point), radius, _WHITE, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, _xy(point), radius, colour, max(1, line // 2), cv2.LINE_AA, _SHIFT)


def _xy(point: NDArray[np.int32]) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _draw_labels(
    image: NDArray[np.uint8],
    corners: Sequence[NDArray[np.float64] | None],
    texts: Sequence[str],
    colours: Sequence[Colour],
) -> None:
    """Each label beside its box, where it stays in the picture and covers least of other labels and boxes."""
    size = font_size(image)
    height, width = image.shape[:2]
    boxes = [None if p is None else (*p.min(0), *p.max(0)) for p in corners]
    labels: list[_Rectangle] = []
    for own, (box, text, colour) in enumerate(zip(boxes, texts, colours, strict=True)):
        if box is None:
            continue
        w, h = text_size(text, size, boxed=True)
        others = [b for i, b in enumerate(boxes) if b is not None and i != own]
        best: tuple[float, _Rectangle] | None = None
        for rank, (x, y) in enumerate(_beside(box, w, h)):
            x, y = float(np.clip(x, 0, max(0, width - w))), float(np.clip(y, 0, max(0, height - h)))
            place = (x, y, x + w, y + h)
            covered = 4.0 * sum(_overlap(place, b) for b in labels)
            covered += sum(_overlap(place, b) for b in others) + 0.5 * _overlap(place, box)
            cost = covered + 0.02 * rank * w * h
            if best is None or cost < best[0]:
                best = (cost, place)
        if best is not None:
            labels.append(best[1])
            put_text(image, text, round(best[1][0]), round(best[1][1]), size, _on(colour), colour)


def _beside(box: _Rectangle, w: float, h: float) -> tuple[tuple[float, float], ...]:
    """Upper left corners of a w x h label beside a box, the usual ones first."""
    left, top, right, bottom = box
    above_below = ((left, top - h), (left, bottom), (right - w, top - h), (right - w, bottom))
    return (
        *above_below,
        (right, top),
        (left - w, top),
        (right, bottom - h),
        (left - w, bottom - h),
        (left, top),
    )


def _overlap(a: _Rectangle, b: _Rectangle) -> float:
    """Area that two rectangles share, px squared."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _on(background: Colour) -> Colour:
    """Return the text colour that reads best on a background."""
    luma = 0.299 * background[0] + 0.587 * background[1] + 0.114 * background[2]
    return _DARK if luma > 110 else _WHITE


def _draw_classes(image: NDArray[np.uint8], probabilities: NDArray[np.float32], names: Sequence[str]) -> None:
    """Write the most probable classes, upper left, with a bar for each."""
    size = font_size(image)
    shown = [int(i) for i in np.argsort(-probabilities)[:_TOP_CLASSES] if probabilities[i] >= 0.01]
    lines = [f"{_name(names, i)} {probabilities[i]:.2f}" for i in shown]
    if not lines:
        return
    margin = size // 2
    width = max(text_size(t, size)[0] for t in lines) + 2 * margin
    pitch = text_size("Ag", size)[1] + margin
    area = image[margin : margin + pitch * len(lines) + margin // 2, margin : margin + width]
    cv2.addWeighted(area, 0.3, np.full_like(area, _DARK), 0.7, 0.0, dst=area)
    for row, (i, text) in enumerate(zip(shown, lines, strict=True)):
        y = margin + row * pitch + margin // 2
        put_text(image, text, 2 * margin, y, size, _WHITE if row == 0 else (190, 190, 190))
        bar = max(1, round((width - 2 * margin) * float(np.clip(probabilities[i], 0.0, 1.0))))
        end = (2 * margin + bar, y + pitch - margin // 2)
        cv2.rectangle(
            image, (2 * margin, end[1] - max(2, size // 6)), end, class_colour(i, _name(names, i)), -1
        )
