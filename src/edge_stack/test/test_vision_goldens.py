# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Compares VisionModel, for every task and layout, with what Ultralytics' own predictor said about the same images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_stack.vision.model import VisionModel
from edge_stack.vision.types import TASKS, Detections

GOLDENS = Path(__file__).parent / "data" / "goldens"
ULTRALYTICS = Path(__file__).parents[2] / "edge_stack_ultralytics"
MODELS = {
    "end2end": ULTRALYTICS / "edge_stack_ultralytics" / "weights",
    "dense": ULTRALYTICS / "test" / "data" / "dense",
}
CASES = [(task, "end2end") for task in TASKS] + [(task, "dense") for task in TASKS if task != "classify"]
# Scores and pixels: float32 rounding of another build of the runtime, no more.
SCORE_TOLERANCE = 1e-4
PIXEL_TOLERANCE = 0.02


def read(name: str) -> np.ndarray:
    image = cv2.imread(str(GOLDENS / name))
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, VisionModel, dict[str, dict[str, Any]]]:
    task, layout = request.param
    table: dict[str, dict[str, Any]] = {}
    with np.load(GOLDENS / f"{task}_{layout}.npz") as arrays:
        for key in arrays.files:
            image, _, name = key.partition("/")
            table.setdefault(image, {})[name] = arrays[key]
    model = VisionModel.open(MODELS[layout] / f"{task}.onnx", task)
    assert model.meta.layout == layout or task == "classify"
    return task, model, table


def test_results_are_those_of_ultralytics(case: tuple[str, VisionModel, dict[str, dict[str, Any]]]) -> None:
    task, model, table = case
    assert len(table) >= 6
    for image, golden in table.items():
        found, _ = model(read(image), float(golden["conf"]), float(golden["iou"]), int(golden["max_det"]))
        compare(found, golden, task)


def test_the_images_hold_something_to_compare(
    case: tuple[str, VisionModel, dict[str, dict[str, Any]]],
) -> None:
    task, _, table = case
    if task == "classify":
        assert all("probabilities" in golden for golden in table.values())
    else:
        assert sum(len(golden["scores"]) for golden in table.values()) >= 10
