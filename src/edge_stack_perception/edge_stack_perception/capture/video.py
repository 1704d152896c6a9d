# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from a video file, at the speed at which it was taken.

A unit of work is one frame: that which the video shows at the time it is asked for. Asked less often than its rate,
frames are skipped; asked more often, none is given twice. It never seeks: it decodes forward, and opens the file anew
at the end.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import cv2

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.base import CapturedFrame, EndOfSourceError, SourceLostError, wait_until
from edge_stack_perception.capture.stream import public_name

__all__ = ["VideoSource"]

_USUAL_RATE_HZ = 30.0  # where the file does not say
_LONGEST_SKIP_S = 5.0  # after a longer pause it goes on where it was


class VideoSource:
    """One video file."""

    live = False

    def __init__(
        self, path: str, loop: bool = True, open_capture: Callable[[str], Any] = cv2.VideoCapture
    ) -> None:
        """path: the file. loop: start again at the end. open_capture: makes the cv2.VideoCapture, for tests."""
        self.name = f"video {public_name(path)}"
        self.rate_hz = 0.0
        self.warning = ""
        self._path = path
        self._loop = loop
        self._open_capture = open_capture
        self._capture: Any = None
        self._inode: tuple[int, int] | None = None
        self._start_s: float | None = None  # when frame 0 of this round is shown
        self._taken = 0  # frames decoded in this round
        self._sequence = 0

    def open(self) -> None:
        """Open the file; ConfigurationError if it is not there or is no video."""
        if not os.path.exists(self._path):
            raise ConfigurationError(f"{self.name}: does not exist; set path to a video file")
        if os.path.isdir(self._path):
            raise ConfigurationError(
                f"{self.name}: is a folder; set source to folder, or path to a video file"
            )
        self._rewind()
        if not self._capture.isOpened() or not self._capture.grab():
            self.close()
            raise ConfigurationError(f"{self.name}: is not a video that OpenCV can decode")
        self._rewind()
        rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if math.isfinite(rate_hz) and 0.1 <= rate_hz <= 1000.0 else _USUAL_RATE_HZ
        self._sequence = 0

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the frame that the video shows at due_s, or its next one, in bgr8."""
        if self._capture is None:
            raise SourceLostError(f"{self.name}: is not open")
        if self._start_s is None or due_s - self._shown_s(self._taken) > _LONGEST_SKIP_S:
            self._start_s = due_s - self._taken / self.rate_hz
        due_s = max(due_s, self._shown_s(self._taken))
        if not wait_until(due_s, timeout_s):
            return None
        self._check_file()
        captured_s = time.monotonic()
        # The margin keeps a due time that was computed from the same rate on its own frame.
        wanted = int((due_s - self._start_s) * self.rate_hz + 1e-3)
        while self._taken <= wanted:
            if not self._capture.grab():
                if not self._loop:
                    raise EndOfSourceError(f"{self.name}: ended; set loop to start it again")
                if self._taken == 0:
                    raise SourceLostError(f"{self.name}: cannot be decoded any more")
                wanted, self._start_s = 0, due_s
                self._rewind(keep_start=True)
                continue
            self._taken += 1
            self._sequence += 1
        decoded, image = self._capture.retrieve()
        if not decoded or image is None:
            raise SourceLostError(f"{self.name}: frame {self._taken - 1} cannot be decoded")
        return CapturedFrame(image, "bgr8", captured_s, self._sequence - 1)

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _shown_s(self, frame: int) -> float:
        return (self._start_s or 0.0) + frame / self.rate_hz

    def _rewind(self, keep_start: bool = False) -> None:
        self.close()
        self._inode = self._identity()
        self._capture = self._open_capture(self._path)
        self._taken = 0
        if not keep_start:
            self._start_s = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """Say at once that the file was deleted: as long as it is open, it could be read to its end."""
        identity = self._identity()
        if identity is None:
            raise SourceLostError(f"{self.name}: is gone")
        if identity != self._inode:
            raise SourceLostError(f"{self.name}: was replaced by another file")
