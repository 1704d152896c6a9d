# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Compares Detections with Ultralytics' own predictions, given as the arrays that data/goldens/README.md describes.

Its unit of work is one image. With the library versions that made the goldens both are equal to the last bit; other
versions of ONNX Runtime round half-precision models differently (seen: scores by 0.0015, boxes by 0.07 pixels of the
network's input), so the tolerances are a little above that, far below any error of half a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_stack_perception.vision.types import Detections, ModelMeta

SCORE_TOLERANCE = 5e-3
# Of the network's input.
PIXEL_TOLERANCE = 0.15
ANGLE_TOLERANCE = 5e-3
MASK_TOLERANCE = 0.01


def compare(found: Detections, golden: dict[str, Any], meta: ModelMeta, strictness: float = 1.0) -> None:
    """
    Assert that results are the golden ones; a row at the very threshold may be on either side of it.

    strictness: divides the tolerances; 100 where both sides ran with the same libraries.
    """
    score_tolerance, angle_tolerance = SCORE_TOLERANCE / strictness, ANGLE_TOLERANCE / strictness
    if meta.task == "classify":
        assert found.probabilities is not None
        assert np.abs(found.probabilities - golden["probabilities"]).max() < score_tolerance
        return
    height, width = shape = tuple(golden["shape"].tolist())
    pixels = PIXEL_TOLERANCE / strictness / min(meta.imgsz[0] / height, meta.imgsz[1] / width)
    theirs, ours = pair(found, golden, pixels, score_tolerance)
    sure = float(golden["conf"]) + score_tolerance
    assert (np.delete(golden["scores"], theirs) < sure).all(), "rows are missing"
    assert (np.delete(found.scores, ours) < sure).all(), "rows are too many"
    if meta.task == "obb":
        assert found.rotated is not None
        assert np.abs(found.rotated[ours, :4] - golden["xywhr"][theirs, :4]).max(initial=0) < pixels
        # Ultralytics leaves YOLO26's angles as they come; ours are turned by whole half turns into one range.
        turn = found.rotated[ours, 4] - golden["xywhr"][theirs, 4]
        turn = (turn + math.pi / 2) % math.pi - math.pi / 2
        assert np.abs(turn).max(initial=0) < angle_tolerance
    if meta.task == "pose":
        assert found.keypoints is not None
        difference = np.abs(found.keypoints[ours] - golden["keypoints"][theirs])
        assert difference[..., :2].max(initial=0) < pixels
        assert difference[..., 2].max(initial=0) < score_tolerance
    if meta.task == "segment":
        masks = np.unpackbits(golden["masks_packed"], axis=1, count=height * width).reshape(-1, *shape)
        assert found.masks is not None and found.masks.shape == shape
        expected = instance_ids(masks.astype(bool), golden["scores"], dict(zip(theirs, ours, strict=True)))
        different = int((found.masks != expected).sum())
        assert different <= (MASK_TOLERANCE * (expected > 0).sum() + 3) / strictness


def pair(
    found: Detections, golden: dict[str, Any], pixels: float, score_tolerance: float
) -> tuple[list[int], list[int]]:
    """Return which golden rows are found and by which of ours: same class, box and score within tolerance."""
    theirs: list[int] = []
    ours: list[int] = []
    for index, (box, score, label) in enumerate(
        zip(golden["boxes"], golden["scores"], golden["classes"], strict=True)
    ):
        distance = np.abs(found.boxes - box).max(axis=1, initial=0)
        fits = (found.classes == label) & (np.abs(found.scores - score) < score_tolerance)
        distance[~fits] = np.inf
        distance[ours] = np.inf
        if len(distance) and distance.min() < pixels:
            theirs.append(index)
            ours.append(int(distance.argmin()))
    return theirs, ours


def instance_ids(masks: np.ndarray, scores: np.ndarray, our_index: dict[int, int]) -> np.ndarray:
    """Merge bool [N, H, W] into ids of our rows, the higher score on top."""
    ids = np.zeros(masks.shape[1:], np.uint16)
    for index in np.argsort(scores, kind="stable"):
        if int(index) in our_index:
            ids[masks[index]] = our_index[int(index)] + 1
    return ids
