# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Videos and folders as frame sources, on files made here; files are really deleted where they vanish."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture import folder as capture_folder
from edge_stack_perception.capture import video as capture_video
from edge_stack_perception.capture.base import CapturedFrame, EndOfSourceError, FrameSource, wait_until
from edge_stack_perception.capture.folder import FolderSource
from edge_stack_perception.capture.reopening import ReopeningSource
from edge_stack_perception.capture.video import VideoSource

FRAMES = 10


def picture(number: int) -> np.ndarray:
    """A grey picture whose brightness says its number."""
    return np.full((48, 64, 3), 20 * number + 10, np.uint8)


def number_of(frame: CapturedFrame | None) -> int:
    assert frame is not None
    assert frame.encoding == "bgr8"
    return round((float(frame.image.mean()) - 10) / 20)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """10 frames, 10 a second."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for i in range(FRAMES):
        writer.write(picture(i))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 1.png, 2.png, 10.png."""
    path = tmp_path / "pictures"
    path.mkdir()
    for i in (1, 2, 10):
        cv2.imwrite(str(path / f"{i}.png"), picture(i))
    return path


def take(source: FrameSource, count: int, step_s: float) -> list[int]:
    """Read frames at due times step_s apart that lie in the past, so that nothing waits."""
    first_s = time.monotonic() - 100.0
    return [number_of(source.read(first_s + i * step_s, 0.0)) for i in range(count)]


def test_a_video_gives_every_frame_at_its_own_rate(video: Path) -> None:
    source = VideoSource(str(video))
    source.open()
    assert source.rate_hz == pytest.approx(10.0)
    assert take(source, 10, 0.1) == list(range(10))


def test_a_video_asked_less_often_skips_frames_and_keeps_its_speed(video: Path) -> None:
    source = VideoSource(str(video))
    source.open()
    assert take(source, 5, 0.2) == [0, 2, 4, 6, 8]


class Clock:
    """Time that passes only while a source waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(
            module, "wait_until", lambda due_s, timeout_s: wait_until(due_s, timeout_s, self.read, self.sleep)
        )

    def read(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


def test_a_video_asked_more_often_gives_no_frame_twice(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, capture_video)
    source = VideoSource(str(video))
    source.open()
    start_s = clock.now_s
    assert number_of(source.read(start_s, 0.5)) == 0
    assert source.read(start_s + 0.01, 0.0) is None
    frame = source.read(start_s + 0.02, 0.5)
    assert number_of(frame) == 1
    assert frame is not None
    assert frame.captured_s == pytest.approx(start_s + 0.1)
    assert frame.sequence == 1


def test_a_video_starts_again_at_its_end_or_says_that_it_ended(video: Path) -> None:
    source = VideoSource(str(video))
    source.open()
    assert take(source, 12, 0.1) == [*range(10), 0, 1]
    source = VideoSource(str(video), loop=False)
    source.open()
    take(source, 10, 0.1)
    with pytest.raises(EndOfSourceError, match=r"video .*video.avi: ended; set loop"):
        source.read(time.monotonic() - 1.0, 0.0)


def test_a_video_goes_on_where_it_was_after_a_long_pause(video: Path) -> None:
    source = VideoSource(str(video))
    source.open()
    past_s = time.monotonic() - 1000.0
    assert number_of(source.read(past_s, 0.0)) == 0
    assert number_of(source.read(past_s + 600.0, 0.0)) == 1


def test_a_deleted_video_is_lost_at_once_and_found_again(video: Path) -> None:
    kept = video.with_name("kept.avi")
    shutil.copy(video, kept)
    source = ReopeningSource(VideoSource(str(video)))
    source.open()
    assert source.read(time.monotonic(), 0.5) is not None
    video.unlink()
    end_s = time.monotonic() + 60.0
    while not source.problem and time.monotonic() < end_s:
        source.read(time.monotonic(), 0.2)
    assert "video.avi: is gone; it is opened again" in source.problem
    shutil.move(kept, video)
    frame = None
    while frame is None and time.monotonic() < end_s:
        frame = source.read(time.monotonic(), 0.2)
    assert frame is not None
    assert source.problem == ""
    assert source.losses == 1


def test_a_folder_gives_its_pictures_in_natural_order_over_and_over(folder: Path) -> None:
    source = FolderSource(str(folder))
    source.open()
    assert take(source, 5, 0.1) == [1, 2, 10, 1, 2]


def test_a_folder_ends_after_its_last_picture_when_it_does_not_loop(folder: Path) -> None:
    source = FolderSource(str(folder), loop=False)
    source.open()
    take(source, 3, 0.1)
    with pytest.raises(EndOfSourceError, match="ended"):
        source.read(0.0, 0.0)


def test_pictures_may_come_and_go_and_broken_ones_are_left_out(folder: Path) -> None:
    source = FolderSource(str(folder))
    source.open()
    (folder / "2.png").unlink()
    (folder / "3.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "4.png"), picture(4))
    (folder / "notes.txt").write_text("not a picture")
    assert take(source, 5, 0.1) == [1, 10, 1, 4, 10]
    assert "3.png cannot be read" in source.warning


def test_a_deleted_folder_is_lost_and_found_again(folder: Path) -> None:
    source = ReopeningSource(FolderSource(str(folder)))
    source.open()
    assert source.read(0.0, 0.0) is not None
    kept = folder.with_name("kept")
    folder.rename(kept)
    for _ in range(4):
        source.read(0.0, 0.0)
    assert "pictures: " in source.problem
    kept.rename(folder)
    frame, end_s = None, time.monotonic() + 60.0
    while frame is None and time.monotonic() < end_s:
        frame = source.read(0.0, 0.1)
    assert frame is not None
    assert source.problem == ""


def test_a_frame_is_captured_when_it_is_due(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, capture_folder)
    source = FolderSource(str(folder))
    source.open()
    due_s = clock.now_s + 0.05
    assert source.read(due_s, 0.01) is None
    frame = source.read(due_s, 1.0)
    assert frame is not None
    assert frame.captured_s == pytest.approx(due_s)


@pytest.mark.parametrize(
    ("kind", "make", "says"),
    [
        (VideoSource, lambda p: p / "no.mp4", r"video .*no.mp4: does not exist; set path to a video file"),
        (VideoSource, lambda p: p, r"is a folder; set source to folder"),
        (
            VideoSource,
            lambda p: _file(p / "text.mp4", b"hello"),
            r"text.mp4: is not a video that OpenCV can decode",
        ),
        (VideoSource, lambda p: _file(p / "empty.mp4", b""), r"empty.mp4: is not a video"),
        (FolderSource, lambda p: p / "no", r"folder .*no: does not exist; set path to a folder of pictures"),
        (FolderSource, lambda p: _file(p / "a.png", b""), r"a.png: is a file; set path to its folder"),
        (FolderSource, lambda p: p, r"holds no picture \(.bmp"),
        (
            FolderSource,
            lambda p: _file(p / "a.png", b"no picture").parent,
            r"none of its 1 pictures can be read",
        ),
    ],
)
def test_a_wrong_path_is_told_what_would_be_right(tmp_path, kind, make, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=says):
        kind(str(make(tmp_path))).open()


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_source_may_be_closed_twice_and_before_it_was_opened(video: Path, folder: Path) -> None:
    for source in (VideoSource(str(video)), FolderSource(str(folder))):
        source.close()
        source.open()
        source.close()
        source.close()
