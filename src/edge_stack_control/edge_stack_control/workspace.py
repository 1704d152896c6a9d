# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Who is in the robot's workspace, and who and what is near it, from one image's detections.

Its unit of work is the detections of one image. The workspace is a polygon in pixels, or the whole image; around it lies
a slow zone of some width. What cannot be judged (a box that is not finite) counts as inside: the doubt is the robot's to
bear. The speed that follows from a distance is that of speed and separation monitoring (ISO/TS 15066, 5.5.4) in kind,
not in proof: pixels are no metres, and one camera sees no depth.
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


@dataclass(frozen=True)
class Sight:
    """
    What one image says about the workspace.

    person_distance, object_distance: of the nearest, in widths of the slow zone; 0 = in the workspace, inf = none in sight.
    person, object: their names and scores in words.
    """

    person_inside: bool = False
    person_distance: float = math.inf
    object_distance: float = math.inf
    person: str = ""
    object: str = ""


NOTHING = Sight()


class WorkspaceWatch:
    """Looks for persons and for objects that call for care, in and around the workspace."""

    def __init__(
        self,
        person_classes: Iterable[str],
        object_classes: Iterable[str] = (),
        min_score: float = 0.5,
        workspace_px: Sequence[float] = (),
        slow_zone_px: float = 0.0,
    ) -> None:
        """
        Watch for classes above a score.

        workspace_px: x0, y0, x1, y1, ... of its corners, pixels; empty: the whole image. slow_zone_px: width of the zone
        around it, pixels; 0: none, and only what is inside counts.
        """
        if len(workspace_px) % 2 or len(workspace_px) in (2, 4):
            raise ValueError(
                f"workspace polygon: {len(workspace_px)} numbers; x and y of at least 3 corners are needed, or none"
            )
        if not all(math.isfinite(value) for value in workspace_px):
            raise ValueError("workspace polygon: every number must be finite")
        self.person_classes = frozenset(person_classes)
        self.object_classes = frozenset(object_classes)
        self.min_score = min_score
        self.slow_zone_px = slow_zone_px
        self._polygon: list[Point] = list(zip(workspace_px[0::2], workspace_px[1::2], strict=True))

    def look(self, boxes: Iterable[Box]) -> Sight:
        """Return what these detections say."""
        person, thing = math.inf, math.inf
        person_text = thing_text = ""
        for box in boxes:
            if box.score < self.min_score:
                continue
            if box.name in self.person_classes:
                distance = self._distance(box)
                if distance < person:
                    person, person_text = distance, f"{box.name} (score {box.score:.2f})"
            elif box.name in self.object_classes:
                distance = self._distance(box)
                if distance < thing:
                    thing, thing_text = distance, f"{box.name} (score {box.score:.2f})"
        return Sight(person == 0.0, person, thing, person_text, thing_text)

    def reaches_into(self, width: int, height: int) -> bool:
        """Return whether any of the workspace lies in an image of this size, px."""
        return not self._polygon or bool(_clipped(self._polygon, 0.0, 0.0, float(width), float(height)))

    def _distance(self, box: Box) -> float:
        """Return how far a box is from the workspace, in widths of the slow zone."""
        if not self._polygon or not all(map(math.isfinite, (box.x, box.y, box.width, box.height, box.theta))):
            return 0.0
        bounds = box.bounds()
        if _clipped(self._polygon, *bounds):
            return 0.0
        if self.slow_zone_px <= 0.0:
            return math.inf
        return max(_apart(self._polygon, *bounds) / self.slow_zone_px, math.ulp(0.0))


def _apart(polygon: list[Point], left: float, top: float, right: float, bottom: float) -> float:
    """Return the distance between a polygon and an upright rectangle that do not touch."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    least = math.inf
    for index, end in enumerate(polygon):
        x, y = end
        least = min(least, math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom)))
        for corner in corners:
            least = min(least, _from_segment(corner, polygon[index - 1], end))
    return least


def _from_segment(point: Point, begin: Point, end: Point) -> float:
    dx, dy = end[0] - begin[0], end[1] - begin[1]
    length2 = dx * dx + dy * dy
    along = ((point[0] - begin[0]) * dx + (point[1] - begin[1]) * dy) / length2 if length2 > 0.0 else 0.0
    t = min(max(along, 0.0), 1.0)
    return math.hypot(point[0] - begin[0] - t * dx, point[1] - begin[1] - t * dy)


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
