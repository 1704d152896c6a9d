# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the OpenVINO engine; those that run a model are skipped where OpenVINO is not installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_stack_inference.engines import ModelError
from edge_stack_inference.engines.openvino import OpenVinoEngine
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx
from edge_stack_perception.vision.model import VisionModel

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)


def toy(path: Path) -> Path:
    return write_toy_onnx(path, [end2end_rows([10, 20, 30, 40, 0.9, 0])], metadata_of("detect", ["a"]))


def test_without_openvino_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match="pip install openvino"):
        OpenVinoEngine().open(toy(tmp_path / "m.onnx"), 1)


@needs_openvino
def test_an_onnx_file_gives_the_same_results(tmp_path: Path) -> None:
    model = VisionModel.open(toy(tmp_path / "m.onnx"), "detect", "openvino")
    assert model.meta.imgsz == (64, 96) and model.meta.names == ("a",)
    found, _ = model(np.zeros((128, 192, 3), np.uint8))
    assert np.allclose(found.boxes, [[20, 40, 60, 80]], atol=0.5)


@needs_openvino
def test_an_export_folder_opens_with_the_metadata_beside_it(tmp_path: Path) -> None:
    import openvino

    folder = tmp_path / "m_openvino_model"
    folder.mkdir()
    openvino.save_model(openvino.Core().read_model(str(toy(tmp_path / "m.onnx"))), folder / "m.xml")
    (folder / "metadata.yaml").write_text(
        "task: detect\nnames: {0: beside}\nimgsz: [64, 96]\nend2end: true\n", encoding="utf-8"
    )
    assert VisionModel.open(folder, "detect").meta.names == ("beside",)
    assert VisionModel.open(folder / "m.xml", "detect").meta.names == ("beside",)
    (folder / "metadata.yaml").write_text("[", encoding="utf-8")
    with pytest.raises(ModelError, match="metadata.yaml: cannot be read"):
        VisionModel.open(folder, "detect")


@needs_openvino
def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    path.write_text("<a/>", encoding="utf-8")
    with pytest.raises(ModelError, match=r"m\.xml: not a loadable model"):
        OpenVinoEngine().open(path, 1)


@needs_openvino
def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds 0 \.xml files"):
        OpenVinoEngine().open(tmp_path, 1)
