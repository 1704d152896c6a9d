# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the yolo node with a model on a server, over DDS: it finds, it outlives its server, it says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from test_node_yolo import MODULE, NAMES, Camera
from vision_msgs.msg import Detection2DArray

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer
from edge_stack_inference.testing.model_servers import free_port, kserve
from edge_stack_inference.testing.tls_files import needs_openssl, tls_world
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx
from edge_stack_inference.tls import server_credentials
from edge_stack_policy.triton.serving import Serving, model_config, read_onnx, to_text


def write_repository(folder: Path) -> Path:
    """Write a repository with one model, which always finds one hand."""
    model = folder / "detect" / "1" / "model.onnx"
    model.parent.mkdir(parents=True)
    write_toy_onnx(model, [end2end_rows([10, 20, 30, 40, 0.9, 1])], metadata_of("detect", NAMES))
    config = model_config("detect", read_onnx(model), Serving("background", 0.1))
    (folder / "detect" / "config.pbtxt").write_text(to_text(config))
    return folder


def unavailable(peer: Peer) -> int:
    status = peer.statuses.get("yolo")
    return sum(e.count for e in status.events if e.topic == "server") if status else 0


def test_a_node_outlives_its_server_and_refuses_what_is_not_finite(peer: Peer, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "models")
    port = free_port()
    parameters = {"model": f"triton://127.0.0.1:{port}/detect", "rate_hz": 30.0, "server_timeout_s": 2.0}
    with NodeProcess(MODULE, "yolo", parameters) as process:
        peer.spin_until(lambda: "yolo" in peer.statuses, what="the node's status")
        assert not peer.transition("yolo", "configure")
        peer.spin_until(
            lambda: "no Triton server answers" in peer.statuses["yolo"].message, what="the reason"
        )
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        with kserve(repository, port) as (server, _):
            peer.bring_up("yolo")
            camera = Camera(peer)
            camera.until(lambda: results, "a result")
            assert results[0].detections[0].results[0].hypothesis.class_id == "hand"

            def spoil(answer: object) -> None:
                answer.raw_output_contents[0] = b"\xff" * 240  # type: ignore[attr-defined]

            server.twist = spoil
            camera.until(lambda: "not finite" in peer.statuses["yolo"].message, "a refused answer")
        camera.until(lambda: unavailable(peer) >= 2, "inferences that found no server")
        assert peer.statuses["yolo"].state == "active"
        assert f"triton://127.0.0.1:{port}/detect" in peer.statuses["yolo"].message
        gone_s = peer.now_s()
        with kserve(repository, port):
            camera.until(lambda: results.since(gone_s), "a result of the server that is back")
            camera.until(lambda: peer.statuses["yolo"].message == "", "no problem any more")
        assert process.alive(), process.output()


@needs_openssl
def test_a_node_believes_a_server_of_its_authority_alone(peer: Peer, tmp_path: Path) -> None:
    repository, world = write_repository(tmp_path / "models"), tls_world(tmp_path)
    with kserve(repository, credentials=server_credentials(*world.server, str(world.ca))) as (server, port):
        parameters = {
            "model": f"tritons://127.0.0.1:{port}/detect",
            "server_timeout_s": 2.0,
            "server_ca_file": str(world.other_ca),
            "server_certificate_file": world.client[0],
            "server_key_file": world.client[1],
        }
        with NodeProcess(MODULE, "yolo", parameters):
            peer.spin_until(lambda: "yolo" in peer.statuses, what="the node's status")
            assert not peer.transition("yolo", "configure")
            peer.spin_until(lambda: "whose certificate" in peer.statuses["yolo"].message, what="the reason")
            assert peer.set_parameter("yolo", "server_ca_file", str(world.ca)) == (True, "")
            results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
            peer.bring_up("yolo")
            Camera(peer).until(lambda: results, "a result")
            assert server.requests


def test_what_only_a_model_here_can_be_is_refused_for_a_served_one(peer: Peer, tmp_path: Path) -> None:
    cases = {
        "device": ("cuda:0", "cpu"),
        "when_too_long": ("split", "refuse"),
        "engine": ("onnxruntime", "auto"),
    }
    with NodeProcess(MODULE, "yolo", {"model": "triton://127.0.0.1:1/detect"}):
        peer.spin_until(lambda: "yolo" in peer.statuses, what="the node's status")
        for name, (wrong, right) in cases.items():
            assert peer.set_parameter("yolo", name, wrong) == (True, "")
            assert not peer.transition("yolo", "configure")
            peer.spin_until(lambda name=name: name in peer.statuses["yolo"].message, what=f"{name} is named")
            assert peer.set_parameter("yolo", name, right) == (True, "")
        assert not peer.transition("yolo", "configure")
        peer.spin_until(
            lambda: "no Triton server answers" in peer.statuses["yolo"].message, what="all else fits"
        )
