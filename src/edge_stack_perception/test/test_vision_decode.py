# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of decoding: what must hold for any output of a model, and small cases worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_stack_inference.testing.toy_onnx import end2end_rows
from edge_stack_perception.vision.decode import Thresholds, check_outputs, decode
from edge_stack_perception.vision.letterbox import Geometry
from edge_stack_perception.vision.types import Detections, ModelMeta

NAMES = ("cube", "hand", "mark")
SIZE = (64, 96)
HEADS = ("detect", "segment", "pose", "obb")
EXTRA = {"detect": 0, "segment": 4, "pose": 6, "obb": 1}


def meta(task: str, layout: str = "end2end", kpt_shape: tuple[int, int] = (2, 3)) -> ModelMeta:
    pose = task == "pose"
    return ModelMeta(task, NAMES, SIZE, layout, kpt_shape if pose else None, ("tip", "base") if pose else ())


def dense(*columns: list[float], extra: int = 0) -> np.ndarray:
    """Return a dense output [1, 4 + classes + extra, A] of columns cx cy w h, scores, extra."""
    return np.array(columns, np.float32).T[None]


def same_size() -> Geometry:
    return Geometry.fit(SIZE, SIZE)


@st.composite
def any_output(draw: st.DrawFn) -> tuple[list[np.ndarray], ModelMeta, Geometry, Thresholds]:
    """Return outputs as wild as a model's can be: boxes anywhere, scores in clusters and ties, some not finite."""
    task, layout = draw(st.sampled_from(HEADS)), draw(st.sampled_from(("end2end", "dense")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, extra = draw(st.integers(1, 60)), EXTRA[task]
    boxes = rng.uniform(-40, 140, (count, 4))
    boxes[:, 2:] = np.abs(boxes[:, 2:])
    scores = rng.choice((0.0, 0.3, 0.5, 0.9), (count, len(NAMES))) + rng.choice((0.0, 1e-3), (count, 1))
    others = rng.normal(0, 30, (count, extra))
    if layout == "end2end":
        if task != "obb":
            boxes[:, 2:] += boxes[:, :2]
        rows = np.concatenate((boxes, scores[:, :1], rng.integers(0, 4, (count, 1)), others), axis=1)
    else:
        rows = np.concatenate((boxes, scores, others), axis=1)
    if draw(st.booleans()):
        rows[rng.integers(count), rng.integers(rows.shape[1])] = rng.choice((np.nan, np.inf, -np.inf))
    dtype = draw(st.sampled_from((np.float32, np.float16)))
    first = rows.astype(dtype)[None]
    outputs = [first if layout == "end2end" else np.ascontiguousarray(first.transpose(0, 2, 1))]
    if task == "segment":
        outputs.append(rng.normal(0, 1, (1, extra, SIZE[0] // 4, SIZE[1] // 4)).astype(dtype))
    source = draw(st.tuples(st.integers(1, 200), st.integers(1, 200)))
    thresholds = Thresholds(
        draw(st.floats(0, 1)), draw(st.floats(0, 1)), draw(st.integers(1, 20)), draw(st.booleans())
    )
    return outputs, meta(task, layout), Geometry.fit(source, SIZE), thresholds


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_output())
def test_results_are_sound_whatever_a_model_puts_out(
    case: tuple[list[np.ndarray], ModelMeta, Geometry, Thresholds],
) -> None:
    outputs, model, geometry, thresholds = case
    before = [output.copy() for output in outputs]
    found = decode(outputs, model, geometry, thresholds)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, outputs))
    n = len(found)
    assert found.boxes.shape == (n, 4) and found.boxes.dtype == np.float32
    assert found.scores.dtype == np.float32 and found.classes.dtype == np.int32
    assert n <= thresholds.max_detections
    assert np.isfinite(found.boxes).all()
    assert (found.scores > np.float16(thresholds.confidence) - 1e-3).all()
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.classes >= 0) & (found.classes < len(NAMES))).all()
    height, width = geometry.source
    if model.task == "obb":
        assert found.rotated is not None and found.rotated.shape == (n, 5)
        theta = found.rotated[:, 4]
        assert ((theta >= np.float32(-math.pi / 4)) & (theta < np.float32(3 * math.pi / 4))).all()
    else:
        assert (found.boxes >= 0).all() and (found.boxes <= (width, height, width, height)).all()
    if model.task == "segment":
        assert found.masks is not None and found.masks.shape == (height, width)
        assert found.masks.dtype == np.uint16 and found.masks.max(initial=0) <= n
        for index in range(n):
            ys, xs = np.nonzero(found.masks == index + 1)
            x1, y1, x2, y2 = found.boxes[index]
            assert ((xs >= x1) & (xs < x2) & (ys >= y1) & (ys < y2)).all()
    if model.task == "pose":
        assert found.keypoints is not None and found.keypoints.shape == (n, 2, 3)
        assert (found.keypoints[..., :2] >= 0).all()
        assert (found.keypoints[..., :2] <= (width, height)).all()


def overlap(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / total if total > 0 else 0.0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.booleans())
def test_no_two_kept_boxes_of_a_class_overlap_more_than_iou_and_every_lost_one_did(
    seed: int, iou: float, agnostic: bool
) -> None:
    rng = np.random.default_rng(seed)
    columns = np.concatenate(
        (rng.uniform(20, 60, (30, 2)), rng.uniform(4, 30, (30, 2)), rng.random((30, 3))), axis=1
    )
    found = decode(
        [columns.T[None].astype(np.float32)],
        meta("detect", "dense"),
        Geometry.fit((128, 192), (128, 192)),
        Thresholds(0.3, iou, 300, agnostic),
    )
    kept = list(zip(found.boxes.tolist(), found.classes.tolist(), found.scores.tolist()))
    for i, (box, label, _) in enumerate(kept):
        for other, other_label, _ in kept[i + 1 :]:
            if agnostic or label == other_label:
                assert overlap(box, other) <= iou + 1e-3
    for cx, cy, w, h, *scores in columns:
        if max(scores) <= 0.3:
            continue
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        assert any(
            (agnostic or label == int(np.argmax(scores)))
            and (score >= max(scores) - 1e-6)
            and overlap(box, other) > iou - 1e-3
            or np.allclose(box, other, atol=1e-3)
            for other, label, score in kept
        )


def test_rows_of_the_nms_free_layout_are_final() -> None:
    twice = [10.0, 10.0, 40.0, 30.0, 0.9, 1.0], [10.0, 10.0, 40.0, 30.0, 0.8, 1.0]
    found = decode([end2end_rows(*twice)], meta("detect"), same_size())
    assert len(found) == 2
    assert found.boxes.tolist() == [[10.0, 10.0, 40.0, 30.0]] * 2
    assert found.classes.tolist() == [1, 1]


def test_the_dense_layout_keeps_the_best_of_a_cluster_a_class() -> None:
    output = dense(
        [25, 20, 30, 20, 0.1, 0.6, 0.1],
        [26, 20, 30, 20, 0.1, 0.9, 0.1],
        [25, 20, 30, 20, 0.7, 0.1, 0.1],
    )
    found = decode([output], meta("detect", "dense"), same_size())
    assert found.classes.tolist() == [1, 0]
    assert found.boxes.tolist() == [[11.0, 10.0, 41.0, 30.0], [10.0, 10.0, 40.0, 30.0]]
    agnostic = decode([output], meta("detect", "dense"), same_size(), Thresholds(class_agnostic=True))
    assert agnostic.classes.tolist() == [1]


def test_the_threshold_is_exclusive() -> None:
    output = end2end_rows([0, 0, 9, 9, 0.5, 0], [0, 0, 9, 9, 0.25, 0])
    assert len(decode([output], meta("detect"), same_size(), Thresholds(confidence=0.25))) == 1


def test_a_row_that_is_not_finite_or_of_no_class_is_left_out() -> None:
    output = end2end_rows(
        [0, 0, np.inf, 9, 0.9, 0], [0, 0, 9, 9, 0.8, 3], [0, 0, 9, 9, 0.7, -1], [0, 0, 9, 9, 0.6, 2]
    )
    assert decode([output], meta("detect"), same_size()).classes.tolist() == [2]


def test_a_rotated_box_is_turned_into_range_without_changing_its_rectangle() -> None:
    output = end2end_rows([48, 32, 30, 10, 0.9, 0, -1.0])
    found = decode([output], meta("obb"), same_size())
    assert found.rotated is not None
    assert np.allclose(found.rotated[0], [48, 32, 30, 10, math.pi - 1.0])
    # The box around it: half sizes w/2 |cos| + h/2 |sin|.
    half_x = 15 * math.cos(1.0) + 5 * math.sin(1.0)
    assert np.allclose(found.boxes[0, 0::2], [48 - half_x, 48 + half_x], atol=1e-4)


def test_rotated_candidates_suppress_by_their_rotated_overlap() -> None:
    # Two thin crossing boxes barely overlap, though the boxes around them are the same.
    crossing = dense([48, 32, 40, 4, 0.9, 0, 0, 0.785], [48, 32, 40, 4, 0.8, 0, 0, -0.785])
    assert len(decode([crossing], meta("obb", "dense"), same_size(), Thresholds(iou=0.5))) == 2
    parallel = dense([48, 32, 40, 8, 0.9, 0, 0, 0.785], [49, 32, 40, 8, 0.8, 0, 0, 0.785])
    assert len(decode([parallel], meta("obb", "dense"), same_size(), Thresholds(iou=0.5))) == 1


def test_keypoints_without_visibility_count_as_visible() -> None:
    output = end2end_rows([0, 0, 50, 50, 0.9, 0, 10, 11, 20, 21])
    found = decode([output], meta("pose", kpt_shape=(2, 2)), same_size())
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[10, 11, 1], [20, 21, 1]]]


def segmented(*rows: list[float], source: tuple[int, int] = SIZE) -> Detections:
    """Decode rows over two prototypes: plane 0 positive everywhere, plane 1 positive in the left half."""
    planes = np.ones((1, 2, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    planes[0, 1, :, 12:] = -1.0
    model = ModelMeta("segment", NAMES, SIZE, "end2end")
    return decode([end2end_rows(*rows), planes], model, Geometry.fit(source, SIZE))


def test_a_mask_fills_its_box_and_no_more() -> None:
    found = segmented([8, 8, 24.5, 20, 0.9, 0, 1, 0])
    assert found.masks is not None
    expected = np.zeros(SIZE, np.uint16)
    expected[8:20, 8:25] = 1  # pixels whose index is in [8, 24.5)
    assert np.array_equal(found.masks, expected)


def test_where_masks_overlap_the_higher_score_is_on_top() -> None:
    found = segmented([0, 0, 40, 40, 0.9, 0, 1, 0], [20, 20, 60, 60, 0.8, 1, 1, 0])
    assert found.masks is not None
    assert found.masks[30, 30] == 1 and found.masks[50, 50] == 2 and found.masks[50, 10] == 0


def test_an_instance_without_a_pixel_is_none_and_ids_stay_dense() -> None:
    found = segmented([60, 0, 90, 40, 0.9, 0, 0, 1], [60, 0, 90, 40, 0.8, 1, 1, 0])
    assert found.classes.tolist() == [1]
    assert found.masks is not None and set(np.unique(found.masks)) == {0, 1}


@pytest.mark.parametrize("source", [(64, 96), (480, 640), (37, 211), (300, 40)])
def test_a_mask_is_cut_at_the_same_place_in_an_image_of_any_size(source: tuple[int, int]) -> None:
    found = segmented([0, 0, 96, 64, 0.9, 0, 0, 1], source=source)
    geometry = Geometry.fit(source, SIZE)
    middle = (48 - geometry.left) / geometry.gain_x
    assert found.masks is not None
    inside = found.masks == 1
    columns = np.arange(source[1]) + 0.5
    tolerance = 2.5 / geometry.gain_x
    assert inside[:, columns < middle - tolerance].all()
    assert not inside[:, columns > middle + tolerance].any()


def test_no_instance_gives_an_empty_mask_image() -> None:
    found = segmented([0, 0, 9, 9, 0.1, 0, 1, 0], source=(30, 40))
    assert len(found) == 0 and found.masks is not None
    assert found.masks.shape == (30, 40) and not found.masks.any()


def test_a_classifier_gives_probabilities_and_no_instances() -> None:
    found = decode([np.array([[0.2, 0.7, 0.1]], np.float16)], meta("classify"), same_size())
    assert len(found) == 0 and found.probabilities is not None
    assert found.probabilities.dtype == np.float32
    assert np.allclose(found.probabilities, [0.2, 0.7, 0.1], atol=1e-3)


@pytest.mark.parametrize(
    ("task", "layout", "shapes", "problem"),
    [
        ("detect", "end2end", [(1, 300, 6)], None),
        ("detect", "dense", [(1, 7, 2100)], None),
        ("segment", "end2end", [(1, 300, 38), (1, 32, 16, 24)], None),
        ("segment", "dense", [(1, 39, 2100), (1, 32, 16, 24)], None),
        ("pose", "end2end", [(1, 300, 12)], None),
        ("obb", "dense", [(1, 8, 2100)], None),
        ("classify", "dense", [(1, 3)], None),
        ("detect", "end2end", [(1, 7, 2100)], "needs \\[1, detections, 6\\]"),
        ("detect", "dense", [(1, 84, 2100)], "3 class names need \\[1, 7, anchors\\]"),
        ("detect", "end2end", [(2, 300, 6)], "needs \\[1, detections, 6\\]"),
        ("segment", "end2end", [(1, 300, 38)], "has 2"),
        ("segment", "end2end", [(1, 300, 38), (1, 32)], "prototypes"),
        ("pose", "end2end", [(1, 300, 57)], "needs \\[1, detections, 12\\]"),
        ("classify", "dense", [(1, 1000)], "3 class names need"),
    ],
)
def test_outputs_that_do_not_fit_the_metadata_are_named(
    task: str, layout: str, shapes: list[tuple[int, ...]], problem: str | None
) -> None:
    found = check_outputs(shapes, meta(task, layout))
    if problem is None:
        assert found is None
    else:
        import re

        assert found is not None and re.search(problem, found), found
