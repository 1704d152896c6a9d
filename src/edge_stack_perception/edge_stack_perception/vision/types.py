# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a vision model is and what it says about one image: plain arrays in pixels of the original image.

Its unit of work is one image. Nothing here computes; a pixel with index i covers the coordinates i to i + 1, x to the
right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TASKS", "Detections", "ModelMeta", "StageTimes"]

TASKS: tuple[str, ...] = ("detect", "segment", "pose", "obb", "classify")
"""Every task that a vision model can have here."""


@dataclass(frozen=True, slots=True)
class Detections:
    """
    One image's results: N instances in descending order of score, or the probabilities of a classifier (N = 0).

    boxes: float32 [N, 4], x1 y1 x2 y2, px; of a rotated box the axis-aligned box around it.
    scores: float32 [N], 0..1. classes: int32 [N], index into the model's names.
    masks: uint16 [H, W], instance ids: 0 = none, i = instance i - 1; where masks overlap, the higher score has it.
    keypoints: float32 [N, K, 3], x y px and visibility 0..1 (1 where the model gives none).
    rotated: float32 [N, 5], cx cy w h px and theta rad, from +x towards +y, in [-pi/4, 3 pi/4).
    probabilities: float32 [C], one a class.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    masks: NDArray[np.uint16] | None = None
    keypoints: NDArray[np.float32] | None = None
    rotated: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.scores)

    def is_finite(self) -> bool:
        """Return whether every number is finite."""
        values = (self.boxes, self.scores, self.keypoints, self.rotated, self.probabilities)
        return all(bool(np.isfinite(value).all()) for value in values if value is not None)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long one inference took, stage by stage, ms. admission_ms: how long it waited for admission; in no other stage."""

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float
    admission_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """All stages together without waiting, ms."""
        return self.preprocess_ms + self.inference_ms + self.postprocess_ms


@dataclass(frozen=True, slots=True)
class ModelMeta:
    """
    What a model file says about itself.

    task: one of :data:`TASKS`. names: class names by index. imgsz: input (height, width), px.
    layout: "end2end" (rows are final detections) or "dense" (every anchor, needs NMS).
    kpt_shape: keypoints per instance and values per keypoint (2 or 3); None unless the task is pose.
    keypoint_names: names of one instance's keypoints, "0", "1", ... where the file has none; empty unless pose.
    """

    task: str
    names: tuple[str, ...]
    imgsz: tuple[int, int]
    layout: str
    kpt_shape: tuple[int, int] | None = None
    keypoint_names: tuple[str, ...] = ()
