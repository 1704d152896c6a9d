# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Frames from a folder of pictures, one file a frame, in natural order (2.png before 10.png).

A unit of work is one file. The folder is listed anew at each round, so pictures may come and go; a file that is no
picture is left out with a warning. It never looks into sub-folders.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import cv2

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.base import CapturedFrame, EndOfSourceError, SourceLostError, wait_until

__all__ = ["FolderSource"]

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class FolderSource:
    """The pictures of one folder, as often as they are asked for."""

    live = False
    rate_hz = 0.0

    def __init__(self, path: str, loop: bool = True) -> None:
        """path: the folder. loop: start again after the last picture."""
        self.name = f"folder {path}"
        self.warning = ""
        self._path = Path(path)
        self._loop = loop
        self._files: list[Path] = []
        self._next = 0
        self._sequence = 0

    def open(self) -> None:
        """List the folder; ConfigurationError if it is not there or holds no picture that can be read."""
        if not self._path.exists():
            raise ConfigurationError(f"{self.name}: does not exist; set path to a folder of pictures")
        if not self._path.is_dir():
            raise ConfigurationError(f"{self.name}: is a file; set path to its folder, or source to video")
        try:
            self._files, self._next, self._sequence, self.warning = self._list(), 0, 0, ""
        except SourceLostError as error:
            raise ConfigurationError(str(error)) from error
        if not self._files:
            raise ConfigurationError(f"{self.name}: holds no picture ({', '.join(_SUFFIXES)})")
        if not any(cv2.haveImageReader(str(file)) for file in self._files):
            raise ConfigurationError(f"{self.name}: none of its {len(self._files)} pictures can be read")

    def read(self, due_s: float, timeout_s: float) -> CapturedFrame | None:
        """Return the next picture at due_s, in bgr8."""
        if not wait_until(due_s, timeout_s):
            return None
        captured_s = time.monotonic()
        for _ in range(2):
            while self._next < len(self._files):
                file = self._files[self._next]
                self._next += 1
                image = cv2.imread(str(file), cv2.IMREAD_COLOR)
                if image is not None:
                    self._sequence += 1
                    return CapturedFrame(image, "bgr8", captured_s, self._sequence - 1)
                if file.exists():
                    self.warning = f"{self.name}: {file.name} cannot be read and is left out"
            if not self._loop:
                raise EndOfSourceError(f"{self.name}: ended; set loop to start it again")
            self._files, self._next = self._list(), 0
        raise SourceLostError(f"{self.name}: holds no picture that can be read any more")

    def close(self) -> None:
        """Forget the list."""
        self._files = []

    def _list(self) -> list[Path]:
        try:
            files = [
                f
                for f in self._path.iterdir()
                if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")
            ]
        except OSError as error:
            raise SourceLostError(f"{self.name}: cannot be listed: {error.strerror}") from error
        return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name)]
