# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the yolo node as a real process over DDS, with toy models whose results are known."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from edge_stack_msgs.msg import Keypoint2DArray, ModelTiming
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image, read_array
from edge_stack_core.ros.testing import History, NodeProcess, Peer, stamp_s
from edge_stack_inference.testing.toy_onnx import end2end_rows, metadata_of, write_toy_onnx

NAMES = ("cube", "hand")
HEIGHT, WIDTH = 128, 192  # twice the toy models' input
# In which something can be seen.
SCENE = np.linspace(40, 140, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
MODULE = "edge_stack_perception.ros.yolo"


def detector(folder: Path) -> Path:
    """Write a model that always finds one hand."""
    return write_toy_onnx(
        folder / "detect.onnx", [end2end_rows([10, 20, 30, 40, 0.9, 1])], metadata_of("detect", NAMES)
    )


class Camera:
    """
    Publishes frames on image_raw from the test's node.

    sent: the stamps of all frames. A frame may be lost on a busy machine, for it is best effort and lives for three periods;
    lasting: frames that live for ever, the newest of which arrives whenever the node gets to it.
    """

    def __init__(
        self, peer: Peer, meanwhile: Callable[[], object] = lambda: None, lasting: bool = False
    ) -> None:
        self._peer = peer
        self.sent: list[Time] = []
        self._publisher = peer.node.create_publisher(Image, "image_raw", 1 if lasting else qos.frame(30.0))

        def heard() -> int:
            meanwhile()
            return int(self._publisher.get_subscription_count())

        peer.spin_until(heard, what="a subscriber of image_raw")

    def frame(self, offset_s: float = 0.0) -> Image:
        """Return a good frame, stamped offset_s from now."""
        message = fill_image(Image(), SCENE, "rgb8")
        message.data[0] = len(self.sent) % 200  # a camera that is not frozen
        nanoseconds = self._peer.node.get_clock().now().nanoseconds + int(offset_s * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(nanoseconds, 10**9)
        message.header.frame_id = "camera"
        return message

    def send(self, message: Image | None = None) -> Image:
        """Publish a frame and return it."""
        message = self.frame() if message is None else message
        self.sent.append(copy.copy(message.header.stamp))
        self._publisher.publish(message)
        return message

    def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Publish good frames at 30 Hz until the condition is true."""
        timer = self._peer.node.create_timer(1 / 30, self.send)
        try:
            self._peer.spin_until(condition, what=what)
        finally:
            self._peer.node.destroy_timer(timer)


@contextmanager
def active(
    peer: Peer, model: Path, remappings: dict[str, str] | None = None, **parameters: Any
) -> Iterator[NodeProcess]:
    """Run an active yolo node; it must still live at the end."""
    settings = {"model": str(model), "rate_hz": 60.0, **parameters}
    with NodeProcess(MODULE, "yolo", settings, remappings=remappings) as process:
        peer.bring_up("yolo")
        yield process
        assert process.alive(), process.output()


def event_count(peer: Peer, name: str) -> int:
    status = peer.statuses.get("yolo")
    events = status.events if status else []
    return sum(e.count for e in events if e.topic == "image_raw" and e.event == name)


def test_a_result_keeps_the_header_of_its_frame_and_has_pixels_of_the_image(
    peer: Peer, tmp_path: Path
) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        timings = peer.collect(ModelTiming, "yolo/timing", qos.result())
        labels = peer.collect(LabelInfo, "yolo/label_info", qos.state())
        camera = Camera(peer)
        camera.until(lambda: results and timings and labels)
        result = results[-1]
        assert result.header.stamp in camera.sent
        assert result.header.frame_id == "camera"
        (detection,) = result.detections
        assert detection.header == result.header
        assert detection.results[0].hypothesis.class_id == "hand"
        assert detection.results[0].hypothesis.score == pytest.approx(0.9)
        box = detection.bbox
        assert (box.center.position.x, box.center.position.y, box.center.theta) == (40.0, 60.0, 0.0)
        assert (box.size_x, box.size_y) == (40.0, 40.0)
        timing = timings[-1]
        assert min(timing.preprocess_ms, timing.inference_ms, timing.postprocess_ms) > 0
        assert timing.latency_ms > timing.preprocess_ms + timing.inference_ms + timing.postprocess_ms
        assert [(c.class_id, c.class_name) for c in labels[0].class_map] == [(0, "cube"), (1, "hand")]
        assert labels[0].threshold == pytest.approx(0.25)
        camera.until(lambda: peer.statuses["yolo"].processed >= 5)
        assert {s.name for s in peer.statuses["yolo"].stages} >= {"preprocess", "inference", "postprocess"}


def test_bad_model_files_fail_configure_with_their_reason_and_a_good_one_then_works(
    peer: Peer, tmp_path: Path
) -> None:
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(b"no model")
    engine = tmp_path / "model.engine"
    engine.touch()
    plain = write_toy_onnx(tmp_path / "plain.onnx", [end2end_rows()], {})
    other = write_toy_onnx(
        tmp_path / "other.onnx", [np.array([[0.5, 0.5]], np.float32)], metadata_of("classify", NAMES)
    )
    cases = {
        str(tmp_path / "missing.onnx"): "no such file",
        str(corrupt): "not a loadable ONNX model",
        str(engine): "needs TensorRT",
        str(plain): "no Ultralytics metadata",
        str(other): "is a model of task classify, not detect",
    }
    with NodeProcess(MODULE, "yolo", {"task": "detect"}) as process:
        for model, reason in cases.items():
            assert peer.set_parameter("yolo", "model", model) == (True, "")
            assert not peer.transition("yolo", "configure")
            peer.spin_until(
                lambda reason=reason, model=model: (
                    (s := peer.statuses["yolo"]).state == "unconfigured"
                    and reason in s.message
                    and model in s.message
                ),
                what=reason,
            )
            assert peer.statuses["yolo"].message.startswith("configure failed: model: ")
        peer.set_parameter("yolo", "model", str(detector(tmp_path)))
        peer.bring_up("yolo")
        peer.spin_until(lambda: peer.statuses["yolo"].state == "active")
        assert peer.statuses["yolo"].message == ""
        assert process.alive()


def malformed(camera: Camera) -> list[Image]:
    """Return frames with a good stamp whose other fields do not fit."""
    frames = []
    for change in (
        {"encoding": "rgb9"},
        {"encoding": ""},
        {"encoding": "16UC1", "step": WIDTH * 2},
        {"step": WIDTH * 3 - 1},
        {"step": 0},
        {"step": 2**32 - 1},
        {"height": HEIGHT + 1},
        {"height": 0},
        {"width": 0},
        {"width": 2**32 - 1},
        {"encoding": "rgb16"},
        {"encoding": "nv12", "height": 3},
    ):
        frame = camera.frame()
        for name, value in change.items():
            setattr(frame, name, value)
        frames.append(frame)
    empty = camera.frame()
    empty.data = []
    return [*frames, empty]


def test_malformed_frames_are_counted_give_no_result_and_never_end_the_node(
    peer: Peer, tmp_path: Path
) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        for number, frame in enumerate(malformed(camera), start=1):
            before = event_count(peer, "malformed")
            # One at a time, until one is counted: what is still under way must not be counted for the next kind.
            for _ in range(20):
                frame.header.stamp = camera.frame().header.stamp
                sent_s = stamp_s(camera.send(frame))
                peer.spin_until(lambda sent_s=sent_s: peer.said("yolo", sent_s + 0.2))
                if event_count(peer, "malformed") > before:
                    break
            assert event_count(peer, "malformed") > before, f"frame {number} was not counted"
        assert results == []
        assert "image_raw" in peer.statuses["yolo"].message
        camera.until(lambda: results, "a result of a good frame")
        camera.until(lambda: peer.statuses["yolo"].message == "", "the problem is taken back")


def test_noisy_frames_are_counted_and_said_and_give_results_all_the_same(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        camera.until(lambda: peer.statuses["yolo"].processed >= 3)
        assert event_count(peer, "noisy") == 0
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

        def noisy() -> bool:
            frame = camera.frame()
            camera.send(fill_image(frame, noise, "rgb8"))
            return "noisy pictures" in peer.statuses["yolo"].message

        peer.spin_until(noisy)
        assert event_count(peer, "noisy") > 0
        before = len(results)
        peer.spin_until(lambda: noisy() and len(results) > before)
        camera.until(lambda: not peer.statuses["yolo"].message)


def test_a_topic_of_compressed_images_gives_results_and_a_bomb_on_it_none(peer: Peer, tmp_path: Path) -> None:
    topic = "camera/image_raw/compressed"
    with active(peer, detector(tmp_path), remappings={"image_raw": topic}):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        publisher = peer.node.create_publisher(CompressedImage, topic, 10)
        data = cv2.imencode(".jpg", SCENE)[1].tobytes()

        def answered() -> bool:
            message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=data)
            message.header.stamp = peer.now()
            publisher.publish(message)
            return bool(results)

        peer.spin_until(answered)
        box = results[0].detections[0].bbox
        assert (box.center.position.x, box.center.position.y) == (40.0, 60.0)
        at = data.index(b"\xff\xc0")
        bomb = data[: at + 5] + (65000).to_bytes(2, "big") * 2 + data[at + 9 :]

        def refused() -> bool:
            message = CompressedImage(format="jpeg", data=bomb)
            message.header.stamp = peer.now()
            publisher.publish(message)
            return "a picture of 65000x65000, at most" in peer.statuses["yolo"].message

        peer.spin_until(refused)


def test_a_topic_that_nobody_publishes_is_named_with_what_to_do(peer: Peer, tmp_path: Path) -> None:
    camera = peer.node.create_publisher(Image, "camera/color/image_raw", 10)
    with active(peer, detector(tmp_path), remappings={"image_raw": "camera/colour/image_raw"}) as process:
        says = (
            "image_raw: no image for 2 s: nobody publishes /camera/colour/image_raw; images are published on"
        )
        peer.spin_until(lambda: says in peer.statuses["yolo"].message)
        assert camera.topic_name in peer.statuses["yolo"].message
        assert process.output().count("no image for") == 1


def test_frames_of_any_good_encoding_and_size_give_results(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        sizes = ((HEIGHT, WIDTH, 3, "bgr8"), (480, 640, 3, "rgb8"), (17, 900, 1, "mono8"), (1, 1, 4, "rgba8"))
        for height, width, channels, encoding in sizes:
            shape = (height, width, channels) if channels > 1 else (height, width)
            camera.sent.clear()

            def answered(shape: tuple[int, ...] = shape, encoding: str = encoding) -> bool:
                frame = fill_image(camera.frame(), np.zeros(shape, np.uint8), encoding)
                camera.send(frame)
                return any(result.header.stamp in camera.sent for result in results)

            peer.spin_until(answered, what=encoding)
        answered_s = peer.now_s()
        peer.spin_until(lambda: peer.said("yolo", answered_s))
        assert event_count(peer, "malformed") == 0


def test_frames_from_the_past_or_the_future_are_counted_and_give_no_result(
    peer: Peer, tmp_path: Path
) -> None:
    cases = {
        -3600.0: "too_old",
        -1.5: "too_old",
        3600.0: "from_future",
        1.5: "from_future",
    }
    with active(peer, detector(tmp_path), max_frame_age_s=1.0, stamp_tolerance_s=1.0) as process:
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        for offset_s, reason in cases.items():
            enough = event_count(peer, reason) + 2

            def refused(offset_s: float = offset_s, reason: str = reason, enough: int = enough) -> bool:
                camera.send(camera.frame(offset_s))
                return event_count(peer, reason) >= enough

            peer.spin_until(refused, what=reason)
            assert "refused" in peer.statuses["yolo"].message
        # The figures of two hours and of two seconds ahead are one problem.
        assert process.output().count("ahead of this clock") == 1
        assert results == []
        assert peer.statuses["yolo"].processed == 0
        camera.until(lambda: results, "a result of a good frame")


def test_a_frame_without_a_stamp_is_taken_as_of_its_arrival(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        began_s = peer.now_s()

        def answered() -> bool:
            frame = camera.frame()
            frame.header.stamp.sec = frame.header.stamp.nanosec = 0
            camera.send(frame)
            return bool(results)

        peer.spin_until(answered, what="a result")
        assert began_s <= stamp_s(results[0]) <= peer.now_s()


def test_a_paused_node_serves_only_the_newest_frame_once_it_has_a_rate(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path), rate_hz=0.0, max_frame_age_s=30.0):
        results = peer.record(Detection2DArray, "yolo/detections", qos.result())
        peer.spin_until(lambda: peer.node.count_publishers("yolo/detections"))
        camera = Camera(peer, lasting=True)
        for _ in range(8):
            sent_s = stamp_s(camera.send())
            # The node's executor has gone round since, so the frame has arrived.
            peer.spin_until(lambda sent_s=sent_s: len(peer.said("yolo", sent_s)) >= 2)
        assert peer.statuses["yolo"].target_hz == 0.0
        assert results == []
        assert peer.set_parameter("yolo", "rate_hz", 50.0) == (True, "")
        peer.spin_until(lambda: results, what="a result after the pause")
        resulted_s = peer.now_s()
        peer.spin_until(lambda: len(peer.said("yolo", resulted_s)) >= 3)
        assert [r.header.stamp for r in results] == [camera.sent[-1]]
        assert peer.statuses["yolo"].processed == 1


def test_the_rate_is_changed_live(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path), rate_hz=0.01):
        results: History = peer.record(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        camera.until(lambda: results)
        assert peer.set_parameter("yolo", "rate_hz", 10.0)[0]
        first = len(results)

        def pauses_s() -> np.ndarray:
            """Times between the frames worked on; they come 30 times a second, and late or not at all when it is busy."""
            return np.diff([stamp_s(result) for result in results[first:]])

        camera.until(lambda: (np.abs(pauses_s() - 0.1) < 0.05).sum() >= 10, "results at 10 Hz")
        assert len(pauses_s()) / pauses_s().sum() < 12.0
        camera.until(lambda: abs(peer.statuses["yolo"].target_hz - 10.0) < 1e-9)
        ok, reason = peer.set_parameter("yolo", "rate_hz", -1.0)
        assert not ok and "rate_hz" in reason


def test_thresholds_are_changed_live(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path)):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        camera.until(lambda: results and len(results[-1].detections) == 1)
        assert peer.set_parameter("yolo", "confidence", 0.95)[0]
        camera.until(lambda: len(results[-1].detections) == 0, "an empty array, not silence")


def test_deactivate_keeps_the_model_and_cleanup_frees_it(peer: Peer, tmp_path: Path) -> None:
    model = detector(tmp_path)
    with active(peer, model):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        camera.until(lambda: results)
        assert peer.transition("yolo", "deactivate")
        model.rename(tmp_path / "gone.onnx")
        again_s = peer.now_s()
        assert peer.transition("yolo", "activate")
        camera.until(lambda: results.since(again_s), "a result without the file")
        assert peer.transition("yolo", "deactivate")
        assert peer.transition("yolo", "cleanup")
        assert not peer.transition("yolo", "configure")


def test_it_ends_cleanly_while_it_works(peer: Peer, tmp_path: Path) -> None:
    with NodeProcess(MODULE, "yolo", {"model": str(detector(tmp_path)), "rate_hz": 60.0}) as process:
        peer.bring_up("yolo")
        camera = Camera(peer)
        camera.until(lambda: peer.statuses["yolo"].processed >= 3)
        assert process.stop() == 0
        assert "Traceback" not in process.output()


def test_masks_are_an_image_of_instance_ids(peer: Peer, tmp_path: Path) -> None:
    planes = np.ones((1, 1, 16, 24), np.float32)
    rows = end2end_rows([0, 0, 40, 40, 0.9, 0, 1], [20, 20, 60, 60, 0.8, 1, 1])
    model = write_toy_onnx(tmp_path / "m.onnx", [rows, planes], metadata_of("segment", NAMES))
    with active(peer, model, task="segment"):
        masks = peer.collect(Image, "yolo/masks", qos.result())
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        Camera(peer).until(lambda: masks and any(r.header == masks[-1].header for r in results))
        ids = read_array(masks[-1])
        assert masks[-1].encoding == "mono16" and ids.shape == (HEIGHT, WIDTH)
        assert (ids[60, 60], ids[100, 100], ids[10, 150]) == (1, 2, 0)
        result = next(r for r in results if r.header == masks[-1].header)
        assert [d.results[0].hypothesis.class_id for d in result.detections] == ["cube", "hand"]


def test_keypoints_belong_to_the_detections_of_their_stamp(peer: Peer, tmp_path: Path) -> None:
    rows = end2end_rows([0, 0, 50, 50, 0.9, 1, 5, 6, 0.75, 7, 8, 0.25])
    extra = {"kpt_shape": [2, 3], "kpt_names": {0: ["tip", "base"]}}
    model = write_toy_onnx(tmp_path / "m.onnx", [rows], metadata_of("pose", NAMES, **extra))
    with active(peer, model, task="pose"):
        keypoints = peer.collect(Keypoint2DArray, "yolo/keypoints", qos.result())
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        Camera(peer).until(lambda: keypoints and any(r.header == keypoints[-1].header for r in results))
        (instance,) = keypoints[-1].instances
        assert (instance.class_id, instance.score) == ("hand", pytest.approx(0.9))
        values = [(k.name, k.x, k.y, k.score) for k in instance.keypoints]
        assert values == [("tip", 10.0, 12.0, 0.75), ("base", 14.0, 16.0, 0.25)]


def test_an_oriented_box_has_its_angle(peer: Peer, tmp_path: Path) -> None:
    rows = end2end_rows([48, 32, 30, 10, 0.9, 0, -1.0])
    model = write_toy_onnx(tmp_path / "m.onnx", [rows], metadata_of("obb", NAMES))
    with active(peer, model, task="obb"):
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        Camera(peer).until(lambda: results)
        box = results[-1].detections[0].bbox
        assert (box.center.position.x, box.center.position.y) == (96.0, 64.0)
        assert (box.size_x, box.size_y) == (60.0, 20.0)
        assert box.center.theta == pytest.approx(math.pi - 1.0, abs=1e-5)


def test_a_classification_has_the_best_classes_first_and_no_detections_topic(
    peer: Peer, tmp_path: Path
) -> None:
    model = write_toy_onnx(
        tmp_path / "m.onnx", [np.array([[0.25, 0.75]], np.float32)], metadata_of("classify", NAMES)
    )
    with active(peer, model, task="classify", top_classes=2):
        results = peer.collect(Classification, "yolo/classification", qos.result())
        Camera(peer).until(lambda: results)
        assert [(r.class_id, r.score) for r in results[-1].results] == [("hand", 0.75), ("cube", 0.25)]
        assert peer.node.count_publishers("yolo/detections") == 0


def test_the_debug_image_shows_results_in_the_frame(peer: Peer, tmp_path: Path) -> None:
    with active(peer, detector(tmp_path)):
        pictures = peer.collect(Image, "yolo/debug_image", qos.result())
        Camera(peer).until(lambda: pictures)
        assert (pictures[-1].encoding, pictures[-1].header.frame_id) == ("rgb8", "camera")
        drawn = read_array(pictures[-1])
        assert drawn.shape == (HEIGHT, WIDTH, 3)
        assert (drawn != SCENE).any() and (drawn[-1, -1] == SCENE[-1, -1]).all()


def test_nothing_is_drawn_while_nobody_looks(
    domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rclpy

    from edge_stack_perception.ros import yolo

    drawn: list[int] = []
    monkeypatch.setattr(yolo, "annotate", lambda rgb, *_: drawn.append(1) or rgb.copy())
    filled: list[int] = []
    original = yolo.vision_messages.masks_message
    monkeypatch.setattr(yolo.vision_messages, "masks_message", lambda *a: filled.append(1) or original(*a))
    model = write_toy_onnx(
        tmp_path / "m.onnx",
        [end2end_rows([0, 0, 40, 40, 0.9, 0, 1]), np.ones((1, 1, 16, 24), np.float32)],
        metadata_of("segment", NAMES),
    )
    rclpy.init()
    try:
        node = yolo.YoloNode(
            parameter_overrides=[
                rclpy.parameter.Parameter(name, value=value)
                for name, value in {"task": "segment", "model": str(model), "rate_hz": 60.0}.items()
            ]
        )
        executor = rclpy.executors.SingleThreadedExecutor()
        executor.add_node(node)
        node.trigger_configure()
        node.trigger_activate()
        with Peer() as peer:
            camera = Camera(peer, lambda: executor.spin_once(timeout_sec=0.0))

            def processed(count: int) -> bool:
                executor.spin_once(timeout_sec=0.0)
                return node.stats.snapshot().processed >= count

            camera.until(lambda: processed(3))
            assert drawn == [] and filled == []
            pictures = peer.collect(Image, "yolo/debug_image", qos.result())
            masks = peer.collect(Image, "yolo/masks", qos.result())
            camera.until(lambda: processed(4) and pictures and masks)
            assert drawn and filled
        node.close()
        executor.remove_node(node)
        node.destroy_node()
    finally:
        rclpy.shutdown()
