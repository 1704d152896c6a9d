# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""The committed weights: what they say about themselves, how well they do, and that the card is about these files."""

from __future__ import annotations

import ast
import hashlib
import json
from typing import Any

import pytest

from edge_stack_ultralytics import TASKS, card, weights_folder
from edge_stack_ultralytics.recipes import IMAGE_SIZE, METRIC_NAMES, THRESHOLDS

CLASSES = ("red_cube", "green_cube", "blue_cube", "yellow_cylinder", "mark", "gripper", "hand")
NAMES = {
    "detect": CLASSES,
    "segment": CLASSES,
    "obb": CLASSES[:4],
    "pose": ("arm",),
    "classify": ("mark_free", "mark_hidden", "mark_occupied"),
}
TOTAL_BYTES = 6_500_000


def metrics() -> dict[str, Any]:
    return json.loads((weights_folder() / "metrics.json").read_text())


def metadata(task: str) -> dict[str, str]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(
        str(weights_folder() / f"{task}.onnx"), providers=["CPUExecutionProvider"]
    )
    return session.get_modelmeta().custom_metadata_map


@pytest.mark.parametrize("task", TASKS)
def test_a_model_reaches_its_threshold_on_held_out_scenes(task: str) -> None:
    entry = metrics()[task]
    assert entry["metric"] == METRIC_NAMES[task]
    assert entry["value"] >= THRESHOLDS[task]
    assert entry["images"] >= 300


@pytest.mark.parametrize("task", TASKS)
def test_the_metrics_are_of_the_committed_file(task: str) -> None:
    content = (weights_folder() / f"{task}.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == metrics()[task]["sha256"]
    assert len(content) == metrics()[task]["bytes"]


@pytest.mark.parametrize("task", TASKS)
def test_a_model_says_its_task_names_and_size(task: str) -> None:
    found = metadata(task)
    assert found["task"] == task
    names = ast.literal_eval(found["names"])
    assert tuple(names[index] for index in range(len(names))) == NAMES[task]
    assert tuple(ast.literal_eval(found["imgsz"])) == IMAGE_SIZE
    if task != "classify":
        assert found["end2end"] == "True"
    if task == "pose":
        assert ast.literal_eval(found["kpt_shape"]) == [5, 3]


@pytest.mark.parametrize("task", TASKS)
def test_a_model_names_its_licence_and_no_folder_of_the_training_machine(task: str) -> None:
    found = metadata(task)
    assert "AGPL-3.0" in found["license"]
    assert "/" not in found["description"]


def test_all_models_together_are_small() -> None:
    assert sum((weights_folder() / f"{task}.onnx").stat().st_size for task in TASKS) < TOTAL_BYTES


def test_the_model_card_has_the_metrics() -> None:
    assert card.table(metrics()) in (weights_folder() / "README.md").read_text()
