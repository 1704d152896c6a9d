# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
From a model's raw outputs to Detections, for every task and both layouts.

Its unit of work is one image. Outputs are as Ultralytics exports them. The NMS-free ("end2end") layout has one row a
detection, [1, N, 6 + extra] = box, score, class, extra; the dense one a column an anchor, [1, 4 + classes + extra, A] =
box, class scores, extra, and goes through NMS here. Extra is nothing (detect), mask coefficients (segment), keypoints
(pose) or the angle (obb). Results are those of Ultralytics' predict with the same thresholds. It never fails on what a
model puts out: rows that are not finite are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_perception.vision.letterbox import Geometry
from edge_stack_perception.vision.masks import instance_ids, instance_masks
from edge_stack_perception.vision.suppression import nms, rotated_nms
from edge_stack_perception.vision.types import Detections, ModelMeta

__all__ = ["Thresholds", "check_outputs", "decode"]

# Boxes of different classes are moved this far apart, px, so that they never suppress each other.
_CLASS_OFFSET = np.float32(7680.0)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    What counts as a detection.

    confidence: least score (exclusive). iou: most overlap of two dense candidates of one class. max_detections: per
    image. class_agnostic: let boxes of different classes suppress each other.
    """

    confidence: float = 0.25
    iou: float = 0.7
    max_detections: int = 300
    class_agnostic: bool = False


def decode(
    outputs: Sequence[NDArray[Any]],
    meta: ModelMeta,
    geometry: Geometry,
    thresholds: Thresholds = Thresholds(),
) -> Detections:
    """Turn raw outputs into results in pixels of the original image; outputs must have passed check_outputs."""
    if meta.task == "classify":
        probabilities = np.array(outputs[0], np.float32).reshape(-1)
        return Detections(*_nothing(), probabilities=probabilities)
    if meta.layout == "end2end":
        rows = _final_rows(outputs[0][0], meta, thresholds)
    else:
        rows = _suppressed_rows(outputs[0][0], meta, thresholds)
    return _detections(rows, outputs, meta, geometry)


def check_outputs(shapes: Sequence[tuple[int, ...]], meta: ModelMeta) -> str | None:
    """Return what does not fit between the shapes of a model's outputs and its metadata, or None."""
    classes = len(meta.names)
    expected = 2 if meta.task == "segment" else 1
    if len(shapes) != expected:
        return f"it has {len(shapes)} outputs {list(shapes)}; a {meta.task} model has {expected}"
    first = tuple(shapes[0])
    if meta.task == "classify":
        fits = len(first) == 2 and first == (1, classes)
        return None if fits else f"output {list(first)}; {classes} class names need [1, {classes}]"
    extra = {"detect": 0, "segment": 0, "obb": 1, "pose": math.prod(meta.kpt_shape or (0, 0))}[meta.task]
    if meta.task == "segment":
        prototypes = tuple(shapes[1])
        if len(prototypes) != 4 or prototypes[0] != 1:
            return f"second output {list(prototypes)}; prototypes [1, planes, height, width] are needed"
        extra = prototypes[1]
    if meta.layout == "end2end":
        fits = len(first) == 3 and first[0] == 1 and first[2] == 6 + extra
        return (
            None if fits else f"output {list(first)}; the NMS-free layout needs [1, detections, {6 + extra}]"
        )
    width = 4 + classes + extra
    fits = len(first) == 3 and first[0] == 1 and first[1] == width
    return None if fits else f"output {list(first)}; {classes} class names need [1, {width}, anchors]"


def _final_rows(output: NDArray[Any], meta: ModelMeta, thresholds: Thresholds) -> NDArray[np.float32]:
    """Select from [N, 6 + extra], which are detections already; return [n, 6 + extra] by descending score."""
    chosen = np.flatnonzero(output[:, 4] > thresholds.confidence)[: thresholds.max_detections]
    rows = _valid(output[chosen].astype(np.float32), len(meta.names))
    if np.any(rows[1:, 4] > rows[:-1, 4]):
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    return rows


def _suppressed_rows(output: NDArray[Any], meta: ModelMeta, thresholds: Thresholds) -> NDArray[np.float32]:
    """
    Select from [4 + classes + extra, A] by score and NMS; return [n, 6 + extra] by descending score.

    Boxes come as x1 y1 x2 y2, those of obb as cx cy w h, so both layouts are alike from here on.
    """
    rotated = meta.task == "obb"
    end = 4 + len(meta.names)
    chosen = np.flatnonzero(output[4:end].max(axis=0) > thresholds.confidence)
    candidates = output[:, chosen].T.astype(np.float32)
    scores = candidates[:, 4:end]
    rows = np.empty((len(chosen), 6 + candidates.shape[1] - end), np.float32)
    if rotated:
        rows[:, :4] = candidates[:, :4]
    else:
        half = candidates[:, 2:4] / np.float32(2.0)
        rows[:, 0:2] = candidates[:, 0:2] - half
        rows[:, 2:4] = candidates[:, 0:2] + half
    best = scores.argmax(axis=1)
    rows[:, 4] = scores[np.arange(len(best)), best]
    rows[:, 5] = best
    rows[:, 6:] = candidates[:, end:]
    rows = _valid(rows, len(meta.names))
    offset = rows[:, 5:6] * (np.float32(0.0) if thresholds.class_agnostic else _CLASS_OFFSET)
    if rotated:
        boxes = np.concatenate((rows[:, :2] + offset, rows[:, 2:4], rows[:, -1:]), axis=1)
        return rows[rotated_nms(boxes, rows[:, 4], thresholds.iou, thresholds.max_detections)]
    return rows[nms(rows[:, :4] + offset, rows[:, 4], thresholds.iou, thresholds.max_detections)]


def _valid(rows: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Leave out rows that are not finite (half precision can overflow) or name a class that is not there."""
    good = np.isfinite(rows).all(axis=1) & (rows[:, 5] >= 0) & (rows[:, 5] < classes)
    return rows if good.all() else rows[good]


def _detections(
    rows: NDArray[np.float32], outputs: Sequence[NDArray[Any]], meta: ModelMeta, geometry: Geometry
) -> Detections:
    """Map rows of box, score, class, extra to the original image."""
    scores, classes, extra = rows[:, 4].copy(), rows[:, 5].astype(np.int32), rows[:, 6:]
    if meta.task == "obb":
        rotated = geometry.rotated_to_source(np.concatenate((rows[:, :4], rows[:, -1:]), axis=1))
        rotated[:, 4] = _regular_angles(rotated[:, 4])
        return Detections(_around(rotated), scores, classes, rotated=rotated)
    boxes = geometry.boxes_to_source(rows[:, :4])
    if meta.task == "pose":
        count, values = meta.kpt_shape or (0, 0)
        points = geometry.points_to_source(extra.reshape(len(rows), count, values))
        if values == 2:
            points = np.concatenate((points, np.ones((*points.shape[:2], 1), np.float32)), axis=2)
        return Detections(boxes, scores, classes, keypoints=points)
    if meta.task == "segment":
        prototypes = (
            outputs[1][0].astype(np.float32, copy=False) if len(rows) else np.empty((0, 1, 1), np.float32)
        )
        masks = instance_masks(prototypes, extra, boxes, geometry.source) if len(rows) else []
        # An instance without a single pixel is none.
        kept = [index for index, mask in enumerate(masks) if not mask.empty]
        boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        ids = instance_ids([masks[index] for index in kept], scores, geometry.source)
        return Detections(boxes, scores, classes, masks=ids)
    return Detections(boxes, scores, classes)


def _regular_angles(theta: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn angles by whole half turns into [-pi/4, 3 pi/4): the rectangle stays the same."""
    low, period = -math.pi / 4, math.pi
    turned = (np.mod(theta.astype(np.float64) - low, period) + low).astype(np.float32)
    # Rounding to float32 may reach the open end.
    turned[turned >= np.float32(low + period)] = np.float32(low)
    return turned


def _around(rotated: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the axis-aligned boxes [N, 4] x1 y1 x2 y2 around rotated ones."""
    cos, sin = np.abs(np.cos(rotated[:, 4])), np.abs(np.sin(rotated[:, 4]))
    width, height = rotated[:, 2], rotated[:, 3]
    half = np.stack((width * cos + height * sin, width * sin + height * cos), axis=1) / np.float32(2.0)
    return np.concatenate((rotated[:, :2] - half, rotated[:, :2] + half), axis=1)


def _nothing() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
