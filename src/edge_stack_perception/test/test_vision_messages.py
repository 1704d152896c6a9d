# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the conversion between perception's messages and its logic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from edge_stack_core.ros.image_messages import read_array
from edge_stack_core.ros.stamps import to_seconds
from edge_stack_perception.ros import vision_messages
from edge_stack_perception.vision.types import Detections, StageTimes

NAMES = ("cube", "hand", "mark")


def header() -> Header:
    result = Header(frame_id="camera")
    result.stamp.sec, result.stamp.nanosec = 12, 500_000_000
    return result


def detections(count: int, rotated: bool, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 300, (count, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(
        boxes,
        np.sort(rng.random(count).astype(np.float32))[::-1].copy(),
        rng.integers(0, len(NAMES), count).astype(np.int32),
        rotated=rng.uniform(-0.7, 2.3, (count, 5)).astype(np.float32) ** 2 if rotated else None,
    )


@given(st.integers(0, 20), st.booleans(), st.integers(0, 1000))
def test_detections_survive_the_way_through_a_message(count: int, rotated: bool, seed: int) -> None:
    before = detections(count, rotated, seed)
    message = vision_messages.detections_message(before, NAMES, header())
    assert message.header == header() and len(message.detections) == count
    after = vision_messages.read_detections(message, NAMES)
    assert np.array_equal(after.classes, before.classes)
    assert np.allclose(after.scores, before.scores)
    assert after.rotated is not None
    if rotated:
        assert np.allclose(after.rotated, before.rotated)
    else:
        assert np.allclose(after.boxes, before.boxes, atol=1e-3)
        assert not after.rotated[:, 4].any()


def test_each_detection_has_the_header_of_the_image_and_the_name_of_its_class() -> None:
    one = Detections(
        np.array([[10, 20, 30, 60]], np.float32), np.array([0.5], np.float32), np.array([2], np.int32)
    )
    (detection,) = vision_messages.detections_message(one, NAMES, header()).detections
    assert detection.header == header()
    assert detection.results[0].hypothesis.class_id == "mark"
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (20.0, 40.0)
    assert (detection.bbox.size_x, detection.bbox.size_y, detection.bbox.center.theta) == (20.0, 40.0, 0.0)


def foreign(x: float, score: float, name: str) -> Detection2D:
    detection = Detection2D()
    detection.bbox.center.position.x = x
    detection.bbox.size_x = detection.bbox.size_y = 4.0
    for label, value in ((name, score), ("other", score / 2)):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = label, value
        detection.results.append(result)
    return detection


def test_what_makes_no_sense_is_left_out_when_read() -> None:
    array = Detection2DArray()
    array.detections = [
        Detection2D(),  # no hypothesis
        foreign(1.0, 0.9, "hand"),
        foreign(2.0, 0.9, "unicorn"),
        foreign(math.nan, 0.9, "hand"),
        foreign(math.inf, 0.9, "hand"),
        foreign(3.0, math.nan, "hand"),
    ]
    negative = foreign(4.0, 0.9, "hand")
    negative.bbox.size_x = -1.0
    array.detections.append(negative)
    found = vision_messages.read_detections(array, NAMES)
    assert found.boxes[:, 0].tolist() == [-1.0]
    assert found.classes.tolist() == [1]


def test_class_indices_may_be_given_by_name() -> None:
    array = Detection2DArray(detections=[foreign(1.0, 0.9, "hand")])
    assert vision_messages.read_detections(array, {"hand": 7}).classes.tolist() == [7]


def test_an_empty_array_is_read_as_no_instance() -> None:
    found = vision_messages.read_detections(Detection2DArray(), NAMES)
    assert found.boxes.shape == (0, 4) and len(found) == 0


def test_the_most_probable_classes_come_first() -> None:
    message = vision_messages.classification_message(
        np.array([0.1, 0.2, 0.7], np.float32), NAMES, header(), 2
    )
    assert [r.class_id for r in message.results] == ["mark", "hand"]
    assert message.results[0].score == pytest.approx(0.7)
    assert message.header == header()


def test_keypoints_have_their_names_and_the_instances_class() -> None:
    points = np.array([[[1, 2, 0.5], [3, 4, 1.0]]], np.float32)
    one = Detections(
        np.zeros((1, 4), np.float32), np.array([0.5], np.float32), np.array([0], np.int32), keypoints=points
    )
    (instance,) = vision_messages.keypoints_message(one, NAMES, ("tip", "base"), header()).instances
    assert instance.class_id == "cube"
    assert [(k.name, k.x, k.y, k.score) for k in instance.keypoints] == [
        ("tip", 1, 2, 0.5),
        ("base", 3, 4, 1),
    ]


def test_masks_are_written_as_mono16_into_the_same_memory_again() -> None:
    ids = np.arange(12, dtype=np.uint16).reshape(3, 4)
    message = vision_messages.masks_message(ids, header())
    assert (message.encoding, message.height, message.width, message.header) == ("mono16", 3, 4, header())
    assert np.array_equal(read_array(message), ids)
    again = vision_messages.masks_message(ids[::-1], header(), message)
    assert again is message
    assert np.array_equal(read_array(again), ids[::-1])
    assert isinstance(again, Image)


def test_labels_have_their_index() -> None:
    message = vision_messages.label_info_message(NAMES, 0.5, header())
    assert [(c.class_id, c.class_name) for c in message.class_map] == list(enumerate(NAMES))
    assert message.threshold == pytest.approx(0.5)


def test_timing_has_every_stage() -> None:
    message = vision_messages.timing_message(StageTimes(1.0, 2.0, 3.0), 9.0, header())
    stages = (message.preprocess_ms, message.inference_ms, message.postprocess_ms, message.latency_ms)
    assert stages == (1.0, 2.0, 3.0, 9.0)


def test_a_stamp_is_seconds() -> None:
    assert to_seconds(header().stamp) == 12.5
