# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from a stream on the network (RTSP, HTTP) or from a GStreamer pipeline, such as that of a CSI camera, through OpenCV.

A unit of work is one frame. A thread of its own decodes every frame as it comes and keeps the newest: a stream that is read
more slowly than it comes falls behind. OpenCV may wait for ever in a call; then the thread is left to it, and the source is
lost. It never opens a stream again (see reopening.py). User names and passwords are in no text that it makes.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.base import CapturedFrame, SourceLostError

__all__ = ["GSTREAMER_CURE", "StreamSource", "csi_pipeline", "is_stream", "public_name"]

OPEN_LIMIT_S = 10.0
SILENCE_S = 4.0
"""A stream that gives no frame for this time is lost."""
_END_S = 1.0
_STREAM = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE = re.compile(r"file://", re.IGNORECASE)
# What stands before the last @ of an address, with :// or where somebody left that out; keys in queries and pipelines.
_USER, _BARE_USER = re.compile(r"(://)\S*@"), re.compile(r"\S*:\S*@")
_SECRET = re.compile(
    r"\b(user|username|user-id|user-pw|login|passw(?:or)?d|pass|pwd|token|auth|key|secret|[a-z_-]*key)=[^&\s!\"']+",
    re.IGNORECASE,
)

GSTREAMER_CURE = (
    "OpenCV {version} here is built without GStreamer, which CSI cameras and pipelines need; use the OpenCV of the system:"
    " apt install python3-opencv (on a Jetson that of JetPack has it too), and remove pip's opencv-python and"
    " opencv-python-headless from the environment of the stack, which hide it"
)


def is_stream(path: str) -> bool:
    """Return whether a path is the address of a stream rather than a file."""
    return _STREAM.match(path) is not None and _FILE.match(path) is None


def public_name(address: str) -> str:
    """Return an address or a pipeline without user names, passwords and keys."""
    named = _USER.sub(r"\1***@", address) if "://" in address else _BARE_USER.sub("***@", address)
    return _SECRET.sub(r"\1=***", named)


def csi_pipeline(sensor: str, width: int, height: int, rate_hz: float) -> str:
    """
    Return the GStreamer pipeline of a CSI camera of a Jetson.

    sensor: its number. width, height, rate_hz: 0: 1280x720, 30. ConfigurationError if sensor is no number.
    """
    if not sensor.isdigit():
        raise ConfigurationError(
            f"parameter path: {public_name(sensor)!r} is not the number of a CSI camera, such as 0; a pipeline needs"
            " source gstreamer"
        )
    size = f"width={width or 1280},height={height or 720},framerate={round(rate_hz) or 30}/1"
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),{size} ! nvvidconv ! video/x-raw,format=BGRx"
        " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def _open_network(address: str) -> Any:
    limit_ms = int(1000 * OPEN_LIMIT_S)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(1000 * SILENCE_S)]
    # One backend alone: the others would be tried in turn, and one of them prints the address.
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)


def _open_pipeline(pipeline: str) -> Any:
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)


def _has_gstreamer() -> bool:
    can_load = getattr(cv2.videoio_registry, "hasBackend", None)  # from 4.5.2 on
    if can_load is not None:
        return bool(can_load(cv2.CAP_GSTREAMER))
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


class StreamSource:
    """One stream."""

    live = True

    def __init__(
        self,
        address: str,
        *,
        gstreamer: bool = False,
        name: str = "",
        open_capture: Callable[[str], Any] | None = None,
        has_gstreamer: Callable[[], bool] = _has_gstreamer,
    ) -> None:
        """
        address: rtsp://user:password@host/path, or a pipeline that ends in appsink; $NAME is the environment's.

        name: for messages. open_capture: makes the cv2.VideoCapture; has_gstreamer: whether OpenCV can. Both for tests.
        """
        self.name = name or f"{'pipeline' if gstreamer else 'stream'} {public_name(address)}"
        self.rate_hz = 0.0
        self.warning = ""
        self._address, self._gstreamer = address, gstreamer
        self._open_capture = open_capture or (_open_pipeline if gstreamer else _open_network)
        self._has_gstreamer = has_gstreamer
        self._reader: _Reader | None = None
        self._returned = -1
        self._was_open = False

    def open(self) -> None:
        """
        Open the stream; ConfigurationError says what is wrong.

        The first time, wait for a frame. Later ones would keep the node from answering: they come, or the stream is lost.
        """
        self.close()
        address = os.path.expandvars(self._address)
        if (missing := re.search(r"\$\{?(\w+)", address)) is not None and not self._gstreamer:
            raise ConfigurationError(f"{self.name}: the environment has no {missing.group(1)}")
        if self._gstreamer:
            if not self._has_gstreamer():
                raise ConfigurationError(f"{self.name}: {GSTREAMER_CURE.format(version=cv2.__version__)}")
            if "appsink" not in address:
                raise ConfigurationError(f"{self.name}: the pipeline does not end in appsink")
        reader = _Reader(lambda: self._open_capture(address))
        if not self._was_open and reader.frame(-1, time.monotonic() + OPEN_LIMIT_S) is None:
            reader.stop()
            what = reader.trouble or f"gives no frame within {OPEN_LIMIT_S:g} s"
            hint = (
                "try the pipeline with gst-launch-1.0; a CSI camera needs the daemon nvargus-daemon"
                if self._gstreamer
                else "are address, user, password and network right?"
            )
            raise ConfigurationError(f"{self.name}: {what}; {hint}")
        self._reader, self._returned, self._was_open = reader, -1, True
        self.rate_hz = reader.rate_hz or self.rate_hz

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the newest frame, if it was captured at or after due_s, in bgr8 or mono8; wait for it."""
        reader = self._reader
        if reader is None:
            raise SourceLostError(f"{self.name}: is not open")
        end_s = time.monotonic() + timeout_s
        frame = reader.frame(self._returned, end_s, due_s)
        if frame is not None:
            self._returned = frame.sequence
            return frame
        if reader.trouble:
            raise SourceLostError(f"{self.name}: {reader.trouble}")
        if reader.silent_s() > (SILENCE_S if self._returned >= 0 else OPEN_LIMIT_S):
            raise SourceLostError(f"{self.name}: gives no frames any more")
        return None

    def close(self) -> None:
        """Let the thread end; it closes the stream as soon as it can."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None


class _Reader:
    """
    Opens a capture and decodes it in a thread of its own until stop(), or until it ends.

    trouble: why it ended, "" while it runs.
    """

    def __init__(self, open_capture: Callable[[], Any]) -> None:
        self.trouble = ""
        self.rate_hz = 0.0
        self._open_capture = open_capture
        self._stop = False
        self._newest: CapturedFrame | None = None
        self._came = threading.Condition()
        self._came_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait a while for the camera to be free: many can be open once only."""
        self._stop = True
        self._thread.join(_END_S)

    def silent_s(self) -> float:
        return time.monotonic() - self._came_s

    def frame(self, after: int, end_s: float, due_s: float = 0.0) -> CapturedFrame | None:
        """Wait for a frame with a sequence above after, captured at due_s or later; None at end_s, or when it ended."""
        with self._came:
            while True:
                newest = self._newest
                if newest is not None and newest.sequence > after and newest.captured_s >= due_s:
                    return newest
                left_s = end_s - time.monotonic()
                if left_s <= 0.0 or self.trouble:
                    return None
                self._came.wait(left_s)

    def _run(self) -> None:
        capture = None
        try:
            capture = self._open_capture()
            trouble = self._read(capture) if capture.isOpened() else "cannot be opened"
        except Exception as error:  # noqa: BLE001 (a defect of OpenCV must show as a lost source)
            trouble = public_name(f"{type(error).__name__}: {error}")
        with contextlib.suppress(Exception):
            if capture is not None:
                capture.release()
        with self._came:
            self.trouble = trouble
            self._came.notify_all()

    def _read(self, capture: Any) -> str:
        """Read until the end, and return why it ended."""
        rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if 1.0 <= rate_hz <= 240.0 else 0.0
        sequence = 0
        while not self._stop:
            decoded, image = capture.read()
            now_s = time.monotonic()
            if not decoded or image is None:
                return "gives no frames any more" if sequence else "gives no frame"
            encoding = "bgr8" if image.ndim == 3 and image.shape[2] == 3 else "mono8"
            if image.ndim == 3 and image.shape[2] != 3:
                return f"gives frames of {image.shape[2]} channels; convert them to BGR"
            with self._came:
                self._newest = CapturedFrame(image, encoding, now_s, sequence)
                self._came_s = now_s
                self._came.notify_all()
            sequence += 1
        return "is closed"
