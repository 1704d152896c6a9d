# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Exports checkpoints to ONNX and measures the exported files on held-out scenes.

Its unit of work is one file. Metrics are ultralytics' own, computed on what the ONNX file puts out in ONNX
Runtime, so half precision and the fixed input size are part of the result. It never trains.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_stack_ultralytics.recipes import IMAGE_SIZE

OPSET = 17


def export_onnx(
    checkpoint: Path, target: Path, end2end: bool = True, size: tuple[int, int] = IMAGE_SIZE
) -> Path:
    """Export a checkpoint in half precision (inputs and outputs stay float32).

    Args:
        checkpoint: a .pt file.
        target: where the .onnx goes.
        end2end: the NMS-free layout; otherwise the dense one. Without meaning for classify.
        size: (height, width) of the input.
    """
    from ultralytics import YOLO

    model = YOLO(str(checkpoint))
    layout = {} if model.task == "classify" else {"nms": False if end2end else None}
    exported = model.export(
        format="onnx", imgsz=list(size), quantize=16, opset=OPSET, simplify=True, device="cpu", **layout
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(exported, target)
    _anonymise(target)
    return target


def _anonymise(path: Path) -> None:
    """Take folders of the training machine and the time of day out of the metadata."""
    import onnx

    model = onnx.load(path)
    for item in model.metadata_props:
        if item.key == "description":
            item.value = "Ultralytics YOLO26 at a small scale, trained on rendered scenes of edge_stack_sim"
        if item.key == "date":
            item.value = item.value.split("T")[0]
    onnx.save(model, path)


def measure(task: str, model: Path, data: Path, split: str = "test") -> dict[str, Any]:
    """Metrics of an ONNX file on a split: `map50` (of masks, keypoints ... as the task says), or `top1`."""
    from ultralytics import YOLO

    if task == "classify":
        return _measure_classify(model, data / "classify" / split)
    with tempfile.TemporaryDirectory() as folder:
        result = YOLO(str(model), task=task).val(
            data=str(data / f"{task}.yaml"),
            split=split,
            plots=False,
            workers=0,
            device="cpu",
            verbose=False,
            project=folder,
            name=task,
            exist_ok=True,
        )
    part = {"segment": "seg", "pose": "pose"}.get(task, "box")
    metric = getattr(result, part)
    found: dict[str, Any] = {
        "map50": round(float(metric.map50), 4),
        "map50_95": round(float(metric.map), 4),
        "map50_by_class": {
            result.names[int(index)]: round(float(value), 4)
            for index, value in zip(metric.ap_class_index, metric.ap50, strict=True)
        },
    }
    if part != "box":
        found["box_map50"] = round(float(result.box.map50), 4)
    found["images"] = len(list((data / task / "images" / split).glob("*.png")))
    return found


def _measure_classify(model: Path, folder: Path) -> dict[str, Any]:
    from ultralytics import YOLO

    network = YOLO(str(model), task="classify")
    right: dict[str, list[bool]] = {}
    for state in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        for image in sorted((folder / state).glob("*.png")):
            result = network.predict(str(image), device="cpu", verbose=False)[0]
            right.setdefault(state, []).append(result.names[int(result.probs.top1)] == state)
    every = [value for values in right.values() for value in values]
    return {
        "top1": round(float(np.mean(every)), 4),
        "top1_by_class": {state: round(float(np.mean(values)), 4) for state, values in right.items()},
        "images": len(every),
    }


def milliseconds(model: Path, rounds: int = 5, runs: int = 60) -> float:
    """Time of one inference in ONNX Runtime on one thread, ms: the least of the medians of some rounds.

    The least, because other work on the machine only ever adds to it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    tensor = np.random.default_rng(0).random(source.shape, dtype=np.float32)
    medians = []
    for _ in range(rounds):
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            session.run(None, {source.name: tensor})
            times.append(time.perf_counter() - started)
        medians.append(float(np.median(times)))
    return round(min(medians) * 1e3, 2)
