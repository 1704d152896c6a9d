# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of non-maximum suppression, plain and rotated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_perception.vision.suppression import nms, probiou, rotated_nms


def box(cx: float, cy: float, w: float, h: float, theta: float = 0.0) -> np.ndarray:
    return np.array([[cx, cy, w, h, theta]], np.float32)


def test_kept_boxes_come_in_descending_order_of_score() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float32)
    assert nms(boxes, np.array([0.2, 0.9, 0.5], np.float32), 0.5, 10).tolist() == [1, 2, 0]


def test_a_suppressed_box_suppresses_nobody_in_plain_nms_but_does_in_fast_nms() -> None:
    # Each overlaps the next by 6 of 14 pixels, 0.43.
    boxes = np.array([[0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert nms(boxes, scores, 0.4, 10).tolist() == [0, 2]
    rotated = np.array([[5, 0, 10, 4, 0], [8, 0, 10, 4, 0], [11, 0, 10, 4, 0]], np.float32)
    close = float(probiou(rotated[:1], rotated[1:2])[0, 0])
    far = float(probiou(rotated[:1], rotated[2:])[0, 0])
    assert far < close
    assert rotated_nms(rotated, scores, (far + close) / 2, 10).tolist() == [0]


def test_the_limit_keeps_the_best() -> None:
    boxes = np.arange(20, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 9, 9], np.float32)
    scores = np.linspace(0.1, 0.9, 20, dtype=np.float32)
    assert nms(boxes, scores, 0.5, 3).tolist() == [19, 18, 17]
    rotated = np.concatenate(
        (boxes[:, :2], np.full((20, 2), 9, np.float32), np.zeros((20, 1), np.float32)), axis=1
    )
    assert rotated_nms(rotated, scores, 0.5, 3).tolist() == [19, 18, 17]


def test_boxes_without_area_are_harmless() -> None:
    boxes = np.zeros((3, 4), np.float32)
    assert len(nms(boxes, np.ones(3, np.float32), 0.5, 10)) == 3


@pytest.mark.parametrize("suppress", [nms, rotated_nms])
def test_no_candidates_give_no_boxes(suppress: object) -> None:
    width = 4 if suppress is nms else 5
    assert suppress(np.zeros((0, width), np.float32), np.zeros(0, np.float32), 0.5, 10).tolist() == []  # type: ignore[operator]


def test_probiou_has_the_values_of_the_reference() -> None:
    first = np.concatenate((box(50, 50, 40, 20, 0.3), box(50, 50, 40, 20, 0.3), box(10, 10, 5, 5)))
    second = np.concatenate((box(50, 50, 40, 20, 0.3), box(55, 48, 30, 25, 0.8), box(90, 90, 5, 5)))
    # ultralytics 8.4.190: batch_probiou(first, second)
    same, turned, far = 9.9953181e-01, 6.8491018e-01, 1.2159348e-05
    expected = [[same, turned, far], [same, turned, far], [far, 2.1457672e-06, 0.0]]
    assert np.allclose(probiou(first, second), expected, atol=1e-4)  # identical boxes differ by rounding


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(1, 80),
    st.floats(1, 80),
    st.floats(-3, 3),
    st.integers(-2, 2),
)
def test_a_box_is_itself_by_probiou_however_its_rectangle_is_written(
    cx: float, cy: float, w: float, h: float, theta: float, half_turns: int
) -> None:
    one = box(cx, cy, w, h, theta)
    same = box(cx, cy, h, w, theta + math.pi / 2 + half_turns * math.pi)
    assert probiou(one, same)[0, 0] > 0.97
    assert probiou(one, box(cx + 10 * (w + h), cy, w, h, theta))[0, 0] < 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 700))
def test_rotated_nms_in_blocks_is_that_of_the_whole_matrix(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate(
        (rng.uniform(0, 200, (count, 2)), rng.uniform(5, 60, (count, 2)), rng.uniform(-1, 2, (count, 1))),
        axis=1,
    ).astype(np.float32)
    scores = rng.random(count).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    overlap = np.triu(probiou(boxes[order], boxes[order]) > 0.3, k=1)
    expected = order[~overlap.any(axis=0)]
    assert rotated_nms(boxes, scores, 0.3, count).tolist() == expected.tolist()
