# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of how an engine is chosen for a file, and of engines that other packages add."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import edge_stack_core.plugins
from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.engines import ModelError, create_engine, engine_names, registry


class OtherEngine:
    name = "other"
    suffixes = (".other",)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points = [
        point("openvino", "edge_stack_inference.engines.openvino:OpenVinoEngine"),
        point("onnxruntime", "edge_stack_inference.engines.onnxruntime:OnnxEngine"),
    ]

    def entry_points(group: str) -> Sequence[Any]:
        assert group == registry.GROUP
        return points

    monkeypatch.setattr(edge_stack_core.plugins, "entry_points", entry_points)
    return points


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def touched(path: Path) -> Path:
    path.touch()
    return path


def refusal(path: Path, name: str = "auto") -> str:
    with pytest.raises(ModelError) as caught:
        create_engine(path, name)
    return str(caught.value)


def test_onnx_files_go_to_onnx_runtime(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    assert create_engine(touched(tmp_path / "m.ONNX")).name == "onnxruntime"


def test_openvino_exports_go_to_openvino_and_onnx_files_when_asked(
    tmp_path: Path, plugins: list[EntryPoint]
) -> None:
    folder = tmp_path / "m_openvino_model"
    folder.mkdir()
    assert create_engine(folder).name == "openvino"
    assert create_engine(touched(tmp_path / "m.xml")).name == "openvino"
    assert create_engine(touched(tmp_path / "m.onnx"), "openvino").name == "openvino"


def test_another_package_adds_an_engine_by_entry_point(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    plugins.append(point("other", f"{__name__}:OtherEngine"))
    assert engine_names() == ("onnxruntime", "openvino", "other")
    assert create_engine(touched(tmp_path / "m.other")).name == "other"
    assert create_engine(touched(tmp_path / "m.other"), "other").name == "other"


def test_ours_is_taken_where_another_package_has_one_of_the_same_name(
    tmp_path: Path, plugins: list[EntryPoint]
) -> None:
    plugins.insert(0, point("onnxruntime", f"{__name__}:OtherEngine"))
    assert create_engine(touched(tmp_path / "m.onnx"), "onnxruntime").name == "onnxruntime"
    assert engine_names() == ("onnxruntime", "openvino")


def test_where_nothing_of_ours_is_installed_the_remedy_is_named(
    tmp_path: Path, plugins: list[EntryPoint]
) -> None:
    del plugins[:]
    with pytest.raises(ConfigurationError, match=r"\./edge build"):
        create_engine(touched(tmp_path / "m.onnx"))


def test_the_built_workspace_offers_all_of_ours() -> None:
    assert engine_names()[:2] == ("onnxruntime", "openvino")


def test_an_engine_that_does_not_load_is_named_with_its_reason(
    tmp_path: Path, plugins: list[EntryPoint]
) -> None:
    plugins.append(point("broken", "no_such_module_anywhere:Engine"))
    assert "no_such_module_anywhere" in refusal(touched(tmp_path / "m.other"))
    assert create_engine(touched(tmp_path / "m.onnx")).name == "onnxruntime"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "m.onnx") == f"{tmp_path / 'm.onnx'}: no such file"


def test_an_engine_file_says_that_it_needs_tensorrt(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    text = refusal(touched(tmp_path / "m.engine"))
    assert "needs TensorRT" in text and ".onnx" in text


def test_a_pt_file_says_which_package_it_needs(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    assert "edge_stack_ultralytics" in refusal(touched(tmp_path / "m.pt"))


def test_any_other_file_is_no_model(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    assert "not a model file" in refusal(touched(tmp_path / "m.txt"))


def test_an_unknown_engine_is_refused_with_those_that_are_known(
    tmp_path: Path, plugins: list[EntryPoint]
) -> None:
    text = refusal(touched(tmp_path / "m.onnx"), "tensorflow")
    assert "'tensorflow' is not known; one of auto, onnxruntime, openvino" in text


def test_an_engine_refuses_a_file_that_it_does_not_open(tmp_path: Path, plugins: list[EntryPoint]) -> None:
    assert "engine onnxruntime opens .onnx only" in refusal(touched(tmp_path / "m.xml"), "onnxruntime")
