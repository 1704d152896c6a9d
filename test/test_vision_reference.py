# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Compares preparation and decoding with Ultralytics itself, run beside them; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from golden_comparison import compare

from edge_stack_perception.vision.decode import Thresholds, decode
from edge_stack_perception.vision.letterbox import Geometry
from edge_stack_perception.vision.model import VisionModel
from edge_stack_perception.vision.types import TASKS, ModelMeta

GOLDENS = Path(__file__).parent / "data" / "goldens"
SIZES = ((240, 320), (480, 641), (150, 200), (300, 300), (400, 120), (37, 53))

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ultralytics", "edge_stack_ultralytics")),
    reason="ultralytics or edge_stack_ultralytics is not installed",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write the goldens' scenes in sizes that leave every kind of padding."""
    folder = tmp_path_factory.mktemp("images")
    found = []
    for scene in sorted(GOLDENS.glob("scene_*.png")):
        for height, width in SIZES:
            path = folder / f"{scene.stem}_{height}x{width}.png"
            cv2.imwrite(str(path), cv2.resize(cv2.imread(str(scene)), (width, height)))
            found.append(path)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_an_image_of_any_size_gives_what_ultralytics_predicts(task: str, images: list[Path]) -> None:
    from edge_stack_ultralytics import goldens, offline, weights_folder

    offline.prepare()
    path = weights_folder() / f"{task}.onnx"
    reference = goldens.predict(path, task, images)
    model = VisionModel.open(path, task)
    for image in images:
        prefix = f"{image.name}/"
        golden = {key[len(prefix) :]: value for key, value in reference.items() if key.startswith(prefix)}
        rgb = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
        found, _ = model(rgb, float(golden["conf"]), float(golden["iou"]), int(golden["max_det"]))
        compare(found, golden, model.meta, strictness=100.0)


def clusters(rng: np.random.Generator, classes: int, extra: int) -> np.ndarray:
    """Return a dense output [4 + classes + extra, A]: boxes around a few objects, every score another."""
    # Not fewer than 7: Ultralytics takes an output with a last side of 6 for the NMS-free layout.
    anchors, objects = int(rng.integers(7, 2000)), int(rng.integers(1, 30))
    of = rng.integers(0, objects, anchors)
    output = np.empty((4 + classes + extra, anchors), np.float32)
    output[:2] = rng.uniform(0, 640, (2, objects))[:, of] + rng.normal(0, 12, (2, anchors))
    output[2:4] = rng.uniform(10, 150, (2, objects))[:, of] * rng.uniform(0.7, 1.3, (2, anchors))
    # Among equal scores Ultralytics' order is arbitrary, so there are none.
    scores = np.linspace(0.001, 0.999, classes * anchors, dtype=np.float32) ** 4
    output[4 : 4 + classes] = rng.permutation(scores).reshape(classes, anchors)
    output[4 + classes :] = rng.normal(0, 1, (extra, anchors))
    return output


@pytest.mark.parametrize("task", ["detect", "obb"])
def test_suppression_keeps_what_ultralytics_keeps(task: str) -> None:
    from edge_stack_ultralytics import offline

    offline.prepare()
    import torch
    from ultralytics.utils.nms import non_max_suppression

    rng = np.random.default_rng(5)
    for _ in range(60):
        classes = int(rng.integers(1, 20))
        output = clusters(rng, classes, extra=1 if task == "obb" else 0)
        thresholds = Thresholds(
            float(rng.uniform(0.01, 0.6)),
            float(rng.uniform(0.1, 0.9)),
            int(rng.integers(1, 300)),
            bool(rng.integers(2)),
        )
        reference: Any = non_max_suppression(
            torch.from_numpy(output[None].copy()),
            thresholds.confidence,
            thresholds.iou,
            agnostic=thresholds.class_agnostic,
            max_det=thresholds.max_detections,
            nc=classes,
            rotated=task == "obb",
        )[0].numpy()
        meta = ModelMeta(task, tuple(map(str, range(classes))), (640, 640), "dense")
        found = decode([output[None]], meta, Geometry.fit((640, 640), (640, 640)), thresholds)
        assert np.array_equal(found.scores, reference[:, 4])
        assert np.array_equal(found.classes, reference[:, 5].astype(np.int32))
        if task == "obb":
            assert found.rotated is not None
            assert np.array_equal(found.rotated[:, :4], reference[:, :4])
        else:
            assert np.array_equal(found.boxes, np.clip(reference[:, :4], 0, 640))
