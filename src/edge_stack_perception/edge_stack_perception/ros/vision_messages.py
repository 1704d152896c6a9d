# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Between perception's messages and its logic: Detections to vision_msgs and back.

Its unit of work is one message. The order of instances is kept everywhere, so that instance i of keypoints and mask id
i + 1 belong to detection i of the same stamp. Reading never raises: what makes no sense is left out. Pictures are
converted in image_messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from edge_stack_msgs.msg import Keypoint2D, Keypoint2DArray, KeypointInstance, ModelTiming
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    Classification,
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    VisionClass,
)

from edge_stack_core.ros.image_messages import fill_image
from edge_stack_perception.vision.types import Detections, StageTimes

__all__ = [
    "classification_message",
    "detections_message",
    "keypoints_message",
    "label_info_message",
    "masks_message",
    "read_detections",
    "timing_message",
]


def detections_message(detections: Detections, names: Sequence[str], header: Header) -> Detection2DArray:
    """
    Write instances as boxes with the class name and score of each.

    A rotated box has its theta; an axis-aligned one has theta 0.

    detections: in pixels of the image. names: class names by index. header: that of the image.
    """
    boxes = _centred(detections).tolist()
    message = Detection2DArray(header=header)
    array = message.detections
    for (x, y, width, height, theta), score, label in zip(
        boxes, detections.scores.tolist(), detections.classes.tolist(), strict=True
    ):
        detection = Detection2D(header=header)
        box = detection.bbox
        centre = box.center
        centre.position.x = x
        centre.position.y = y
        centre.theta = theta
        box.size_x = width
        box.size_y = height
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = names[label]
        result.hypothesis.score = score
        detection.results.append(result)
        array.append(detection)
    return message


def classification_message(
    probabilities: NDArray[np.float32], names: Sequence[str], header: Header, count: int
) -> Classification:
    """Write the most probable classes, at most ``count``, in descending order."""
    order = np.argsort(-probabilities, kind="stable")[:count].tolist()
    results = [ObjectHypothesis(class_id=names[i], score=float(probabilities[i])) for i in order]
    return Classification(header=header, results=results)


def keypoints_message(
    detections: Detections, names: Sequence[str], keypoint_names: Sequence[str], header: Header
) -> Keypoint2DArray:
    """Write the keypoints of every instance; an image without instances gives an empty array."""
    message = Keypoint2DArray(header=header)
    if detections.keypoints is None:
        return message
    for points, score, label in zip(
        detections.keypoints.tolist(), detections.scores.tolist(), detections.classes.tolist(), strict=True
    ):
        instance = KeypointInstance(class_id=names[label], score=score)
        instance.keypoints = [
            Keypoint2D(name=name, x=x, y=y, score=seen) for name, (x, y, seen) in zip(keypoint_names, points)
        ]
        message.instances.append(instance)
    return message


def masks_message(masks: NDArray[np.uint16], header: Header, message: Image | None = None) -> Image:
    """
    Write the image of instance ids as mono16.

    message: one to fill again, whose memory is used where its size fits.
    """
    filled = fill_image(Image() if message is None else message, masks, "mono16")
    filled.header = header
    return filled


def label_info_message(names: Sequence[str], threshold: float, header: Header) -> LabelInfo:
    """Write the classes of a model and its score threshold."""
    classes = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(names)]
    return LabelInfo(header=header, class_map=classes, threshold=threshold)


def timing_message(times: StageTimes, latency_ms: float, header: Header) -> ModelTiming:
    """Write how long one inference took; latency_ms: from capture to the published result."""
    return ModelTiming(
        header=header,
        preprocess_ms=times.preprocess_ms,
        inference_ms=times.inference_ms,
        postprocess_ms=times.postprocess_ms,
        latency_ms=latency_ms,
    )


def read_detections(message: Detection2DArray, index_of: Mapping[str, int] | Sequence[str]) -> Detections:
    """
    Read instances back: the best hypothesis of each.

    Args:
        message: from this stack or any other source of vision_msgs.
        index_of: class names by index, or the index of each name.

    Returns:
        The instances whose class is known and whose figures are finite, in the message's order; ``rotated`` is set, and
        ``boxes`` are around the rotated ones.
    """
    indices = index_of if isinstance(index_of, Mapping) else {name: i for i, name in enumerate(index_of)}
    rows = []
    for detection in message.detections:
        if not detection.results:
            continue
        best = max(detection.results, key=lambda result: result.hypothesis.score).hypothesis
        index = indices.get(best.class_id)
        if index is None:
            continue
        box = detection.bbox
        centre = box.center
        rows.append(
            (
                centre.position.x,
                centre.position.y,
                box.size_x,
                box.size_y,
                centre.theta,
                best.score,
                float(index),
            )
        )
    table = np.array(rows, np.float32).reshape(-1, 7)
    table = table[np.isfinite(table).all(axis=1) & (table[:, 2:4] >= 0.0).all(axis=1)]
    rotated = table[:, :5]
    cos, sin = np.abs(np.cos(rotated[:, 4:])), np.abs(np.sin(rotated[:, 4:]))
    sizes = rotated[:, 2:4]
    half = (sizes * cos + sizes[:, ::-1] * sin) / np.float32(2.0)
    boxes = np.concatenate((rotated[:, :2] - half, rotated[:, :2] + half), axis=1)
    return Detections(boxes, table[:, 5], table[:, 6].astype(np.int32), rotated=rotated)


def _centred(detections: Detections) -> NDArray[np.float64]:
    """Return float64 [N, 5] cx cy w h theta of all instances."""
    if detections.rotated is not None:
        return detections.rotated.astype(np.float64)
    boxes = detections.boxes.astype(np.float64)
    centred = np.zeros((len(boxes), 5))
    centred[:, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    centred[:, 2:4] = boxes[:, 2:] - boxes[:, :2]
    return centred
