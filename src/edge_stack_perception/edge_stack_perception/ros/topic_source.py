# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from an image topic that somebody else publishes, as a frame source.

A unit of work is one message; only the newest is kept. The executor's thread puts messages in, one other thread reads
frames; a message that is no image raises in the callback, where the node counts it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo, Image

from edge_stack_core.image_codec import COLOUR_ENCODINGS, ImageError
from edge_stack_core.ros.image_messages import read_array
from edge_stack_perception.capture.base import CapturedFrame

__all__ = ["TopicSource"]

_SILENCE_S = 2.0


class TopicSource:
    """
    The newest message of a topic.

    camera_info: the last one that came beside the images.
    """

    live = True
    rate_hz = 0.0

    def __init__(self, topic: str, age_s: Callable[[Image], float]) -> None:
        """topic: its full name. age_s: how old a message is by its stamp, s, on the clock of the node."""
        self.name = f"topic {topic}"
        self.camera_info: CameraInfo | None = None
        self._age_s = age_s
        self._arrived = threading.Condition()
        self._message: Image | None = None
        self._sequence = 0
        self._last_s = time.monotonic()

    @property
    def warning(self) -> str:
        """Say that nothing arrives."""
        silent_s = time.monotonic() - self._last_s
        return (
            f"{self.name}: no image for {silent_s:.0f} s; is it published?" if silent_s > _SILENCE_S else ""
        )

    def take(self, message: Image) -> None:
        """Keep a message for the reader; raises ImageError if it is no picture."""
        if message.encoding not in COLOUR_ENCODINGS:
            raise ImageError(f"encoding: {message.encoding!r} is not a colour or grey one")
        read_array(message)
        with self._arrived:
            self._message = message
            self._last_s = time.monotonic()
            self._arrived.notify()

    def take_info(self, info: CameraInfo) -> None:
        """Keep the camera's info."""
        self.camera_info = info

    def open(self) -> None:
        """Start waiting anew; there may be no publisher yet."""
        with self._arrived:
            self._message, self._last_s = None, time.monotonic()

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the newest message that arrived at or after due_s, as it is."""
        end_s = time.monotonic() + timeout_s
        with self._arrived:
            while self._message is None or self._last_s < due_s:
                left_s = end_s - time.monotonic()
                if left_s <= 0.0:
                    return None
                self._arrived.wait(left_s)
            message, self._message = self._message, None
            arrived_s = self._last_s
        self._sequence += 1
        # A stamp of another clock or from the future says nothing of the age.
        age_s = self._age_s(message)
        captured_s = time.monotonic() - age_s if 0.0 <= age_s < 10.0 else arrived_s
        return CapturedFrame(
            read_array(message), message.encoding, captured_s, self._sequence - 1, message.header
        )

    def close(self) -> None:
        """Forget the last message."""
        with self._arrived:
            self._message = None
