# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Files of moving pictures: GIF and MP4, written frame by frame, so that memory does not grow with their length.

A unit of work is one frame, uint8 [h, w, 3] RGB. A file has the size of its first frame; others are fitted to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from edge_stack_perception.vision.text import Colour

__all__ = ["FrameWriter", "GifWriter", "Mp4Writer", "open_writer"]

MAX_GIF_FRAMES = 1800
_MP4V = int.from_bytes(b"mp4v", "little")
_MEDIAN_CUT = 0  # Pillow's number; its name moved between versions
_NOISE = 14  # of 255: a smaller change of a pixel is not shown in a GIF


class FrameWriter(Protocol):
    """A file that frames are added to."""

    def add(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Add one frame, uint8 [h, w, 3] RGB, shown from a time (any clock) until the next frame's."""

    def close(self) -> None:
        """End the file. May be called twice."""


def open_writer(path: Path, rate_hz: float, drawn: Sequence[Colour] = ()) -> FrameWriter:
    """
    Return the writer for a file's ending, .gif or .mp4, and make its folder. ValueError for any other ending.

    rate_hz: of an MP4; a GIF has the time of each frame. drawn: colours that a GIF's palette must have.
    """
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"{path}: the name must end in .gif or .mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    return GifWriter(path, drawn) if path.suffix.lower() == ".gif" else Mp4Writer(path, rate_hz)


class Mp4Writer:
    """MPEG-4 at a constant rate; a frame is repeated or left out to keep the time."""

    def __init__(self, path: Path, rate_hz: float) -> None:
        """path: made or replaced."""
        self._path = path
        self._rate_hz = rate_hz
        self._writer: Any = None
        self._size = (0, 0)
        self._start_s = 0.0
        self._written = 0

    def add(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Add a frame; OSError if the file cannot be written."""
        if self._writer is None:
            self._size, self._start_s = (image.shape[1], image.shape[0]), time_s
            self._writer = cv2.VideoWriter(str(self._path), _MP4V, self._rate_hz, self._size)
            if not self._writer.isOpened():
                raise OSError(f"{self._path}: cannot be written as MPEG-4")
        bgr = cv2.cvtColor(_same_size(image, self._size), cv2.COLOR_RGB2BGR)
        due = int((time_s - self._start_s) * self._rate_hz + 0.5) + 1
        while self._written < due:
            self._writer.write(bgr)
            self._written += 1

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


class GifWriter:
    """
    An animated GIF in one palette, written as frames come; of each frame only what changed.

    Its palette is that of the first frame and the colours given. After max_frames it takes no more.
    """

    _CLEAR = 255  # the index that leaves a pixel as it was

    def __init__(self, path: Path, drawn: Sequence[Colour] = (), max_frames: int = MAX_GIF_FRAMES) -> None:
        """path: made or replaced. drawn: colours that may come later than the first frame."""
        self._path = path
        self._drawn = list(drawn)
        self._max_frames = max_frames
        self._file: BinaryIO | None = None
        self._closed = False
        self._nearest: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._palette: list[int] = []
        self._size = (0, 0)
        self._kept: NDArray[np.uint8] | None = None  # the colours of the newest frame, without noise
        self._shown: NDArray[np.uint8] | None = None
        self._pending: tuple[NDArray[np.uint8], float] | None = None
        self.frames = 0

    def add(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Add a frame; OSError if the file cannot be written."""
        if self._closed or self.frames >= self._max_frames:
            return
        if self._file is None:
            self._begin(image)
        rgb = _same_size(image, self._size)
        if self._kept is None:
            self._kept = rgb.copy()
        else:
            # A camera's noise would change every pixel of every frame; what changed less stays as it was.
            moved = cv2.inRange(cv2.absdiff(rgb, self._kept), (0, 0, 0), (_NOISE,) * 3) == 0
            self._kept[moved] = rgb[moved]
        five = self._kept >> 3
        index = (five[..., 0].astype(np.uint16) << 10) | (five[..., 1].astype(np.uint16) << 5) | five[..., 2]
        self._flush(time_s)
        self._pending = (self._nearest[index], time_s)
        self.frames += 1

    def close(self) -> None:
        """Write the last frame and end the file."""
        if self._file is not None and not self._closed:
            if self._pending is not None:
                self._flush(self._pending[1] + 0.5)
            self._file.write(b";")
            self._file.close()
        self._closed = True

    def _begin(self, image: NDArray[np.uint8]) -> None:
        self._size = (image.shape[1], image.shape[0])
        free = self._CLEAR - len(self._drawn)
        adaptive = Image.fromarray(image).quantize(free, _MEDIAN_CUT, dither=0)  # type: ignore[arg-type]  # older Pillow has no Dither
        colours = np.array((adaptive.getpalette() or [])[: 3 * free], int).reshape(-1, 3)
        colours = np.vstack([np.array(self._drawn, int).reshape(-1, 3), colours])[: self._CLEAR].astype(
            np.float32
        )
        grid = np.arange(32, dtype=np.float32) * 8 + 4
        cells = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
        distance = (cells**2).sum(1)[:, None] - 2 * cells @ colours.T + (colours**2).sum(1)
        self._nearest = distance.argmin(1).astype(np.uint8)
        self._palette = [*colours.astype(int).ravel().tolist(), *([0] * (768 - colours.size))]
        self._file = self._path.open("wb")
        width, height = self._size
        # Header, screen with a table of 256 colours, and "repeat for ever".
        self._file.write(
            b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\xf7\x00\x00"
        )
        self._file.write(bytes(self._palette))
        self._file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")

    def _flush(self, until_s: float) -> None:
        """Write the frame that waits, now that the time for which it is shown is known."""
        if self._pending is None or self._file is None:
            return
        indices, since_s = self._pending
        part, corner = indices, (0, 0)
        if self._shown is not None:
            changed = indices != self._shown
            x, y, w, h = cv2.boundingRect(changed.astype(np.uint8)) if changed.any() else (0, 0, 1, 1)
            box = (slice(y, y + h), slice(x, x + w))
            part, corner = np.where(changed[box], indices[box], np.uint8(self._CLEAR)), (x, y)
        self._shown, self._pending = indices, None
        frame = Image.fromarray(np.ascontiguousarray(part), "P")
        frame.putpalette(self._palette)
        duration_ms = max(20, round((until_s - since_s) * 100) * 10)
        blocks = GifImagePlugin.getdata(
            frame, corner, duration=duration_ms, transparency=self._CLEAR, disposal=1
        )
        for block in blocks:
            self._file.write(block)


def _same_size(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a frame to the size of the file: a panel more or less changes its own."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
