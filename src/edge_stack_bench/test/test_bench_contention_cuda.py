# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The contention benchmark on a GPU, as far as it goes without one: what each process is told, what is skipped, and why."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_bench.benchmarks import contention, contention_cuda, contention_gpu, contention_models
from edge_stack_core.admission import BackgroundJob
from edge_stack_inference.cuda import CudaUnavailable, open_onnx
from edge_stack_inference.splitting.build import open_session
from edge_stack_inference.testing.host_device import HostDevice

onnx = pytest.importorskip("onnx")
TINY = contention_models.Size(tokens=8, width=16, heads=2, channels=4, side=32, different=2, first=(2, 4))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> contention_cuda.CudaBench:
    """Return a benchmark whose models are sized without a GPU."""
    monkeypatch.setattr(contention_models, "FOR_GPUS", TINY)
    answer = {"gpu": "a GPU", "note": ""}
    # As if each node took a tenth of a millisecond.
    monkeypatch.setattr(
        contention_cuda.CudaBench,
        "_time",
        lambda self, path: {
            **answer,
            "ms": 0.1 * len(onnx.load(str(path)).graph.node) if path.exists() else 1.0,
        },
    )
    arguments = argparse.Namespace(
        device="cuda:0", seconds=1.0, rounds=1, slice_ms=6.0, critical_ms=0.5, long=None
    )
    return contention_cuda.CudaBench(arguments, [Path("detect.onnx"), Path("pose.onnx")], tmp_path)


def specs(bench: contention_cuda.CudaBench, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = bench._specs(next(config for config in contention_cuda.CONFIGS if config.name == name))
    (critical,) = (spec for spec in found if spec["role"] == "critical")
    return critical, [spec for spec in found if spec["role"] == "background"]


def test_the_issue_s_ways_of_sharing_are_all_there():
    names = {config.name for config in contention_cuda.CONFIGS}
    assert names >= {"alone", "background_alone", "uncoordinated", "priority", "partition", "mps"}
    assert names >= {"admission", "admission_sliced"}


@pytest.mark.parametrize(
    ("name", "critical", "background"),
    [
        ("uncoordinated", "low", "low"),
        ("priority", "high", "low"),
        ("mps", "low", "low"),
        ("admission", "high", "low"),
    ],
)
def test_only_where_it_is_the_way_of_sharing_the_critical_stream_is_urgent(
    bench: contention_cuda.CudaBench, name: str, critical: str, background: str
):
    first, others = specs(bench, name)
    assert first["stream"] == critical
    assert {spec["stream"] for spec in others} == {background}


def test_partition_splits_the_gpu_and_not_the_cores(bench: contention_cuda.CudaBench):
    first, others = specs(bench, "partition")
    assert all(spec["partition"] and spec["cores"] == [] for spec in [first, *others])
    assert not specs(bench, "priority")[0]["partition"]


def test_one_background_inference_at_a_time_is_admitted_on_the_gpu_s_admission(
    bench: contention_cuda.CudaBench,
):
    for spec in specs(bench, "admission")[1]:
        assert (spec["device"], spec["limit"], spec["admission"]) == ("cuda:0", 1, "whole")


def test_mps_is_used_where_it_is_asked_for_and_nowhere_else(bench: contention_cuda.CudaBench):
    bench._daemon, bench._no_mps = {"CUDA_MPS_PIPE_DIRECTORY": "/private"}, ""
    by_name = {config.name: bench._variables(config) for config in contention_cuda.CONFIGS}
    assert by_name["mps"] == by_name["mps_priority"] == {"CUDA_MPS_PIPE_DIRECTORY": "/private"}
    assert by_name["uncoordinated"] == by_name["admission"] == {"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"}


def test_without_mps_its_rows_say_why(bench: contention_cuda.CudaBench):
    configs = [config for config in contention_cuda.CONFIGS if config.mps]
    rows, notes, figures = bench.measured(configs, {}, "it is not installed")
    assert rows == [
        {"config": "mps", "skipped": "it is not installed"},
        {"config": "mps_priority", "skipped": "it is not installed"},
    ]
    assert "mps: skipped: it is not installed" in notes
    assert figures["gpu"] == "a GPU"


def test_without_a_gpu_the_command_says_what_is_missing(tmp_path: Path):
    try:
        contention_gpu.open_device("cuda:0")
    except CudaUnavailable as error:
        reason = str(error)
    else:
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit) as raised:
        contention.main(["--device", "cuda", "--background", str(tmp_path / "none.onnx")])
    assert reason in str(raised.value)


def test_an_unknown_configuration_is_named():
    with pytest.raises(SystemExit, match="no such configuration: nice"):
        contention.main(["--device", "cuda", "--configs", "alone,nice"])


def test_the_policy_of_a_gpu_repeats_its_weights(tmp_path: Path):
    def parameters(layers: int) -> int:
        path = tmp_path / "policy.onnx"
        contention_models._write_transformer(path, layers, TINY)
        return sum(len(weight.raw_data) for weight in onnx.load(str(path)).graph.initializer)

    assert parameters(1) < parameters(2) == parameters(7)
    session = open_session(tmp_path / "policy.onnx", 1)
    (actions,) = session.run(None, contention_models.feeds_of(session))
    assert actions.shape == (1, 350)
    assert np.isfinite(actions).all()


@pytest.mark.parametrize("slice_ms", [0.0, 0.05])
def test_a_process_runs_the_benchmark_s_models_whole_and_in_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_ms: float
):
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    device = HostDevice(in_order=False)
    monkeypatch.setattr(contention_gpu, "open_device", lambda name, partition: device)
    here = functools.partial(open_onnx, open_session=lambda path, *_: (open_session(path, 1), ""))
    monkeypatch.setattr(contention_gpu, "open_onnx", here)
    path = tmp_path / "long.onnx"
    contention_models._write_convolutions(path, 6, TINY)
    spec = {
        "role": "background",
        "device": "cuda:0",
        "model": str(path),
        "stream": "low",
        "partition": False,
    }
    model = contention_gpu.ModelOnGpu(spec, slice_ms)
    job = BackgroundJob("cuda:0", "long", "split")
    model.prime(job)
    assert (len(model.inference) > 1) == (slice_ms > 0.0)
    device.log.clear()
    model.run(job)
    assert device.log.count("wait") == len(model.inference)
