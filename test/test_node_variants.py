# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A node with a smaller model, in a running stack: a real supervisor on a board as files, and a real yolo node."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from edge_stack_msgs.msg import GovernorState
from test_node_governor import SETTINGS, Board
from test_node_yolo import NAMES, Camera
from vision_msgs.msg import Detection2DArray

from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer, ros_domain
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx

RATE_HZ, FLOOR_HZ = 20.0, 5.0


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write the stack: its yolo node finds cubes with its full model, and hands with the smaller one."""
    for label, (model, side) in enumerate({"full": 96, "small": 64}.items()):
        rows = [end2end_rows([10, 20, 30, 40, 0.9, label])]
        metadata = {**metadata_of("detect", NAMES), "imgsz": [64, side]}
        write_toy_onnx(tmp_path / f"{model}.onnx", rows, metadata, (1, 3, 64, side))
    (tmp_path / "robots").mkdir()
    (tmp_path / "robots" / "toy.yaml").touch()
    detect = {
        "package": "edge_stack_perception",
        "executable": "yolo",
        "class": "background",
        "rate_hz": RATE_HZ,
        "floor_hz": FLOOR_HZ,
        "parameters": {"model": str(tmp_path / "full.onnx")},
        "variants": [{"model": str(tmp_path / "small.onnx")}],
    }
    nodes = {
        "supervisor": {"package": "edge_stack_supervisor", "executable": "supervisor", "class": "essential"},
        "detect": detect,
    }
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump({"robot": "toy", "nodes": nodes}), encoding="utf-8")
    settings = {**SETTINGS, "variants": {"below": 0.5, "after_s": 0.3, "back_after_s": 0.3}}
    (tmp_path / "governor.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return tmp_path


def test_a_node_that_is_held_down_works_with_its_smaller_model_until_its_rate_is_back(files: Path) -> None:
    board = Board(files / "board")
    supervisor = {
        "config_file": str(files / "robot.yaml"),
        "modes_file": "none",
        "governor_file": str(files / "governor.yaml"),
        "sysfs_root": str(board.root),
        "board": "linux",
        "board_period_s": 0.1,
        "governor": "table",
    }
    detect = {"model": str(files / "full.onnx"), "rate_hz": RATE_HZ}
    with (
        ros_domain(),
        Peer() as peer,
        NodeProcess("edge_stack_perception.ros.yolo", "detect", detect) as node,
        NodeProcess("edge_stack_supervisor.ros.supervisor", "supervisor", supervisor),
    ):
        results = peer.collect(Detection2DArray, "detect/detections", qos.result())
        states = peer.collect(GovernorState, "governor_state", qos.state())

        def finds(name: str, rate_hz: float, variant: int) -> bool:
            """Whether it finds this, at this rate, and whoever looks at the governor's state can read why."""
            newest = results[-1].detections if results else []
            found = [detection.results[0].hypothesis.class_id for detection in newest]
            told = states[-1].nodes[0] if states and states[-1].nodes else None
            as_told = told is not None and (told.variant, told.rate_hz) == (variant, rate_hz)
            return found == [name] and peer.statuses["detect"].target_hz == rate_hz and as_told

        camera = Camera(peer)
        camera.until(lambda: finds("cube", RATE_HZ, 0), "the full model's results")
        board.heat(89.0)
        camera.until(lambda: finds("hand", FLOOR_HZ, 1), "the smaller model's results")
        board.heat(50.0)
        camera.until(lambda: finds("cube", RATE_HZ, 0), "the full model's results again")
        assert node.alive(), node.output()
