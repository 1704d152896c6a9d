# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from a camera of Linux (V4L2), through OpenCV.

A unit of work is one frame. It is stamped with the time that the driver gave its buffer; where a driver gives none that
makes sense, with the time at which the frame was handed over, which is later by transfer and waiting (some ms). Frames
that waited in the driver's queue are thrown away undecoded. It never opens a device again (see reopening.py).
"""

from __future__ import annotations

import difflib
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.base import CapturedFrame, SourceLostError

__all__ = ["DeviceSettings", "V4L2Source", "describe_devices", "parse_options"]

_QUEUE = 4  # buffers that OpenCV asks the driver for
_AT_ONCE_S = 0.002  # a frame that is handed over faster than this waited in the queue
_OLDEST_S = 5.0  # a stamp further from now is of another clock
_MAX_BROKEN = 30  # frames in a row that cannot be decoded before the device counts as lost
_PREFIX = "CAP_PROP_"

# How long OpenCV waits for a frame, s (its default is 10); it reads the variable at its first wait.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")


@dataclass(frozen=True)
class DeviceSettings:
    """
    What a device is asked for; 0 or empty: its own choice.

    width, height: px. fps: frames a second. fourcc: pixel format on the wire; MJPG needs least of a USB bus. options:
    any property of cv2.VideoCapture by its name without CAP_PROP_, in lower case (auto_exposure, exposure, gain, ...).
    """

    width: int = 0
    height: int = 0
    fps: float = 0.0
    fourcc: str = "MJPG"
    options: Mapping[str, float] = field(default_factory=dict)


def parse_options(texts: Iterable[str]) -> dict[str, float]:
    """Read options from texts such as "exposure=120"; ConfigurationError names the text and what would be right."""
    options: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        try:
            options[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name or not math.isfinite(options[name]):
            raise ConfigurationError(f"device option {text!r}: is not name=number, such as exposure=120")
        _property(name)
    return options


def describe_devices(device_folder: str = "/dev", names_folder: str = "/sys/class/video4linux") -> str:
    """Return a sentence with the cameras of this machine, for messages."""
    found = []
    for device in sorted(Path(device_folder).glob("video*")):
        try:
            title = (
                (Path(names_folder) / device.name / "name")
                .read_text(encoding="utf-8", errors="replace")
                .strip()
            )
        except OSError:
            title = ""
        found.append(f"{device} ({title})" if title else str(device))
    return (
        f"there are: {', '.join(found)}" if found else "there is no camera (no /dev/video*) on this machine"
    )


class V4L2Source:
    """One camera device."""

    live = True

    def __init__(
        self,
        path: str,
        settings: DeviceSettings | None = None,
        open_capture: Callable[[str], Any] | None = None,
        check_device: Callable[[str], None] | None = None,
    ) -> None:
        """
        path: /dev/videoN, N, or a link (/dev/v4l/by-id/... is the same whatever the order of plugging in).

        open_capture: makes the cv2.VideoCapture; check_device: refuses a path that is no camera. Both are for tests.
        """
        self.path = f"/dev/video{path}" if path.isdigit() else path
        self.name = f"device {self.path}"
        self.rate_hz = 0.0
        self.warning = ""
        self._settings = settings or DeviceSettings()
        self._open_capture = open_capture or _open_capture
        self._check_device = check_device or _check_device
        self._capture: Any = None
        self._sequence = 0
        self._broken = 0

    def open(self) -> None:
        """Open the device with its settings and take a first frame; ConfigurationError says what is wrong."""
        self.close()
        self._check_device(self.path)
        # OpenCV wants the device itself, not a link to it.
        self._capture = self._open_capture(os.path.realpath(self.path))
        if not self._capture.isOpened():
            self.close()
            raise ConfigurationError(f"{self.name}: cannot be opened as a camera; {describe_devices()}")
        refused = self._apply()
        if not self._capture.grab() or not self._capture.retrieve()[0]:
            self.close()
            raise ConfigurationError(f"{self.name}: gives no frame; is it in use by another program?")
        rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if math.isfinite(rate_hz) and rate_hz > 0.0 else 0.0
        if self._settings.fps > 0.0 and 0.0 < self.rate_hz < 0.95 * self._settings.fps:
            refused.append(f"{self.rate_hz:g} instead of {self._settings.fps:g} frames a second")
        self.warning = f"{self.name}: {'; '.join(refused)}" if refused else ""
        self._sequence = self._broken = 0

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """
        Return the first frame captured at or after due_s, in bgr8 (mono cameras too).

        Waits in the driver, so timeout_s only bounds how often it asks again.
        """
        if self._capture is None:
            raise SourceLostError(f"{self.name}: is not open")
        end_s = time.monotonic() + timeout_s
        backlog = 0
        while True:
            asked_s = time.monotonic()
            if not self._capture.grab():
                raise SourceLostError(f"{self.name}: {self._why_no_frame()}")
            now_s = time.monotonic()
            self._sequence += 1
            captured_s = self._stamp_s(now_s)
            if captured_s is None:
                captured_s, backlog = now_s, backlog + 1
                if now_s - asked_s < _AT_ONCE_S and backlog <= _QUEUE:
                    continue
            if captured_s >= due_s:
                break
            if now_s > end_s:
                return None
        decoded, image = self._capture.retrieve()
        if not decoded or image is None:
            # A broken JPEG frame happens on a bad cable; the next one may be good.
            self._broken += 1
            if self._broken > _MAX_BROKEN:
                raise SourceLostError(f"{self.name}: {self._broken} frames in a row cannot be decoded")
            return None
        self._broken = 0
        return CapturedFrame(image, "bgr8" if image.ndim == 3 else "mono8", captured_s, self._sequence - 1)

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _apply(self) -> list[str]:
        """Set what was asked for, the format first; return what the device did otherwise."""
        wanted, capture, refused = self._settings, self._capture, []
        if wanted.fourcc:
            capture.set(cv2.CAP_PROP_FOURCC, int.from_bytes(wanted.fourcc.encode("ascii"), "little"))
        for name, value in (
            ("FRAME_WIDTH", wanted.width),
            ("FRAME_HEIGHT", wanted.height),
            ("FPS", wanted.fps),
        ):
            if value > 0:
                capture.set(getattr(cv2, _PREFIX + name), value)
        width, height = (round(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if (wanted.width and width != wanted.width) or (wanted.height and height != wanted.height):
            refused.append(
                f"{width}x{height} instead of {wanted.width or width}x{wanted.height or height}, resized"
            )
        for name, value in wanted.options.items():
            if not capture.set(_property(name), value):
                refused.append(f"option {name}={value:g} is refused")
        return refused

    def _stamp_s(self, now_s: float) -> float | None:
        """Return the driver's stamp of the grabbed frame on CLOCK_MONOTONIC, or None if it makes no sense."""
        stamp_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) * 1e-3
        if 0.0 <= now_s - stamp_s < _OLDEST_S and stamp_s > 0.0:
            return stamp_s
        # uvcvideo with clock=realtime, and some others.
        age_s = time.time() - stamp_s
        return now_s - age_s if 0.0 <= age_s < _OLDEST_S else None

    def _why_no_frame(self) -> str:
        if not os.path.exists(self.path):
            return "is gone (unplugged?)"
        return "gives no frames any more"


def _property(name: str) -> int:
    number = getattr(cv2, _PREFIX + name.upper(), None)
    if isinstance(number, int):
        return number
    known = [n[len(_PREFIX) :].lower() for n in dir(cv2) if n.startswith(_PREFIX)]
    near = difflib.get_close_matches(name, known, 3) or ["auto_exposure", "exposure", "gain", "brightness"]
    raise ConfigurationError(f"device option {name!r}: is not known; perhaps {', '.join(near)}")


def _open_capture(path: str) -> Any:
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


def _check_device(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        raise ConfigurationError(f"device {path}: does not exist; {describe_devices()}") from None
    if not stat.S_ISCHR(mode):
        raise ConfigurationError(f"device {path}: is not a device; {describe_devices()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(
            f"device {path}: no permission; add the user to the group video and log in again"
        )
