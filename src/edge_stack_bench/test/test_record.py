# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The recorder on a topic graph: results are drawn on the very picture they belong to, and only while they are fresh."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from edge_stack_bench.ros import record as record_module
from edge_stack_bench.ros.record import Recorder
from edge_stack_core.ros import qos
from edge_stack_core.ros.image_messages import fill_image
from edge_stack_core.ros.testing import Peer
from edge_stack_perception.ros import vision_messages
from edge_stack_perception.vision.types import Detections

NAMES = ("red_cube", "mark")
BOX = np.array([[100, 80, 140, 120]], np.float32)


class Stack:
    """Publishes what a camera, a segmenting and a classifying model would."""

    def __init__(self, peer: Peer) -> None:
        node = peer.node
        self.clock = node.get_clock()
        self.images = node.create_publisher(Image, "image_raw", qos.frame())
        self.masks = node.create_publisher(Image, "segment/masks", qos.result())
        self.detections = node.create_publisher(Detection2DArray, "segment/detections", qos.result())
        self.labels = node.create_publisher(LabelInfo, "segment/label_info", qos.state())
        self.classes = node.create_publisher(Classification, "classify/classification", qos.result())
        self.labels.publish(
            vision_messages.label_info_message(NAMES, 0.25, Header(stamp=self.clock.now().to_msg()))
        )
        self.number = 0

    def step(self, results: bool = True) -> None:
        """Publish a frame whose brightness is its number, and the results of it."""
        self.number = (self.number + 1) % 200
        header = Header(stamp=self.clock.now().to_msg())
        image = fill_image(Image(header=header), np.full((240, 320, 3), self.number, np.uint8), "rgb8")
        self.images.publish(image)
        if results:
            ids = np.zeros((240, 320), np.uint16)
            ids[80:120, 100:140] = 1
            found = Detections(BOX, np.array([0.9], np.float32), np.array([1], np.int32), masks=ids)
            self.masks.publish(vision_messages.masks_message(ids, header))
            self.detections.publish(vision_messages.detections_message(found, NAMES, header))
            probabilities = np.array([0.2, 0.8], np.float32)
            self.classes.publish(vision_messages.classification_message(probabilities, NAMES, header, 2))


@pytest.fixture
def stack(peer: Peer) -> Stack:
    return Stack(peer)


@pytest.fixture
def recorder(peer: Peer) -> Iterator[Recorder]:
    one = Recorder(peer.node, None)
    yield one
    one.close()


def stepping(stack: Stack, condition: Callable[[], object], results: bool = True) -> Callable[[], object]:
    """Return the condition, publishing a frame every 0.1 s on the way."""
    last_s = 0.0

    def step() -> object:
        nonlocal last_s
        if time.monotonic() - last_s > 0.1:
            last_s = time.monotonic()
            stack.step(results)
        return condition()

    return step


def test_each_result_is_shown_on_its_own_picture_with_its_mask(
    peer: Peer, stack: Stack, recorder: Recorder
) -> None:
    views = peer.spin_until(
        stepping(stack, lambda: len(recorder._current_views()) == 2 and recorder._current_views())
    )
    segment, classify = views["segment"], views["classify"]
    assert segment.detections.masks is not None
    assert segment.detections.masks[100, 120] == 1
    assert segment.detections.rotated is None
    assert segment.names[segment.detections.classes[0]] == "mark"
    assert segment.detections.boxes[0] == pytest.approx(BOX[0])
    assert classify.names[int(classify.detections.probabilities.argmax())] == "mark"
    kept = recorder._results["segment"]["detections"].stamps()
    shown = recorder._views["segment"][1]
    frame = recorder._frames.get(shown)
    assert shown in kept
    assert (segment.rgb == frame.data[0]).all()


def test_a_result_that_is_not_renewed_disappears(
    peer: Peer, stack: Stack, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.spin_until(stepping(stack, lambda: len(recorder._current_views()) == 2))
    monkeypatch.setattr(record_module, "STALE_S", 0.2)
    peer.spin_until(stepping(stack, lambda: not recorder._current_views(), results=False))


def test_a_recording_is_written_while_the_stack_runs(peer: Peer, stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "view.gif"
    one = Recorder(peer.node, path, ["segment", "classify"], rate_hz=20.0)
    try:
        peer.spin_until(stepping(stack, lambda: one._writer.frames >= 6))
    finally:
        one.close()
    assert one.problem == ""
    with Picture.open(path) as gif:
        assert gif.n_frames >= 6


def test_models_that_were_not_asked_for_are_left_out(peer: Peer, stack: Stack) -> None:
    one = Recorder(peer.node, None, ["segment"])
    try:
        peer.spin_until(stepping(stack, lambda: one._current_views()))
        assert set(one._results) == {"segment"}
    finally:
        one.close()


def test_the_fullest_picture_tells_how_much_it_shows(peer: Peer, stack: Stack, recorder: Recorder) -> None:
    assert recorder.current_picture() is None
    peer.spin_until(stepping(stack, lambda: len(recorder._current_views()) == 2))
    page, shown = recorder.current_picture()
    assert page.ndim == 3
    assert shown == (2, 1, pytest.approx(0.9))


def test_a_file_that_cannot_be_written_ends_the_recording_and_nothing_else(
    peer: Peer, stack: Stack, tmp_path: Path
) -> None:
    path = tmp_path / "view.gif"
    path.mkdir()
    one = Recorder(peer.node, path, rate_hz=20.0)
    try:
        peer.spin_until(stepping(stack, lambda: one.problem))
        assert "recording ended: IsADirectoryError" in one.problem
    finally:
        one.close()


def test_recording_where_no_stack_runs_says_so(
    domain: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record_module.main([str(tmp_path / "view.gif"), "--duration", "0.3"]) == 1
    assert "no image_raw was heard" in capsys.readouterr().err


def test_the_program_says_what_it_records_and_what_it_waits_for(
    domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record_module, "SAY_S", 0.1)
    path = tmp_path / "scene.png"
    assert record_module.main([str(path), "--duration", "0.6", "--rate", "20"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"{path}: the fullest picture of the next 0.6 s; Ctrl-C ends it sooner",
        "waits for an image on /image_raw (nobody publishes it)",
        "no image_raw was heard; is the stack running in this domain?",
    ]
    assert said.out == ""
