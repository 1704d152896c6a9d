# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""ONNX models captured whole and in slices give what ONNX Runtime gives; here its CPU provider runs the same code path."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_splitting_models import write_model

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.cuda import CudaUnavailable
from edge_stack_inference.cuda import onnx as cuda_onnx
from edge_stack_inference.splitting.build import open_session
from edge_stack_inference.testing.host_device import HostDevice
from edge_stack_inference.testing.toy_onnx import write_toy_onnx

pytest.importorskip("onnx")


def cpu_session(path: Path, device: Any, stream: Any) -> tuple[Any, str]:
    return open_session(path, 1), ""


def open_here(path: Path, device: HostDevice, **wish: Any) -> Any:
    return cuda_onnx.open_onnx(path, device, open_session=cpu_session, **wish)


@pytest.fixture
def device() -> HostDevice:
    return HostDevice(in_order=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.onnx")


@pytest.mark.parametrize("wish", [{}, {"slices": 2}, {"slices": 4}])
def test_it_gives_what_the_whole_model_gives(model: Path, device: HostDevice, wish: dict[str, int]):
    whole = open_session(model, 1)
    inference = open_here(model, device, **wish)
    assert len(inference) == wish.get("slices", 1)
    assert inference.metadata == {"task": "test"}
    for seed in range(3):
        image = np.random.default_rng(seed).random((1, 3, 64, 64), np.float32)
        wanted = whole.run(None, {"image": image})
        for found, one in zip(inference.run({"image": image}), wanted, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


def test_only_inputs_and_outputs_of_the_whole_model_are_copied(model: Path, device: HostDevice):
    inference = open_here(model, device, slices=4)
    device.log.clear()
    inference.run({"image": np.zeros((1, 3, 64, 64), np.float32)})
    assert device.log.count("copy in") == 1
    assert device.log.count("copy out") == 2
    # Where to cut follows from measured times, so that there may be fewer slices than asked for.
    assert device.log.count("wait") == len(inference) > 1


def test_slices_bounded_in_time_are_measured_where_they_run(model: Path, device: HostDevice):
    whole = open_here(model, device)
    whole_ms = whole.measure_ms()[0]
    whole.close()
    inference = open_here(model, device, max_ms=0.6 * whole_ms)
    assert len(inference) > 1
    folder = next(model.parent.glob("net.onnx.slices/*"))
    assert folder.name.endswith("-the-host")


def test_close_frees_all_of_it(model: Path, device: HostDevice):
    open_here(model, device, slices=3).close()
    assert device.is_empty


def test_a_model_without_fixed_shapes_is_refused_with_what_would_be_right(tmp_path: Path, device: HostDevice):
    path = write_toy_onnx(
        tmp_path / "free.onnx", [np.zeros((1, 4), np.float32)], {}, (1, 3, "height", "width")
    )
    with pytest.raises(
        ConfigurationError, match=r"free\.onnx: images has the shape .*'height'.*dynamic=False"
    ):
        open_here(path, device)
    assert device.is_empty


def test_a_session_that_fails_at_its_first_run_frees_all_of_it(model: Path, device: HostDevice):
    class Broken:
        def __init__(self, session: Any) -> None:
            self.session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self.session, name)

        def run_with_iobinding(self, *_: Any) -> None:
            raise RuntimeError("out of memory")

    with pytest.raises(ConfigurationError, match=r"net\.onnx: does not run on cuda:0: out of memory"):
        cuda_onnx.open_onnx(model, device, open_session=lambda *a: (Broken(cpu_session(*a)[0]), ""))
    assert device.is_empty


def test_without_the_cuda_provider_the_error_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch
):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    device = HostDevice()
    with pytest.raises(CudaUnavailable, match="no CUDA provider; install onnxruntime-gpu.*device cpu"):
        cuda_onnx.open_onnx(model, device)
    assert device.is_empty


class Sessions:
    """Stands for onnxruntime.InferenceSession on a machine with a GPU; records what it is asked for."""

    def __init__(self, refuse_graph: str = "", starts: bool = True) -> None:
        self.refuse_graph, self.starts = refuse_graph, starts
        self.asked: list[dict[str, str]] = []

    def __call__(self, path: str, options: Any, providers: list[Any]) -> Any:
        name, provider = providers[0]
        self.asked.append(provider)
        if self.refuse_graph and provider["enable_cuda_graph"] == "1":
            raise RuntimeError(self.refuse_graph)
        names = [name, "CPUExecutionProvider"] if self.starts else ["CPUExecutionProvider"]
        return type("Session", (), {"get_providers": lambda _: names})()


def ask(monkeypatch: pytest.MonkeyPatch, sessions: Sessions) -> tuple[Any, str, Any]:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda_onnx.PROVIDER])
    monkeypatch.setattr(onnxruntime, "InferenceSession", sessions)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    device = HostDevice()
    device.make_current()
    stream = device.stream("high")
    return *cuda_onnx.cuda_session(Path("net.onnx"), device, stream), stream


def test_the_session_captures_on_the_given_stream(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions()
    _, note, stream = ask(monkeypatch, sessions)
    (asked,) = sessions.asked
    assert (asked["enable_cuda_graph"], asked["user_compute_stream"]) == ("1", str(stream.handle))
    assert note == ""


def test_a_model_that_cannot_be_captured_runs_without_a_graph_and_says_so(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions(
        "This session cannot use the graph capture feature as requested: a node is on the CPU"
    )
    with pytest.warns(UserWarning, match="without a CUDA graph.*a node is on the CPU"):
        _, note, stream = ask(monkeypatch, sessions)
    assert "a node is on the CPU" in note
    assert [asked["enable_cuda_graph"] for asked in sessions.asked] == ["1", "0"]
    assert sessions.asked[1]["user_compute_stream"] == str(stream.handle)


def test_a_damaged_model_is_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions("Protobuf parsing failed")
    with pytest.raises(ConfigurationError, match=r"net\.onnx: does not load.*Protobuf parsing failed"):
        ask(monkeypatch, sessions)
    assert len(sessions.asked) == 1


def test_a_provider_that_does_not_start_is_no_reason_to_run_on_the_processor(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CudaUnavailable, match="does not start on cuda:0: CUDA or cuDNN"):
        ask(monkeypatch, Sessions(starts=False))


@pytest.mark.skipif(
    find_spec("edge_stack_ultralytics") is None, reason="edge_stack_ultralytics is not installed"
)
@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify"])
def test_the_demo_models_have_fixed_shapes_and_give_the_same(task: str, device: HostDevice):
    from edge_stack_inference.model_files import find_model

    path = find_model("demo", task)
    whole = open_session(path, 1)
    inference = open_here(path, device)
    value = whole.get_inputs()[0]
    image = np.random.default_rng(0).random(value.shape, np.float32)
    for found, one in zip(
        inference.run({value.name: image}), whole.run(None, {value.name: image}), strict=True
    ):
        np.testing.assert_array_equal(found, one)
