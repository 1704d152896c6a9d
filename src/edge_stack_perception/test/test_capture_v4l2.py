# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The V4L2 source and its reopening, with a fake in place of cv2.VideoCapture: test machines have no camera.

Everything above OpenCV's handle is real; that OpenCV and a driver behave as the fake does is not tested here.
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture import v4l2
from edge_stack_perception.capture.base import CapturedFrame, EndOfSourceError, SourceLostError
from edge_stack_perception.capture.reopening import FIRST_PAUSE_S, LONGEST_PAUSE_S, ReopeningSource
from edge_stack_perception.capture.v4l2 import DeviceSettings, V4L2Source, describe_devices, parse_options

DECLARED = {
    cv2.CAP_PROP_FRAME_WIDTH: 640.0,
    cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
    cv2.CAP_PROP_FPS: 30.0,
}


class FakeCapture:
    """
    A cv2.VideoCapture whose frames wait in a queue.

    stamps: the driver's stamps of the next frames, s; None: the frame cannot be had (the device is gone).
    """

    def __init__(
        self, stamps: list[float | None], opened: bool = True, refuses: tuple[int, ...] = ()
    ) -> None:
        self.stamps = deque(stamps)
        self.opened = opened
        self.refuses = refuses
        self.properties = dict(DECLARED)
        self.stamp_s = 0.0
        self.grabbed = 0
        self.retrieved = 0
        self.decodes = True
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, number: int, value: float) -> bool:
        if number in self.refuses:
            return False
        self.properties[number] = value
        return True

    def get(self, number: int) -> float:
        return self.stamp_s * 1e3 if number == cv2.CAP_PROP_POS_MSEC else self.properties.get(number, 0.0)

    def grab(self) -> bool:
        stamp_s = self.stamps.popleft() if self.stamps else None
        if stamp_s is None:
            return False
        self.stamp_s = stamp_s
        self.grabbed += 1
        return True

    def retrieve(self) -> tuple[bool, Any]:
        self.retrieved += 1
        return (True, np.full((4, 6, 3), self.grabbed, np.uint8)) if self.decodes else (False, None)

    def release(self) -> None:
        self.released = True


def source_of(capture: FakeCapture, settings: DeviceSettings | None = None) -> V4L2Source:
    return V4L2Source("/dev/video9", settings, lambda _: capture, lambda _: None)


def opened(capture: FakeCapture, settings: DeviceSettings | None = None) -> V4L2Source:
    source = source_of(capture, settings)
    source.open()
    return source


def test_a_frame_has_the_drivers_stamp() -> None:
    now_s = time.monotonic()
    source = opened(FakeCapture([now_s - 0.1, now_s - 0.05]))
    frame = source.read(0.0, 0.0)
    assert frame is not None
    assert frame.captured_s == pytest.approx(now_s - 0.05, abs=1e-6)
    assert frame.encoding == "bgr8"


def test_a_stamp_of_the_wall_clock_is_turned_into_monotonic_time() -> None:
    source = opened(FakeCapture([time.time(), time.time() - 0.05]))
    expected_s = time.monotonic() - 0.05
    frame = source.read(0.0, 0.0)
    assert frame is not None
    assert frame.captured_s == pytest.approx(expected_s, abs=0.5)


@pytest.mark.parametrize("stamp_s", [0.0, 1e-3, -5.0, 1e12])
def test_a_stamp_of_no_known_clock_is_replaced_by_the_time_of_the_grab(
    stamp_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "_AT_ONCE_S", 60.0)  # also where this test gets no core for a while
    capture = FakeCapture([stamp_s] * 20)
    source = opened(capture)
    before_s = time.monotonic()
    frame = source.read(0.0, 0.0)
    assert frame is not None
    assert before_s <= frame.captured_s <= time.monotonic()
    # Frames that come at once without a stamp may be old: no more than the driver's queue is thrown away.
    assert capture.grabbed == 1 + 5


def test_frames_that_waited_in_the_queue_are_thrown_away_undecoded() -> None:
    now_s = time.monotonic()
    capture = FakeCapture([now_s - 0.5, now_s - 0.4, now_s - 0.3, now_s - 0.2, now_s - 0.001])
    source = opened(capture)
    frame = source.read(now_s - 0.01, 1.0)
    assert frame is not None
    assert frame.sequence == 3
    assert capture.retrieved == 2  # the first frame at open, and this one


def test_settings_are_asked_for_and_what_the_device_does_otherwise_is_a_warning() -> None:
    capture = FakeCapture([time.monotonic()], refuses=(cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_FPS))
    settings = DeviceSettings(1280, 720, 60.0, "MJPG", {"exposure": 120.0, "gain": 3.0})
    source = opened(capture, settings)
    assert capture.properties[cv2.CAP_PROP_FRAME_WIDTH] == 1280
    assert capture.properties[cv2.CAP_PROP_FRAME_HEIGHT] == 720
    assert capture.properties[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert capture.properties[cv2.CAP_PROP_GAIN] == 3.0
    assert "option exposure=120 is refused" in source.warning
    assert "30 instead of 60 frames a second" in source.warning
    assert source.rate_hz == 30.0


def test_a_size_that_the_device_does_not_have_is_a_warning() -> None:
    capture = FakeCapture([time.monotonic()], refuses=(cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    assert "640x480 instead of 320x240" in opened(capture, DeviceSettings(320, 240)).warning


def test_all_as_it_was_asked_for_is_no_warning() -> None:
    assert opened(FakeCapture([time.monotonic()]), DeviceSettings(640, 480, 30.0)).warning == ""


def test_a_device_that_opens_and_gives_no_frame_is_refused() -> None:
    capture = FakeCapture([None])
    with pytest.raises(
        ConfigurationError, match="/dev/video9: gives no frame; is it in use by another program"
    ):
        opened(capture)
    assert capture.released


def test_a_device_that_is_no_camera_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="/dev/video9: cannot be opened as a camera"):
        opened(FakeCapture([], opened=False))


def test_a_device_that_stops_is_lost_and_released_before_it_is_opened_again() -> None:
    now_s = time.monotonic()
    captures = [FakeCapture([now_s, now_s, None]), FakeCapture([now_s, now_s])]
    handles = iter(captures)
    source = ReopeningSource(V4L2Source("9", None, lambda _: next(handles), lambda _: None))
    source.open()
    assert source.read(0.0, 0.0) is not None
    assert source.read(0.0, 0.0) is None
    assert "/dev/video9: is gone (unplugged?); it is opened again" in source.problem
    assert captures[0].released
    frame, end_s = None, time.monotonic() + 60.0
    while frame is None and time.monotonic() < end_s:
        frame = source.read(0.0, 0.1)
    assert frame is not None
    assert source.problem == ""


def test_one_broken_frame_is_skipped_and_many_in_a_row_are_a_loss() -> None:
    capture = FakeCapture([time.monotonic()] * 50)
    source = opened(capture)
    capture.decodes = False
    assert source.read(0.0, 0.0) is None
    capture.decodes = True
    assert source.read(0.0, 0.0) is not None
    capture.decodes = False
    for _ in range(30):
        assert source.read(0.0, 0.0) is None
    with pytest.raises(SourceLostError, match="31 frames in a row cannot be decoded"):
        source.read(0.0, 0.0)


def test_a_device_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"device /dev/video77: does not exist; there (are: /dev/video|is no cam)"
    ):
        V4L2Source("77").open()
    for name in ("video0", "video1"):
        (tmp_path / name).touch()
    (tmp_path / "names" / "video1").mkdir(parents=True)
    (tmp_path / "names" / "video1" / "name").write_text("HD Webcam\n")
    text = describe_devices(str(tmp_path), str(tmp_path / "names"))
    assert text == f"there are: {tmp_path}/video0, {tmp_path}/video1 (HD Webcam)"
    assert describe_devices(str(tmp_path / "none")) == "there is no camera (no /dev/video*) on this machine"


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").touch()
    with pytest.raises(ConfigurationError, match="is not a device"):
        V4L2Source(str(tmp_path / "video.mp4")).open()


def test_a_character_device_that_is_no_camera_is_refused_by_opencv_itself() -> None:
    with pytest.raises(ConfigurationError, match="/dev/null: cannot be opened as a camera"):
        V4L2Source("/dev/null").open()


def test_opencv_waits_two_seconds_for_a_frame_and_not_ten() -> None:
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "2"


def test_options_are_read_from_texts() -> None:
    assert parse_options(["exposure=120", " Gain = 3.5"]) == {"exposure": 120.0, "gain": 3.5}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("exposure", r"'exposure': is not name=number"),
        ("exposure=high", r"'exposure=high': is not name=number"),
        ("exposure=nan", r"is not name=number"),
        ("=3", r"is not name=number"),
        ("exposre=3", r"'exposre': is not known; perhaps exposure"),
    ],
)
def test_a_wrong_option_is_told_what_would_be_right(option: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_options([option])


class Scripted:
    """A source that does as a script says: an exception is raised, a frame or None returned; time is simulated."""

    live = True
    rate_hz = 0.0
    warning = ""
    name = "scripted"

    def __init__(self, opens: list[Exception | None], reads: list[Any]) -> None:
        self.opens = deque(opens)
        self.reads = deque(reads)
        self.opened_at: list[float] = []
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s

    def open(self) -> None:
        self.opened_at.append(self.now_s)
        outcome = self.opens.popleft() if self.opens else None
        if outcome is not None:
            raise outcome

    def read(self, _due_s: float, _timeout_s: float) -> CapturedFrame | None:
        outcome = self.reads.popleft()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def close(self) -> None:
        pass


FRAME = CapturedFrame(np.zeros((1, 1, 3), np.uint8), "rgb8", 0.0, 0)


def test_pauses_between_attempts_grow_up_to_a_limit() -> None:
    gone = [ConfigurationError("not there")] * 12
    script = Scripted([None, *gone], [SourceLostError("lost"), FRAME])
    source = ReopeningSource(script, script.clock, script.sleep)
    source.open()
    while script.reads:
        source.read(0.0, 0.1)
        assert script.now_s < 60.0
    gaps = np.diff(script.opened_at[1:])
    assert script.opened_at[1] == pytest.approx(FIRST_PAUSE_S, abs=0.01)
    assert gaps[:3] == pytest.approx([2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S], abs=0.01)
    assert gaps.max() == pytest.approx(LONGEST_PAUSE_S, abs=0.01)


def test_a_device_that_opens_and_fails_again_does_not_start_the_pauses_anew() -> None:
    script = Scripted([], [SourceLostError("a")] * 4 + [FRAME, SourceLostError("b"), FRAME])
    source = ReopeningSource(script, script.clock, script.sleep)
    source.open()
    while script.reads:
        source.read(0.0, 0.1)
    gaps = np.diff(script.opened_at)
    assert gaps == pytest.approx([0.25, 0.5, 1.0, 2.0, 0.25], abs=0.01)


def test_one_read_never_waits_longer_than_its_timeout() -> None:
    script = Scripted([None, *[ConfigurationError("not there")] * 9], [SourceLostError("lost")])
    source = ReopeningSource(script, script.clock, script.sleep)
    source.open()
    for _ in range(100):
        before_s = script.now_s
        assert source.read(0.0, 0.1) is None
        assert script.now_s - before_s <= 0.1 + 1e-9
    assert "not there" in source.problem


def test_an_ended_source_stays_ended_and_says_so() -> None:
    script = Scripted([], [FRAME, EndOfSourceError("folder x: ended")])
    source = ReopeningSource(script, script.clock, script.sleep)
    source.open()
    assert source.read(0.0, 0.1) is FRAME
    assert source.read(0.0, 0.1) is None
    assert source.read(0.0, 0.1) is None
    assert source.ended
    assert source.problem == "folder x: ended"


def test_the_first_opening_is_not_repeated() -> None:
    source = ReopeningSource(Scripted([ConfigurationError("not there")], []))
    with pytest.raises(ConfigurationError, match="not there"):
        source.open()
