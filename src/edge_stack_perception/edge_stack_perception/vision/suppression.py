# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Non-maximum suppression, plain and rotated, with the results that Ultralytics gets.

Its unit of work is the candidates of one image. Both functions work in float32, as the reference does, since a pair
close to the threshold is decided by rounding. Nothing here knows classes: whoever calls offsets boxes of different
classes out of each other's way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CANDIDATES", "MAX_ROTATED_CANDIDATES", "nms", "probiou", "rotated_nms"]

MAX_CANDIDATES = 30_000
"""Candidates with the highest scores that suppression looks at; Ultralytics' own limit."""
MAX_ROTATED_CANDIDATES = 4_000
"""The same for rotated boxes, whose cost grows with the square (here about 0.2 s); Ultralytics has no lower one."""
_BLOCK = 256
_EPSILON = np.float32(1e-7)


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], iou: float, limit: int) -> NDArray[np.intp]:
    """
    Suppress boxes that overlap a kept box of a higher score by more than ``iou``.

    boxes: [N, 4] x1 y1 x2 y2. scores: [N]. limit: how many to keep at most.

    Returns the kept indices in descending order of score.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    areas = (x2 - x1) * (y2 - y1)
    left = np.arange(len(order))
    kept: list[int] = []
    zero = np.float32(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        while len(left) and len(kept) < limit:
            first, left = left[0], left[1:]
            kept.append(first)
            width = np.minimum(x2[first], x2[left]) - np.maximum(x1[first], x1[left])
            height = np.minimum(y2[first], y2[left]) - np.maximum(y1[first], y1[left])
            common = np.maximum(width, zero) * np.maximum(height, zero)
            overlap = common / (areas[first] + areas[left] - common)
            # Two boxes without area have no overlap (0 / 0): not above the threshold, so both stay.
            left = left[~(overlap > iou)]
    return order[np.asarray(kept, np.intp)]


def rotated_nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], iou: float, limit: int
) -> NDArray[np.intp]:
    """
    Suppress rotated boxes that overlap any box of a higher score, kept or not, by more than ``iou`` (fast NMS).

    boxes: [N, 5] cx cy w h theta. scores: [N]. limit: how many to keep at most.

    Returns the kept indices in descending order of score.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_ROTATED_CANDIDATES]
    ranked = boxes[order]
    kept: list[NDArray[np.intp]] = []
    count = 0
    for start in range(0, len(order), _BLOCK):
        if count >= limit:
            break
        block = ranked[start : start + _BLOCK]
        overlap = probiou(ranked[: start + len(block)], block) > iou
        # Column j is box start + j; only boxes before it count.
        fresh = ~np.triu(overlap, k=1 - start).any(axis=0)
        indices = start + np.flatnonzero(fresh)
        kept.append(indices)
        count += len(indices)
    return order[np.concatenate(kept)[:limit]] if kept else order


def probiou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the probabilistic IoU of every pair of rotated boxes: the Hellinger similarity of their Gaussians.

    From "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection" (arXiv 2106.06072).

    first: [N, 5] cx cy w h theta. second: [M, 5].

    Returns float32 [N, M], 0..1.
    """
    x1, y1 = first[:, 0, None], first[:, 1, None]
    x2, y2 = second[None, :, 0], second[None, :, 1]
    a1, b1, c1 = (part[:, None] for part in _covariance(first))
    a2, b2, c2 = (part[None, :] for part in _covariance(second))
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    determinant = a * b - c * c
    dx, dy = x1 - x2, y1 - y2
    distance = (a * dy * dy + b * dx * dx) / (determinant + _EPSILON) * np.float32(0.25)
    distance += (c * -dx * dy) / (determinant + _EPSILON) * np.float32(0.5)
    own = np.maximum(a1 * b1 - c1 * c1, np.float32(0.0)) * np.maximum(a2 * b2 - c2 * c2, np.float32(0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.log(determinant / (np.float32(4.0) * np.sqrt(own) + _EPSILON) + _EPSILON)
        distance += spread * np.float32(0.5)
        distance = np.clip(distance, _EPSILON, np.float32(100.0))
    similarity: NDArray[np.float32] = np.float32(1.0) - np.sqrt(
        np.float32(1.0) - np.exp(-distance) + _EPSILON
    )
    return similarity


def _covariance(
    boxes: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the parts a, b, c of the Gaussians' covariances [[a, c], [c, b]], each [N]."""
    along, across = (boxes[:, 2:4] ** 2 / np.float32(12.0)).T
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (
        along * cos**2 + across * sin**2,
        along * sin**2 + across * cos**2,
        (along - across) * cos * sin,
    )
