# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Compares Detections with Ultralytics' own predictions, given as the arrays that data/goldens/README.md describes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_stack.vision.types import Detections

# Scores and pixels: float32 rounding of another build of the runtime, no more.
SCORE_TOLERANCE = 1e-4
PIXEL_TOLERANCE = 0.02


def expected_ids(masks: np.ndarray, scores: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Merge bool [N, H, W] into instance ids, the higher score on top."""
    ids = np.zeros(shape, np.uint16)
    for index in np.argsort(scores, kind="stable"):
        ids[masks[index]] = index + 1
    return ids


def compare(found: Detections, golden: dict[str, Any], task: str) -> None:
    if task == "classify":
        assert found.probabilities is not None
        assert np.abs(found.probabilities - golden["probabilities"]).max() < SCORE_TOLERANCE
        return
    assert len(found) == len(golden["scores"])
    assert found.classes.tolist() == golden["classes"].tolist()
    assert np.allclose(found.scores, golden["scores"], atol=SCORE_TOLERANCE, rtol=0)
    assert np.allclose(found.boxes, golden["boxes"], atol=PIXEL_TOLERANCE, rtol=0)
    if task == "obb":
        assert found.rotated is not None
        assert np.allclose(found.rotated[:, :4], golden["xywhr"][:, :4], atol=PIXEL_TOLERANCE, rtol=0)
        # Ultralytics leaves YOLO26's angles as they come; ours are turned by whole half turns into one range.
        turn = (found.rotated[:, 4] - golden["xywhr"][:, 4] + math.pi / 2) % math.pi - math.pi / 2
        assert np.abs(turn).max(initial=0) < 1e-3
    if task == "pose":
        assert found.keypoints is not None
        assert np.allclose(
            found.keypoints[..., :2], golden["keypoints"][..., :2], atol=PIXEL_TOLERANCE, rtol=0
        )
        assert np.allclose(found.keypoints[..., 2:], golden["keypoints"][..., 2:], atol=1e-3, rtol=0)
    if task == "segment":
        height, width = shape = tuple(golden["shape"].tolist())
        packed = golden["masks_packed"]
        masks = np.unpackbits(packed, axis=1, count=height * width).reshape(-1, height, width).astype(bool)
        assert found.masks is not None and found.masks.shape == shape
        # A logit that is zero but for rounding may fall to either side.
        different = found.masks != expected_ids(masks, golden["scores"], shape)
        assert different.sum() <= 1e-5 * different.size
