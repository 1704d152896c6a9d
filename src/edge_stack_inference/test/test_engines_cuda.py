# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Vision models on a GPU by configuration; ordinary memory and ONNX Runtime's CPU provider stand for the GPU."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.cuda import CudaUnavailable, open_onnx
from edge_stack_inference.engines import ModelError, create_engine, cuda
from edge_stack_inference.splitting import Admissions
from edge_stack_inference.splitting.build import open_session
from edge_stack_inference.testing.host_device import HostDevice
from edge_stack_inference.testing.toy_onnx import write_toy_onnx

OUTPUTS = [np.arange(12, dtype=np.float32).reshape(1, 2, 6)]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> HostDevice:
    """Take the GPU's place."""
    device = HostDevice(in_order=False)
    monkeypatch.setattr(cuda, "open_device", lambda name: device)
    here = functools.partial(open_onnx, open_session=lambda path, *_: (open_session(path, 1), ""))
    monkeypatch.setattr(cuda, "open_onnx", here)
    return device


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy_onnx(tmp_path / "toy.onnx", OUTPUTS, {"task": "detect"})


def test_a_device_that_is_none_is_refused_with_the_known_ones(toy: Path):
    with pytest.raises(ConfigurationError, match="device: 'gpu' is not one of cpu, cuda, cuda:N"):
        create_engine(toy, "auto", "gpu")


def test_a_model_on_cuda_runs_at_low_priority_and_frees_all(toy: Path, host: HostDevice):
    runner = create_engine(toy, "auto", "cuda:0")
    metadata = runner.open(toy, 1)
    assert (metadata["task"], metadata["input_shape"]) == ("detect", (1, 3, 64, 96))
    assert [stream.priority for stream in host.streams] == [0]
    np.testing.assert_array_equal(runner.run(np.zeros((1, 3, 64, 96), np.float32))[0], OUTPUTS[0])
    runner.close()
    runner.close()
    assert host.is_empty


def test_half_precision_is_fed_half_precision(tmp_path: Path, host: HostDevice):
    path = write_toy_onnx(tmp_path / "half.onnx", OUTPUTS, {}, input_dtype=np.float16)
    runner = create_engine(path, "onnxruntime", "cuda:0")
    runner.open(path, 1)
    np.testing.assert_array_equal(runner.run(np.zeros((1, 3, 64, 96), np.float32))[0], OUTPUTS[0])


def test_slices_are_admitted_one_by_one(tmp_path: Path, host: HostDevice):
    pytest.importorskip("onnx")
    from test_splitting_models import write_model

    asked: list[Any] = []

    class Asked(Admissions):
        def of(self, key: Any) -> Any:
            asked.append(key)
            return super().of(key)

    path = write_model(tmp_path / "net.onnx")
    runner = cuda.CudaEngine("cuda:0", 0.05, Asked())
    runner.open(path, 1)
    asked.clear()
    runner.run(np.zeros((1, 3, 64, 64), np.float32))
    assert asked == list(range(len(runner.plan.slices)))
    assert len(asked) > 1


def test_a_model_that_takes_no_image_is_refused_and_freed(tmp_path: Path, host: HostDevice):
    path = write_toy_onnx(tmp_path / "flat.onnx", OUTPUTS, {}, (1, 64))
    with pytest.raises(ModelError, match=r"flat\.onnx: has the inputs float32 \[1, 64\]; one float image"):
        create_engine(path, "auto", "cuda:0").open(path, 1)
    assert host.is_empty


@pytest.mark.parametrize("name", ["openvino", "pt"])
def test_other_engines_are_refused_on_cuda_with_what_would_be_right(toy: Path, name: str):
    with pytest.raises(ModelError, match=f"engine onnxruntime.*engine is {name}.*device cpu"):
        create_engine(toy, name, "cuda:0")


def test_without_a_gpu_the_error_is_one_of_the_model(toy: Path, monkeypatch: pytest.MonkeyPatch):
    def nothing(name: str) -> None:
        raise CudaUnavailable(f"{name}: no NVIDIA GPU with a driver here; choose device cpu")

    monkeypatch.setattr(cuda, "open_device", nothing)
    with pytest.raises(ModelError, match="cuda:0: no NVIDIA GPU"):
        create_engine(toy, "auto", "cuda:0").open(toy, 1)
