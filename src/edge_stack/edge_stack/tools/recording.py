# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of a running stack, with every model's results and a status strip, and the GIF or MP4 files that they go to.

A unit of work is one composed frame. Nothing here knows ROS. Files are written as frames come, so that memory does not
grow with the length of a recording.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from edge_stack.tools.report import NodeRecord, RunRecord
from edge_stack.vision.draw import annotate, class_colour
from edge_stack.vision.text import Colour, put_text, text_size
from edge_stack.vision.types import Detections

__all__ = [
    "Figures",
    "FrameWriter",
    "GifWriter",
    "Mp4Writer",
    "Status",
    "View",
    "compose",
    "open_writer",
    "picture",
]

MAIN_WIDTH = 640  # px of the main panel of a recording
PANEL_WIDTH = 480  # px of a panel of the picture
MAX_GIF_FRAMES = 1800
_NOISE = 14  # of 255: a smaller change of a pixel is not shown in a GIF
_BACKGROUND: Colour = (18, 20, 26)
_LIGHT: Colour = (236, 238, 242)
_DIM: Colour = (150, 156, 168)
_STATES: dict[str, Colour] = {
    "run": (76, 217, 100),
    "slow": (255, 214, 51),
    "hold": (255, 149, 40),
    "stop": (255, 82, 82),
}
_ORDER = ("detect", "segment", "pose", "obb", "classify")


@dataclass(frozen=True)
class View:
    """What one model saw and found. rgb: uint8 [H, W, 3], the picture that the detections belong to."""

    rgb: NDArray[np.uint8]
    detections: Detections
    names: Sequence[str]


@dataclass(frozen=True)
class Figures:
    """What one node achieves. target_hz: 0 where it has none."""

    rate_hz: float = math.nan
    target_hz: float = 0.0
    latency_ms: float = math.nan
    priority_class: str = ""
    state: str = ""


@dataclass(frozen=True)
class Status:
    """What the strip says. nodes: by name, in the order in which they are shown."""

    instruction: str = ""
    attempts: int = 0
    successes: int = 0
    control_state: str = ""
    control_reason: str = ""
    control_hz: float = math.nan
    lateness_p99_ms: float = math.nan
    nodes: Mapping[str, Figures] = field(default_factory=dict)

    @classmethod
    def of(cls, record: RunRecord) -> Status:
        """Take the figures of a run as it stands."""
        control, task = record.control, record.task
        return cls(
            instruction=task.instruction,
            attempts=task.attempts,
            successes=task.successes,
            control_state=control.state,
            control_reason=control.reason,
            control_hz=control.rate_hz or math.nan,
            lateness_p99_ms=control.lateness_ms.get("p99", math.nan),
            nodes={
                name: Figures(
                    node.rate_hz, node.target_hz, node.latency_p50_ms, node.priority_class, node.state
                )
                for name, node in sorted(record.nodes.copy().items(), key=lambda item: _class_rank(item[1]))
            },
        )


# ---- composing -----------------------------------------------------------------------------------------------------


def compose(frame: NDArray[np.uint8], views: Mapping[str, View], status: Status) -> NDArray[np.uint8]:
    """
    Return one frame of a recording: the detections large, every other model small beside it, the status below.

    frame: uint8 [H, W, 3], the newest picture, shown where there are no detections. views: by the name of the node.
    Returns uint8 [h, w, 3] of even size, the same for every frame of one camera with up to five models.
    """
    names = sorted((n for n in views if n != _ORDER[0]), key=_rank)
    main = views.get(_ORDER[0])
    image = _fitted(main, MAIN_WIDTH) if main is not None else _resized(frame, MAIN_WIDTH)
    height = image.shape[0]
    rows = max(4, len(names))
    side = np.full((height, round(height / rows * frame.shape[1] / frame.shape[0]), 3), _BACKGROUND, np.uint8)
    for row, name in enumerate(names):
        top, bottom = height * row // rows, height * (row + 1) // rows
        small = _fitted(views[name], side.shape[1], labels=False)[: bottom - top]
        side[top : top + small.shape[0], : small.shape[1]] = small
        put_text(side, name, 0, bottom - text_size(name, 11, boxed=True)[1], 11, _LIGHT, _BACKGROUND, 0.7)
    image = np.hstack([image, side])
    strip = _strip(status, image.shape[1])
    image = np.vstack([image, strip])
    return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])


def picture(frame: NDArray[np.uint8], views: Mapping[str, View], status: Status) -> NDArray[np.uint8]:
    """
    Return the picture for a page: one panel a model, three a row, and the nodes' figures in the last.

    Arguments as of compose(). Returns uint8 [h, w, 3].
    """
    panels = []
    for name in sorted(views, key=_rank):
        panel = _fitted(views[name], PANEL_WIDTH)
        figures = status.nodes.get(name)
        put_text(panel, _title(name, figures), 0, panel.shape[0] - 24, 15, _LIGHT, _BACKGROUND, 0.75)
        panels.append(panel)
    if not panels:
        panels.append(_resized(frame, PANEL_WIDTH))
    height = max(p.shape[0] for p in panels)
    panels.append(_table(status, PANEL_WIDTH, height))
    gap = 6
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (rows * (height + gap) + gap, columns * (PANEL_WIDTH + gap) + gap, 3)
    page = np.full(size, _BACKGROUND, np.uint8)
    for i, panel in enumerate(panels):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (PANEL_WIDTH + gap)
        page[y : y + panel.shape[0], x : x + PANEL_WIDTH] = panel
    return page


def _class_rank(node: NodeRecord) -> tuple[int, tuple[int, str]]:
    order = ("critical", "essential", "background")
    return order.index(node.priority_class) if node.priority_class in order else len(order), _rank(node.name)


def _rank(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _fitted(view: View, width: int, labels: bool = True) -> NDArray[np.uint8]:
    scale = width / view.rgb.shape[1]
    return annotate(view.rgb, view.detections, view.names, scale=scale, labels=labels)


def _resized(rgb: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    scale = width / rgb.shape[1]
    way = cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=way), np.uint8)


def _title(name: str, figures: Figures | None) -> str:
    if figures is None or not math.isfinite(figures.rate_hz):
        return name
    latency = f", {figures.latency_ms:.0f} ms" if math.isfinite(figures.latency_ms) else ""
    return f"{name}  {figures.rate_hz:.1f} Hz{latency}"


def _strip(status: Status, width: int) -> NDArray[np.uint8]:
    """Two lines: what is asked and how control does; then each node's rate."""
    strip = np.full((52, width, 3), _BACKGROUND, np.uint8)
    x = 10
    for text, colour in _headline(status):
        x += put_text(strip, text, x, 5, 15, colour)[0] + 14
    x = 10
    for name, figures in status.nodes.items():
        if figures.target_hz <= 0.0 or not math.isfinite(figures.rate_hz):
            continue
        text = f"{name} {figures.rate_hz:.1f}"
        if x + text_size(text, 12)[0] > width - 6:
            break
        good = figures.rate_hz >= 0.9 * figures.target_hz and figures.state in ("", "active")
        x += put_text(strip, text, x, 29, 12, _LIGHT if good else _STATES["hold"])[0] + 12
    return strip


def _headline(status: Status) -> list[tuple[str, Colour]]:
    parts: list[tuple[str, Colour]] = []
    if status.instruction:
        parts.append((f"“{status.instruction}”", _LIGHT))
    if status.attempts:
        parts.append((f"{status.successes} of {status.attempts} done", _DIM))
    if status.control_state:
        state = status.control_state
        reason = f" ({status.control_reason})" if status.control_reason not in ("", "ok") else ""
        parts.append((f"control {state}{reason}", _STATES.get(state, _LIGHT)))
    if math.isfinite(status.control_hz):
        parts.append((f"{status.control_hz:.2f} Hz", _LIGHT))
    return parts


def _table(status: Status, width: int, height: int) -> NDArray[np.uint8]:
    """Return a panel with the headline and a line a node."""
    panel = np.full((height, width, 3), (28, 31, 39), np.uint8)
    x, y = 18, 16
    for text, colour in _headline(status):
        y += put_text(panel, text, x, y, 16, colour)[1] + 4
    if math.isfinite(status.lateness_p99_ms):
        y += put_text(panel, f"control lateness p99 {status.lateness_p99_ms:.2f} ms", x, y, 14, _DIM)[1] + 4
    y += 10
    columns = (x, x + 120, x + 300, x + 372)
    for text, column in zip(("node", "class", "Hz", "ms"), columns, strict=True):
        put_text(panel, text, column, y, 12, _DIM)
    y += 20
    for name, figures in status.nodes.items():
        if y > height - 20:
            break
        put_text(panel, name, columns[0], y, 14, _LIGHT)
        put_text(panel, figures.priority_class, columns[1], y, 13, _DIM)
        for value, column in ((figures.rate_hz, columns[2]), (figures.latency_ms, columns[3])):
            if math.isfinite(value):
                put_text(panel, f"{value:.1f}", column, y, 14, _LIGHT)
        y += 20
    return panel


# ---- files ---------------------------------------------------------------------------------------------------------


class FrameWriter(Protocol):
    """A file that frames are added to."""

    def add(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Add one frame, uint8 [h, w, 3] RGB, shown from a time (any clock) until the next frame's."""

    def close(self) -> None:
        """End the file. May be called twice."""


def open_writer(path: Path, rate_hz: float) -> FrameWriter:
    """Return the writer for a file's ending, .gif or .mp4; its folder is made. ValueError for any other ending."""
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"{path}: the name must end in .gif or .mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    return GifWriter(path) if path.suffix.lower() == ".gif" else Mp4Writer(path, rate_hz)


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
            self._writer = cv2.VideoWriter(
                str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, self._size
            )
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

    Its palette is that of the first frame and the colours that are drawn with. After max_frames it takes no more.
    """

    _CLEAR = 255  # the index that leaves a pixel as it was

    def __init__(self, path: Path, max_frames: int = MAX_GIF_FRAMES) -> None:
        """path: made or replaced."""
        self._path = path
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
        drawn = [_BACKGROUND, _LIGHT, _DIM, *_STATES.values(), *(class_colour(i) for i in range(10))]
        drawn += [class_colour(0, name) for name in ("red", "green", "blue", "yellow")]
        free = self._CLEAR - len(drawn)
        adaptive = Image.fromarray(image).quantize(free, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        colours = np.array((adaptive.getpalette() or [])[: 3 * free], int).reshape(-1, 3)
        colours = np.vstack([np.array(drawn, int), colours])[: self._CLEAR].astype(np.float32)
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
