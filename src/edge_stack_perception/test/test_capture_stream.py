# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Streams and pipelines as frame sources: a made-up capture, and MJPEG over HTTP through OpenCV itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture import stream
from edge_stack_perception.capture.base import CapturedFrame, SourceLostError
from edge_stack_perception.capture.reopening import ReopeningSource
from edge_stack_perception.capture.stream import StreamSource, csi_pipeline, is_stream, public_name

LIMIT_S = 60.0


class Capture:
    """A cv2.VideoCapture whose frames are given one by one."""

    def __init__(self, opens: bool = True, rate_hz: float = 25.0, frames: int = 10**9) -> None:
        self.opens, self.rate_hz, self.left = opens, rate_hz, frames
        self.may_read = threading.Semaphore(1)
        self.released = threading.Event()
        self.count = 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def get(self, _property: int) -> float:
        return self.rate_hz

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.may_read.acquire()
        if self.count >= self.left:
            return False, None
        self.count += 1
        return True, np.full((4, 4, 3), self.count, np.uint8)

    def release(self) -> None:
        self.released.set()


def until(value: Callable[[], object]) -> object:
    end_s = time.monotonic() + LIMIT_S
    while not (got := value()):
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return got


def source_of(capture: Capture) -> StreamSource:
    return StreamSource("rtsp://user:secret@host/a", open_capture=lambda _: capture)


def test_the_newest_frame_is_given_once_and_waited_for() -> None:
    capture = Capture()
    source = source_of(capture)
    source.open()
    assert (source.live, source.rate_hz, source.name) == (True, 25.0, "stream rtsp://***@host/a")
    first = source.read(0.0, 1.0)
    assert first is not None and first.encoding == "bgr8" and first.image[0, 0, 0] == 1
    assert source.read(0.0, 0.01) is None
    for _ in range(3):
        capture.may_read.release()
    until(lambda: capture.count == 4)
    newest = until(lambda: source.read(0.0, 0.1))
    assert isinstance(newest, CapturedFrame) and newest.image[0, 0, 0] in (3, 4)
    source.close()
    capture.may_read.release()
    assert capture.released.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("capture", "says"),
    [
        (Capture(opens=False), "stream rtsp://[*]{3}@host/a: cannot be opened; are address, user"),
        (Capture(frames=0), "gives no frame; are address"),
    ],
)
def test_a_stream_that_gives_nothing_is_refused(capture: Capture, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        source_of(capture).open()
    assert "secret" not in str(refused.value)


def test_a_capture_that_never_answers_is_refused_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "OPEN_LIMIT_S", 0.05)
    monkeypatch.setattr(stream, "_END_S", 0.05)
    hangs = threading.Event()
    source = StreamSource("rtsp://host/a", open_capture=lambda _: hangs.wait(LIMIT_S))
    with pytest.raises(ConfigurationError, match="gives no frame within 0.05 s"):
        source.open()
    hangs.set()


def test_what_opencv_raises_is_a_reason_without_the_password() -> None:
    def raises(address: str) -> Capture:
        raise RuntimeError(f"no {address}")

    with pytest.raises(ConfigurationError, match=r"RuntimeError: no rtsp://\*\*\*@host") as refused:
        StreamSource("rtsp://user:secret@host/a", open_capture=raises).open()
    assert "secret" not in str(refused.value)


def test_a_stream_that_ends_or_falls_silent_is_lost_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_S", 0.1)
    monkeypatch.setattr(stream, "_END_S", 0.05)
    captures = [Capture(frames=1), Capture(), Capture()]
    opened = iter(captures)
    source = ReopeningSource(StreamSource("http://host/a", open_capture=lambda _: next(opened)))
    source.open()
    assert source.read(0.0, 1.0) is not None
    captures[0].may_read.release()
    until(lambda: source.read(0.0, 0.02) is None and source.problem)
    assert "stream http://host/a: gives no frames any more; it is opened again" in source.problem
    until(lambda: source.read(0.0, 0.1))
    assert source.problem == ""
    until(lambda: source.read(0.0, 0.05) is None and source.losses == 2)
    until(lambda: source.read(0.0, 0.1))
    source.close()
    for capture in captures:
        capture.may_read.release()


def test_addresses_are_told_from_files() -> None:
    for address in ("rtsp://host/a", "RTSPS://u:p@host", "http://host/v.mjpg", "udp://239.0.0.1:5000"):
        assert is_stream(address)
    for path in ("/data/a.mp4", "a.mp4", "file:///data/a.mp4", "0"):
        assert not is_stream(path)


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:s3cret@10.0.0.2:554/live",
        "rtsp://user:p@s3cret@10.0.0.2/live",
        "rtsp://user:p/s3cret@10.0.0.2/live",
        "http://10.0.0.2/live?user=me&password=s3cret",
        "http://10.0.0.2/live?api_key=s3cret",
        "rtspsrc location=rtsp://10.0.0.2/live user-id=me user-pw=s3cret ! appsink",
        "rtspsrc location=rtsp://me:s3cret@10.0.0.2/live ! appsink",
        "user:s3cret@10.0.0.2/live",
    ],
)
def test_no_password_is_in_a_public_name(address: str) -> None:
    assert "s3cret" not in public_name(address)
    assert "10.0.0.2" in public_name(address)


def test_names_of_the_environment_are_filled_in_and_missing_ones_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "s3cret")
    asked: list[str] = []

    def open_capture(address: str) -> Capture:
        asked.append(address)
        return Capture()

    source = StreamSource("rtsp://me:${CAMERA_PASSWORD}@host/a", open_capture=open_capture)
    source.open()
    assert asked == ["rtsp://me:s3cret@host/a"]
    assert "s3cret" not in source.name
    monkeypatch.delenv("CAMERA_PASSWORD")
    with pytest.raises(ConfigurationError, match="the environment has no CAMERA_PASSWORD"):
        source.open()


def test_a_csi_camera_is_a_pipeline_of_its_number_size_and_rate() -> None:
    pipeline = csi_pipeline("1", 1920, 1080, 30.0)
    assert pipeline.startswith(
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=30/1"
    )
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline("0", 0, 0, 0.0)
    with pytest.raises(ConfigurationError, match="'rtsp://[*]{3}@h' is not the number of a CSI camera"):
        csi_pipeline("rtsp://a:b@h", 0, 0, 0.0)


def test_without_gstreamer_a_pipeline_is_refused_with_the_cure() -> None:
    source = StreamSource(
        csi_pipeline("0", 0, 0, 0.0), gstreamer=True, name="CSI camera 0", has_gstreamer=lambda: False
    )
    says = (
        f"CSI camera 0: OpenCV {cv2.__version__} here is built without GStreamer.* apt install python3-opencv"
    )
    with pytest.raises(ConfigurationError, match=says):
        source.open()


def test_a_pipeline_needs_its_appsink_and_is_read_like_a_stream() -> None:
    with pytest.raises(ConfigurationError, match="does not end in appsink"):
        StreamSource("videotestsrc ! fakesink", gstreamer=True, has_gstreamer=lambda: True).open()
    source = StreamSource(
        "videotestsrc ! appsink", gstreamer=True, open_capture=lambda _: Capture(), has_gstreamer=lambda: True
    )
    source.open()
    assert source.read(0.0, 1.0) is not None


def test_reading_a_closed_stream_says_so() -> None:
    with pytest.raises(SourceLostError, match="is not open"):
        StreamSource("rtsp://host/a").read(0.0, 0.0)


def test_a_real_stream_with_a_password_is_read_through_opencv(capfd: pytest.CaptureFixture[str]) -> None:
    with MjpegServer("me", "s3cret") as server:
        source = StreamSource(server.address("me", "s3cret"))
        source.open()
        frame = until(lambda: source.read(0.0, 0.5))
        assert isinstance(frame, CapturedFrame) and frame.image.shape == (48, 64, 3)
        source.close()
        with pytest.raises(ConfigurationError, match="cannot be opened") as refused:
            StreamSource(server.address("me", "wrong-s3cret")).open()
    assert "s3cret" not in str(refused.value)
    out, err = capfd.readouterr()
    assert "s3cret" not in out + err
