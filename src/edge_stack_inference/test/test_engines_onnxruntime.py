# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the ONNX Runtime engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_stack_inference.engines import ModelError
from edge_stack_inference.engines.onnxruntime import OnnxEngine
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx

TENSOR = np.zeros((1, 3, 64, 96), np.float32)


def opened(path: Path, threads: int = 1, **options: object) -> OnnxEngine:
    write_toy_onnx(path, [end2end_rows([1, 2, 3, 4, 0.5, 0])], metadata_of("detect", ["a"]), **options)  # type: ignore[arg-type]
    engine = OnnxEngine()
    engine.open(path, threads)
    return engine


def test_metadata_and_input_shape_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_toy_onnx(tmp_path / "m.onnx", [end2end_rows()], metadata_of("detect", ["a"]))
    metadata = OnnxEngine().open(path, 1)
    assert metadata["task"] == "detect" and metadata["names"] == "{0: 'a'}"
    assert metadata["input_shape"] == (1, 3, 64, 96)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_as_many_as_asked_and_do_not_spin(tmp_path: Path, threads: int) -> None:
    options = opened(tmp_path / "m.onnx", threads)._session.get_session_options()
    assert options.intra_op_num_threads == threads
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"


def test_outputs_are_those_of_the_model(tmp_path: Path) -> None:
    (output,) = opened(tmp_path / "m.onnx").run(TENSOR)
    assert np.array_equal(output, end2end_rows([1, 2, 3, 4, 0.5, 0]))


def test_a_half_precision_input_is_fed_half_precision(tmp_path: Path) -> None:
    (output,) = opened(tmp_path / "m.onnx", input_dtype=np.float16).run(TENSOR)
    assert output.shape == (1, 10, 6)


def test_a_closed_engine_holds_nothing(tmp_path: Path) -> None:
    engine = opened(tmp_path / "m.onnx")
    engine.close()
    engine.close()
    assert engine._session is None


def test_a_model_with_an_input_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx", [end2end_rows()], metadata_of("detect", ["a"]), input_shape=(1, 16)
    )
    with pytest.raises(ModelError, match=r"one float image \[1, 3, height, width\] is needed"):
        OnnxEngine().open(path, 1)
