# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of VisionModel: what opens, what is refused and in which words, and one image through each task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_stack_inference.engines import ModelError
from edge_stack_inference.model_files import find_model
from edge_stack_inference.splitting import Admissions
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx
from edge_stack_perception.vision.model import VisionModel, read_metadata

NAMES = ("cube", "hand")
FRAME = np.zeros((128, 192, 3), np.uint8)  # twice the toy models' size


def write(path: Path, task: str = "detect", **more: Any) -> Path:
    return write_toy_onnx(path, [end2end_rows([10, 20, 30, 40, 0.9, 1])], metadata_of(task, NAMES, **more))


def refusal(path: Path, task: str = "detect", **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        VisionModel.open(path, task, **options)
    text = str(caught.value)
    assert str(path) in text or "threads" in text
    return text


def test_a_model_says_what_it_is(tmp_path: Path) -> None:
    meta = VisionModel.open(write(tmp_path / "m.onnx"), "detect").meta
    assert (meta.task, meta.names, meta.imgsz, meta.layout) == ("detect", NAMES, (64, 96), "end2end")


def test_detections_are_in_pixels_of_the_image(tmp_path: Path) -> None:
    found, times = VisionModel.open(write(tmp_path / "m.onnx"), "detect")(FRAME)
    assert found.boxes.tolist() == [[20, 40, 60, 80]]
    assert found.classes.tolist() == [1]
    assert min(times.preprocess_ms, times.inference_ms, times.postprocess_ms) > 0
    assert times.total_ms == pytest.approx(times.preprocess_ms + times.inference_ms + times.postprocess_ms)


@pytest.mark.parametrize(("on_processor", "parts"), [(True, ["preprocess", "postprocess"]), (False, [])])
def test_preparing_and_decoding_ask_for_the_processor_only(
    tmp_path: Path, on_processor: bool, parts: list[str]
) -> None:
    asked: list[Any] = []

    class Asked(Admissions):
        def of(self, part: Any) -> Any:
            asked.append(part)
            return super().of(part)

    path = write(tmp_path / "m.onnx")
    model = VisionModel.open(path, "detect", admissions=Asked(), on_processor=on_processor)
    asked.clear()
    model(FRAME)
    assert asked == parts


def test_thresholds_are_those_of_the_call(tmp_path: Path) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx",
        [end2end_rows([10, 20, 30, 40, 0.9, 1], [1, 1, 9, 9, 0.4, 0])],
        metadata_of("detect", NAMES),
    )
    model = VisionModel.open(path, "detect")
    assert len(model(FRAME, conf=0.3)[0]) == 2
    assert len(model(FRAME, conf=0.5)[0]) == 1
    assert len(model(FRAME, conf=0.3, max_det=1)[0]) == 1


def test_results_do_not_change_with_the_next_image(tmp_path: Path) -> None:
    model = VisionModel.open(write(tmp_path / "m.onnx"), "detect")
    first, _ = model(FRAME)
    before = first.boxes.copy()
    model(np.zeros((64, 96, 3), np.uint8))
    assert np.array_equal(first.boxes, before)


def test_a_dense_model_is_decoded_as_dense(tmp_path: Path) -> None:
    columns = np.array([[48, 32, 20, 10, 0.1, 0.9], [49, 32, 20, 10, 0.1, 0.8]], np.float32).T[None]
    path = write_toy_onnx(tmp_path / "m.onnx", [columns.copy()], metadata_of("detect", NAMES, "dense"))
    model = VisionModel.open(path, "detect")
    assert model.meta.layout == "dense"
    assert model(FRAME)[0].boxes.tolist() == [[76, 54, 116, 74]]


def test_nms_inside_the_graph_is_the_end2end_layout(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", end2end=False, args={"nms": True, "batch": 1})
    assert VisionModel.open(path, "detect").meta.layout == "end2end"


def test_half_precision_gives_the_same_results(tmp_path: Path) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx",
        [end2end_rows([10, 20, 30, 40, 0.5, 1]).astype(np.float16)],
        metadata_of("detect", NAMES),
        input_dtype=np.float16,
    )
    found, _ = VisionModel.open(path, "detect")(FRAME)
    assert found.boxes.tolist() == [[20, 40, 60, 80]] and found.boxes.dtype == np.float32


def test_a_model_of_free_size_has_that_of_its_metadata(tmp_path: Path) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx",
        [end2end_rows([0, 0, 9, 9, 0.9, 0])],
        metadata_of("detect", NAMES, imgsz=[128, 160]),
        input_shape=("batch", 3, "height", "width"),
    )
    assert VisionModel.open(path, "detect").meta.imgsz == (128, 160)


def test_a_classifier_and_a_pose_model_open(tmp_path: Path) -> None:
    classifier = write_toy_onnx(
        tmp_path / "c.onnx", [np.array([[0.25, 0.75]], np.float32)], metadata_of("classify", NAMES)
    )
    found, _ = VisionModel.open(classifier, "classify")(FRAME)
    assert found.probabilities is not None and found.probabilities.tolist() == [0.25, 0.75]
    pose = write_toy_onnx(
        tmp_path / "p.onnx",
        [end2end_rows([0, 0, 50, 50, 0.9, 0, 5, 6, 1.0])],
        metadata_of("pose", NAMES, kpt_shape=[1, 3], kpt_names={0: ["tip"], 1: ["tip"]}),
    )
    model = VisionModel.open(pose, "pose")
    assert model.meta.keypoint_names == ("tip",)
    keypoints = model(FRAME)[0].keypoints
    assert keypoints is not None and keypoints.tolist() == [[[10, 12, 1]]]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"junk" * 1000])
def test_a_corrupt_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "not a loadable ONNX model" in refusal(path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refusal(path)


def test_a_model_of_another_task_is_refused_and_says_what_would_be_right(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "m.onnx"), task="segment")
    assert "is a model of task detect, not segment" in text and "task: detect" in text


def test_a_model_of_an_unknown_task_is_refused(tmp_path: Path) -> None:
    assert "task depth" in refusal(write(tmp_path / "m.onnx", task="depth"))


def test_a_model_without_metadata_is_refused(tmp_path: Path) -> None:
    path = write_toy_onnx(tmp_path / "m.onnx", [end2end_rows([0, 0, 9, 9, 0.9, 0])], {})
    assert "no Ultralytics metadata" in refusal(path)


def test_a_model_whose_outputs_do_not_fit_its_metadata_is_refused(tmp_path: Path) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx", [end2end_rows([0, 0, 9, 9, 0.9, 0])], metadata_of("detect", NAMES, "dense")
    )
    assert "does not fit its own metadata" in refusal(path)


@pytest.mark.parametrize("shape", [(2, 3, 64, 96), (1, 4, 64, 96)])
def test_a_model_of_another_input_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write_toy_onnx(
        tmp_path / "m.onnx", [end2end_rows()], metadata_of("detect", NAMES), input_shape=shape
    )
    assert "[1, 3, height, width] is needed" in refusal(path)


def test_no_thread_is_refused(tmp_path: Path) -> None:
    assert "1 or more" in refusal(write(tmp_path / "m.onnx"), threads=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": "{0: 'a'"}, "names cannot be read"),
        ({"names": {0: "a", 2: "c"}}, "a name for each class"),
        ({"names": "__import__('os')"}, "names cannot be read"),
        ({"imgsz": "640"}, None),
        ({"imgsz": [640]}, "imgsz"),
        ({"imgsz": None}, "imgsz"),
        ({"task": "pose"}, "kpt_shape"),
        ({"task": "pose", "kpt_shape": "[17, 5]"}, "kpt_shape"),
        ({"task": ""}, "no Ultralytics metadata"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused_in_words(change: dict[str, Any], words: str | None) -> None:
    metadata = {**metadata_of("detect", NAMES), **change}
    if words is None:
        assert read_metadata(metadata, Path("m.onnx")).imgsz == (640, 640)
        return
    with pytest.raises(ModelError, match=words):
        read_metadata(metadata, Path("m.onnx"))


def test_keypoints_without_names_are_numbered() -> None:
    metadata = metadata_of("pose", NAMES, kpt_shape=[3, 2])
    assert read_metadata(metadata, Path("m")).keypoint_names == ("0", "1", "2")


def test_a_relative_model_name_is_looked_for_in_the_places_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "prefix" / "share" / "edge_stack" / "models"
    shared.mkdir(parents=True)
    (shared / "mine.onnx").touch()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    assert find_model("mine.onnx", "detect") == shared / "mine.onnx"
    assert find_model("package://edge_stack/models/mine.onnx", "detect") == shared / "mine.onnx"
    (here / "mine.onnx").touch()
    assert find_model("mine.onnx", "detect") == here / "mine.onnx"
    with pytest.raises(ModelError, match="other.onnx: no such file; looked for"):
        find_model("other.onnx", "detect")


def test_the_demos_model_is_that_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "edge_stack_ultralytics" / "weights"
    weights.mkdir(parents=True)
    (weights / "obb.onnx").touch()
    monkeypatch.setattr("edge_stack_inference.model_files._demo_weights", lambda: weights)
    assert find_model("demo", "obb") == weights / "obb.onnx"
    with pytest.raises(ModelError, match="detect.onnx: no such file"):
        find_model("demo", "detect")
    monkeypatch.setattr("edge_stack_inference.model_files._demo_weights", lambda: None)
    with pytest.raises(ModelError, match="edge_stack_ultralytics, which is not installed"):
        find_model("demo", "obb")


def test_no_name_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match="no file is given"):
        find_model("", "detect")


def test_vision_and_engines_need_neither_ros_nor_ultralytics() -> None:
    code = (
        "import sys, edge_stack_perception.vision.model, edge_stack_inference.model_files,"
        " edge_stack_core.runtime.pacing,"
        " edge_stack_inference.engines.onnxruntime, edge_stack_inference.engines.openvino;"
        "print(sorted({'rclpy', 'sensor_msgs', 'vision_msgs', 'ultralytics', 'torch'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
