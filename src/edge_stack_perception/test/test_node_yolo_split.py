# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A yolo node beside a critical job whose slack is shorter than an inference: split, it goes on; what cannot be it says."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from edge_stack_core.admission import AdmissionDevice, CriticalJob
from edge_stack_core.admission.status import BackgroundStatus, read_status
from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import NodeProcess, Peer
from edge_stack_inference.splitting import split_model
from edge_stack_inference.splitting.build import open_session, time_ms
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx

onnx = pytest.importorskip("onnx")

MODULE = "edge_stack_perception.ros.yolo"
NAMES = ("cube", "hand")
BUDGET_S = 0.008
# The slack is shorter than the whole and far longer than a slice: how long either takes varies on a busy machine.
PIECES = 10  # of the model, about
SLACK = 0.8  # of the time of one inference


@pytest.fixture(autouse=True)
def admission_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


def write_long_model(path: Path, layers: int = 14, channels: int = 48) -> Path:
    """Write a detector of some 30 ms that always finds one hand, whatever its convolutions give."""
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(1)
    nodes, weights = [], []
    x = "images"
    for layer in range(layers):
        inputs = 3 if layer == 0 else channels
        values = rng.standard_normal((channels, inputs, 3, 3)).astype(np.float32) / np.sqrt(9 * inputs)
        weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), f"weight{layer}"))
        nodes.append(helper.make_node("Conv", [x, f"weight{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
        x = f"relu{layer}"
    rows = end2end_rows([10, 20, 30, 40, 0.9, 1])
    weights.append(onnx.numpy_helper.from_array(rows, "rows"))
    weights.append(onnx.numpy_helper.from_array(np.float32(0.0), "zero"))
    nodes.append(helper.make_node("ReduceMean", [x], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    nodes.append(helper.make_node("Add", ["rows", "nothing"], ["output0"]))
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info("images", kinds.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output0", kinds.FLOAT, list(rows.shape))],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    helper.set_model_props(model, {key: str(value) for key, value in metadata_of("detect", NAMES).items()})
    onnx.save(model, str(path))
    return path


@contextmanager
def critical_job(period_s: float) -> Iterator[CriticalJob]:
    """Keep a critical job at work in a thread of this process; nobody may run beside it, so that only its slack counts."""
    job, ended = (
        CriticalJob(AdmissionDevice("cpu", co_run=0), "policy", period_s, BUDGET_S),
        threading.Event(),
    )

    def run() -> None:
        release_s = time.monotonic() + period_s
        job.announce(release_s)
        while not ended.wait(max(0.0, release_s - time.monotonic())):
            with job:
                ended.wait(BUDGET_S / 2)
            release_s += period_s * (1 + max(0, (time.monotonic() - release_s) // period_s))
        job.withdraw()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield job
    finally:
        ended.set()
        thread.join()
        job.close()


def admission_status() -> BackgroundStatus:
    (status,) = read_status("cpu").background
    return status


def send_frames(peer: Peer) -> None:
    publisher = peer.node.create_publisher(Image, "image_raw", qos.frame(30.0))
    message = fill_image(Image(), np.full((128, 192, 3), 90, np.uint8), "rgb8")

    def send() -> None:
        message.header.stamp = peer.node.get_clock().now().to_msg()
        publisher.publish(message)

    peer.node.create_timer(1 / 30, send)


def test_a_model_longer_than_the_slack_makes_progress_when_it_is_split(peer: Peer, tmp_path: Path) -> None:
    model = write_long_model(tmp_path / "long.onnx")
    session = open_session(model, 1)
    whole_ms = time_ms(session, {"images": np.zeros((1, 3, 64, 96), np.float32)}, 1)
    split_ms = whole_ms / PIECES
    # Cut before the node needs it: on a busy machine that lasts longer than a configure is waited for.
    slices = len(split_model(model, max_ms=split_ms)[0].slices)
    period_s = BUDGET_S + SLACK * whole_ms * 1e-3
    settings: dict[str, Any] = {"model": str(model), "admission": "on", "rate_hz": 30.0}
    settings |= {"when_too_long": "split", "split_ms": split_ms}
    with critical_job(period_s), NodeProcess(MODULE, "yolo", settings) as process:
        peer.bring_up("yolo")
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        send_frames(peer)
        peer.spin_until(lambda: len(results) >= 10, what="10 results beside the critical job")
        assert results[-1].detections[0].results[0].hypothesis.class_id == "hand"
        status = admission_status()
        assert status.policy == "split"
        assert status.oversize_runs == 0 and status.fits_ms == 0.0
        assert status.admitted >= len(results) * slices
        peer.spin_until(lambda: peer.statuses["yolo"].processed >= 10)
        stages = {stage.name for stage in peer.statuses["yolo"].stages}
        assert stages >= {"admission", "preprocess", "inference", "postprocess"}
        assert process.alive(), process.output()


def test_slices_that_are_still_too_long_are_refused_with_the_figure_that_would_fit(
    peer: Peer, tmp_path: Path
) -> None:
    model = write_long_model(tmp_path / "long.onnx")
    settings: dict[str, Any] = {
        "model": str(model),
        "device": "cpu",
        "admission": "on",
        "when_too_long": "split",
    }
    split_model(model, max_ms=1000.0)
    # One slice: as long as the whole, which is longer than the slack of 4 ms.
    with (
        critical_job(BUDGET_S + 0.004),
        NodeProcess(MODULE, "yolo", {**settings, "split_ms": 1000.0}) as process,
    ):
        peer.bring_up("yolo")
        send_frames(peer)
        peer.spin_until(
            lambda: "set split_ms to" in peer.statuses["yolo"].message, what="the figure in the status"
        )
        assert process.alive(), process.output()


def test_what_cannot_be_split_fails_configure_with_its_reason(peer: Peer, tmp_path: Path) -> None:
    model = write_toy_onnx(tmp_path / "m.onnx", [end2end_rows()], metadata_of("detect", NAMES))
    openvino = tmp_path / "m.xml"
    openvino.write_text("<net/>")
    with NodeProcess(MODULE, "yolo", {"model": str(model), "when_too_long": "split"}) as process:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"admission": "off"}, "split needs admission"),
            ({"admission": "auto", "engine": "openvino"}, "split needs engine onnxruntime"),
            ({"device": "cuda"}, "device cuda:0 needs engine onnxruntime"),
            (
                {"device": "cpu", "engine": "auto", "model": str(openvino)},
                "in slices opens .onnx only",
            ),
        ]
        for parameters, reason in cases:
            for name, value in parameters.items():
                assert peer.set_parameter("yolo", name, value) == (True, "")
            assert not peer.transition("yolo", "configure")
            peer.spin_until(lambda reason=reason: reason in peer.statuses["yolo"].message, what=reason)
        assert process.alive()


def test_without_the_onnx_package_a_model_that_is_not_cut_yet_fails_configure(
    peer: Peer, tmp_path: Path
) -> None:
    model = write_long_model(tmp_path / "long.onnx", layers=2)
    hidden = tmp_path / "without" / "onnx"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by the test')\n")
    settings: dict[str, Any] = {"model": str(model), "device": "cpu", "when_too_long": "split"}
    path = os.pathsep.join([str(hidden.parent), os.environ.get("PYTHONPATH", "")])
    with NodeProcess(MODULE, "yolo", settings, environment={"PYTHONPATH": path}):
        assert not peer.transition("yolo", "configure")
        peer.spin_until(lambda: "pip install onnx" in peer.statuses["yolo"].message, what="what is missing")
