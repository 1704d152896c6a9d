# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Remembers where things lie on the table, from detections that are late, noisy and sometimes missing.

Its unit of work is the detections of one observation. A thing that is hidden keeps its last place. One wild detection
moves nothing; two that agree do. It never looks at images and never invents a thing that was not detected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.robot import FixedCamera
from edge_stack_policy.visual_servo.kinematics import pixel_to_plane

MOVED = 0.018
"""Distance beyond which a detection contradicts the remembered place, m."""
AVERAGED = 6
"""Detections over which a place is averaged."""
HIDDEN_SHARE = 0.72
"""A box smaller than this share of the expected one, in width or height, shows a partly hidden thing: not used."""
SCORE_MIN = 0.15


@dataclass(slots=True)
class RememberedObject:
    """Where a thing lies: x, y in the base frame (m), when that was last seen (s), and from how many detections."""

    xy: NDArray[np.float64]
    seen_s: float
    count: int = 1
    contradiction: NDArray[np.float64] | None = None

    @property
    def x(self) -> float:
        """X in the base frame, m."""
        return float(self.xy[0])

    @property
    def y(self) -> float:
        """Y in the base frame, m."""
        return float(self.xy[1])


@dataclass(slots=True)
class SceneMemory:
    """Places of things by name.

    camera: whose pixels the detections are in. class_names: what a class index means. sizes: width and height (m) of
    the things to remember; others are ignored.
    """

    camera: FixedCamera
    class_names: Sequence[str]
    sizes: Mapping[str, tuple[float, float]]
    places: dict[str, RememberedObject] = field(default_factory=dict)
    _ignore_before_s: dict[str, float] = field(default_factory=dict)
    _captured_s: dict[str, float] = field(default_factory=dict)

    def forget(self, now_s: float, names: Sequence[str] | None = None) -> None:
        """Forget things (all by default), and ignore what was captured before now."""
        for name in self.sizes if names is None else names:
            self.places.pop(name, None)
            self._ignore_before_s[name] = now_s

    def clear(self) -> None:
        """Forget everything, times too: the clock has jumped."""
        self.places.clear()
        self._ignore_before_s.clear()
        self._captured_s.clear()

    def update(self, detections: NDArray[np.float32], now_s: float, frozen: Sequence[str] = ()) -> None:
        """Take detections [N, 8] (columns: `DETECTION_FIELDS`) but for the frozen names, which something moves or hides."""
        best: dict[str, NDArray[np.float32]] = {}
        for row in detections:
            if not np.isfinite(row).all() or row[1] < SCORE_MIN or not 0 <= row[0] < len(self.class_names):
                continue
            name = self.class_names[int(row[0])]
            if name in self.sizes and name not in frozen and (name not in best or row[1] > best[name][1]):
                best[name] = row
        for name, row in best.items():
            captured_s = now_s - float(row[7])
            if captured_s < self._ignore_before_s.get(name, -math.inf):
                continue
            if captured_s <= self._captured_s.get(name, -math.inf) + 1e-3:
                continue  # seen already
            xy = self._locate(name, row)
            if xy is not None:
                self._captured_s[name] = captured_s
                self._merge(name, xy, captured_s)

    def _locate(self, name: str, row: NDArray[np.float32]) -> NDArray[np.float64] | None:
        width, height = self.sizes[name]
        xy = pixel_to_plane(self.camera, float(row[2]), float(row[3]), height / 2.0)
        if xy is None:
            return None
        # How large the thing appears at least, when all of it shows and its narrow side faces the camera.
        away = np.append(xy, height / 2.0) - self.camera.position_m
        depth = float(np.linalg.norm(away))
        slope = abs(float(away[2])) / depth
        focal = float(self.camera.intrinsics()[0, 0])
        wide = focal * width / depth
        high = focal * (width * slope + height * math.sqrt(max(0.0, 1.0 - slope**2))) / depth
        if row[6] != 0.0:
            return xy  # a rotated box: its sides do not tell what is hidden
        return xy if row[4] >= HIDDEN_SHARE * wide and row[5] >= HIDDEN_SHARE * high else None

    def _merge(self, name: str, xy: NDArray[np.float64], captured_s: float) -> None:
        place = self.places.get(name)
        if place is None:
            self.places[name] = RememberedObject(xy, captured_s)
        elif np.linalg.norm(xy - place.xy) <= MOVED:
            place.count += 1
            place.xy = place.xy + (xy - place.xy) / min(place.count, AVERAGED)
            place.seen_s = captured_s
            place.contradiction = None
        elif place.contradiction is not None and np.linalg.norm(xy - place.contradiction) <= MOVED:
            self.places[name] = RememberedObject((xy + place.contradiction) / 2.0, captured_s, 2)
        else:
            place.contradiction = xy
