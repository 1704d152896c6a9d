# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from an image topic that somebody else publishes, as a frame source.

A unit of work is one frame; only the newest is kept. A subscription to frames puts them in from any thread, one other thread
reads them; a message that is no image raises in the callback, where the node counts it. That nothing comes, the subscription
itself reports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from edge_stack_core.image_codec import ImageError
from edge_stack_core.ros.frames import Frame, FrameGoneError
from edge_stack_perception.capture.base import CapturedFrame

__all__ = ["TopicSource"]

_SHOWN_S = 2.0
"""A refusal is shown for this time after the last refused frame."""


class TopicSource:
    """
    The newest frame of a topic.

    camera_info: the last one that came beside the images.
    """

    live = True
    rate_hz = 0.0

    def __init__(self, topic: str, age_s: Callable[[Header], float]) -> None:
        """topic: its full name. age_s: how old a frame is by its header, s, on the clock of the node."""
        self.name = f"topic {topic}"
        self.camera_info: CameraInfo | None = None
        self._age_s = age_s
        self._arrived = threading.Condition()
        self._frame: Frame | None = None
        self._sequence = 0
        self._last_s = time.monotonic()
        self._refusal, self._refused_s = "", 0.0

    @property
    def warning(self) -> str:
        """Say why frames are refused; "" where they are not."""
        return self._refusal if self._refusal and time.monotonic() - self._refused_s < _SHOWN_S else ""

    def take(self, frame: Frame) -> None:
        """Keep a frame for the reader; raises ImageError if it is no picture."""
        try:
            frame.check()
        except ImageError as error:
            self._refuse(error)
            raise
        with self._arrived:
            self._frame = frame
            self._last_s = time.monotonic()
            self._arrived.notify()

    def take_info(self, info: CameraInfo) -> None:
        """Keep the camera's info."""
        self.camera_info = info

    def open(self) -> None:
        """Start waiting anew; there may be no publisher yet."""
        with self._arrived:
            self._frame, self._last_s = None, time.monotonic()

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the newest frame that arrived at or after due_s, in rgb8. Raises ImageError if it cannot be decoded."""
        end_s = time.monotonic() + timeout_s
        with self._arrived:
            while self._frame is None or self._last_s < due_s:
                left_s = end_s - time.monotonic()
                if left_s <= 0.0:
                    return None
                self._arrived.wait(left_s)
            frame, self._frame = self._frame, None
            arrived_s = self._last_s
        try:
            picture = frame.rgb()
        except FrameGoneError:
            return None  # the next one is there already
        except ImageError as error:
            self._refuse(error)
            raise
        self._sequence += 1
        # A stamp of another clock or from the future says nothing of the age.
        age_s = self._age_s(frame.header)
        captured_s = time.monotonic() - age_s if 0.0 <= age_s < 10.0 else arrived_s
        return CapturedFrame(picture, "rgb8", captured_s, self._sequence - 1, frame.header)

    def close(self) -> None:
        """Forget the last frame."""
        with self._arrived:
            self._frame = None

    def _refuse(self, error: ImageError) -> None:
        self._refusal, self._refused_s = f"{self.name}: images are refused: {error}", time.monotonic()
