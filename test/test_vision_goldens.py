# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Compares VisionModel, for every task and layout, with what Ultralytics' own predictor said about the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from golden_comparison import compare

from edge_stack_perception.vision.model import VisionModel
from edge_stack_perception.vision.types import TASKS

GOLDENS = Path(__file__).parent / "data" / "goldens"
ULTRALYTICS = Path(__file__).parents[1] / "src" / "edge_stack_ultralytics"
MODELS = {
    "end2end": ULTRALYTICS / "edge_stack_ultralytics" / "weights",
    "dense": ULTRALYTICS / "test" / "data" / "dense",
}
CASES = [(task, "end2end") for task in TASKS] + [(task, "dense") for task in TASKS if task != "classify"]


def read(name: str) -> np.ndarray:
    image = cv2.imread(str(GOLDENS / name))
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
    _, model, table = case
    assert len(table) >= 6
    for image, golden in table.items():
        found, _ = model(read(image), float(golden["conf"]), float(golden["iou"]), int(golden["max_det"]))
        compare(found, golden, model.meta)


def test_the_images_hold_something_to_compare(
    case: tuple[str, VisionModel, dict[str, dict[str, Any]]],
) -> None:
    task, _, table = case
    if task == "classify":
        assert all("probabilities" in golden for golden in table.values())
    else:
        assert sum(len(golden["scores"]) for golden in table.values()) >= 6
