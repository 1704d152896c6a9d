# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""The engine "pt" yields what the ONNX export of the same checkpoint yields. Needs ultralytics and torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_inference.engines.base import ModelError
from edge_stack_ultralytics.engine import PtEngine

WITHOUT = [name for name in ("ultralytics", "torch", "onnx") if importlib.util.find_spec(name) is None]
needs_ultralytics = pytest.mark.skipif(bool(WITHOUT), reason=f"not installed: {', '.join(WITHOUT)}")
SIZE = 64


def checkpoint(task: str, folder: Path) -> Path:
    """An untrained model as a checkpoint, its layers scaled so that anchors differ."""
    from edge_stack_ultralytics import offline

    offline.prepare()
    import torch
    from ultralytics import YOLO

    from edge_stack_ultralytics.train import model_yaml

    torch.manual_seed(0)
    model: Any = YOLO(str(model_yaml(task, folder)), task=task)
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, 0.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.5)
        elif (
            isinstance(module, torch.nn.Conv2d) and module.bias is not None
        ):  # the last layer of every branch
            torch.nn.init.normal_(module.weight, 0.0, 0.5)
            torch.nn.init.normal_(module.bias, 0.0, 1.0)
    model.model.args = {"imgsz": SIZE}
    path = folder / f"{task}.pt"
    torch.save({"model": model.model, "train_args": {"imgsz": SIZE, "task": task}}, path)
    return path


@needs_ultralytics
@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify"])
def test_outputs_equal_those_of_the_onnx_export(task: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from ultralytics import YOLO

    path = checkpoint(task, tmp_path)
    engine = PtEngine()
    found = engine.open(path, 1)
    tensor = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
    outputs = engine.run(tensor)
    options = {} if task == "classify" else {"nms": False}
    exported = YOLO(str(path)).export(format="onnx", imgsz=SIZE, device="cpu", simplify=False, **options)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"images": tensor})
    assert [output.shape for output in outputs] == [output.shape for output in expected]
    for output, other in zip(outputs, expected, strict=True):
        if output.ndim != 3:
            np.testing.assert_allclose(output, other, rtol=1e-3, atol=1e-3)
            continue
        # Rows are in order of score, and scores of an untrained model may be equal but for rounding.
        np.testing.assert_allclose(output[0, :, 4], other[0, :, 4], atol=1e-3)
        apart = np.abs(output[0, :, None] - other[0]).max(axis=2)
        assert apart.min(axis=1).max() < 0.02
        assert apart.min(axis=0).max() < 0.02
    about = session.get_modelmeta().custom_metadata_map
    assert found["task"] == about["task"] == task
    assert str(found["names"]) == about["names"]
    assert found["input_shape"] == (1, 3, SIZE, SIZE)


@needs_ultralytics
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"broken\.pt"):
        PtEngine().open(path, 1)


@pytest.mark.skipif("ultralytics" not in WITHOUT, reason="ultralytics is installed")
def test_without_ultralytics_the_refusal_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.touch()
    with pytest.raises(ModelError, match="ultralytics"):
        PtEngine().open(path, 1)


def test_running_before_opening_is_an_error() -> None:
    with pytest.raises((RuntimeError, ImportError)):
        PtEngine().run(np.zeros((1, 3, SIZE, SIZE), np.float32))
