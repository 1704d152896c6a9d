# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a person is in the robot's workspace, from one image's detections.

Its unit of work is the detections of one image. The workspace is a polygon in pixels, or the whole image. What cannot be
judged (a box that is not finite) counts as inside: the doubt is the robot's to bear.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """One detection: class name, score 0..1, centre and size in pixels, rotation in rad."""

    name: str
    score: float
    x: float
    y: float
    width: float
    height: float
    theta: float = 0.0

    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom of the upright box around it."""
        c, s = abs(math.cos(self.theta)), abs(math.sin(self.theta))
        half_w = 0.5 * (abs(self.width) * c + abs(self.height) * s)
        half_h = 0.5 * (abs(self.width) * s + abs(self.height) * c)
        return self.x - half_w, self.y - half_h, self.x + half_w, self.y + half_h


class PersonWatch:
    """Finds persons in detections."""

    def __init__(self, classes: Iterable[str], min_score: float, workspace_px: Sequence[float] = ()) -> None:
        """
        Watch for classes above a score inside a polygon.

        workspace_px: x0, y0, x1, y1, ... of its corners, pixels; empty: the whole image.
        """
        if len(workspace_px) % 2 or len(workspace_px) in (2, 4):
            raise ValueError(
                f"workspace polygon: {len(workspace_px)} numbers; x and y of at least 3 corners are needed, or none"
            )
        if not all(math.isfinite(value) for value in workspace_px):
            raise ValueError("workspace polygon: every number must be finite")
        self.classes = frozenset(classes)
        self.min_score = min_score
        self._polygon: list[Point] = list(zip(workspace_px[0::2], workspace_px[1::2], strict=True))

    def inside(self, boxes: Iterable[Box]) -> Box | None:
        """Return the first person that touches the workspace, or None."""
        for box in boxes:
            if box.name in self.classes and not box.score < self.min_score and self._touches(box):
                return box
        return None

    def _touches(self, box: Box) -> bool:
        if not all(map(math.isfinite, (box.x, box.y, box.width, box.height, box.theta))):
            return True
        if not self._polygon:
            return True
        return bool(_clipped(self._polygon, *box.bounds()))


def _clipped(polygon: list[Point], left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return the part of a polygon inside an upright rectangle (Sutherland-Hodgman); empty if there is none."""
    for axis, bound, sign in ((0, left, 1.0), (0, right, -1.0), (1, top, 1.0), (1, bottom, -1.0)):
        kept: list[Point] = []
        for index, end in enumerate(polygon):
            begin = polygon[index - 1]
            d0, d1 = sign * (begin[axis] - bound), sign * (end[axis] - bound)
            if (d0 < 0.0) != (d1 < 0.0):
                t = d0 / (d0 - d1)
                kept.append((begin[0] + t * (end[0] - begin[0]), begin[1] + t * (end[1] - begin[1])))
            if d1 >= 0.0:
                kept.append(end)
        polygon = kept
        if not polygon:
            return []
    return polygon
