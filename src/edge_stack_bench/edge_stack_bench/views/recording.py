# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of a running stack: the camera with every model's results, and a strip or a table of figures.

A unit of work is one composed frame. Nothing here knows ROS, listens or writes files (see record.py, frame_files.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_stack_bench.views.report import NodeRecord, RunRecord
from edge_stack_perception.vision.draw import annotate, class_colour
from edge_stack_perception.vision.text import Colour, put_text, text_size
from edge_stack_perception.vision.types import Detections

__all__ = ["DRAWN", "ShownFigures", "Status", "ModelView", "compose", "picture"]

MAIN_WIDTH = 640  # px of the main panel of a recording
PANEL_WIDTH = 480  # px of a panel of the picture
_BACKGROUND: Colour = (18, 20, 26)
_LIGHT: Colour = (236, 238, 242)
_DIM: Colour = (150, 156, 168)
_STATES: dict[str, Colour] = {
    "run": (76, 217, 100),
    "slow": (255, 214, 51),
    "hold": (255, 149, 40),
    "stop": (255, 82, 82),
}
DRAWN: tuple[Colour, ...] = (
    *(_BACKGROUND, _LIGHT, _DIM),
    *_STATES.values(),
    *(class_colour(i) for i in range(10)),
    *(class_colour(0, name) for name in ("red", "green", "blue", "yellow")),
)
"""Colours of frames beside those of the camera."""
_ORDER = ("detect", "segment", "pose", "obb", "classify")


@dataclass(frozen=True)
class ModelView:
    """What one model saw and found. rgb: uint8 [H, W, 3], the picture that the detections belong to."""

    rgb: NDArray[np.uint8]
    detections: Detections
    names: Sequence[str]


@dataclass(frozen=True)
class ShownFigures:
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
    nodes: Mapping[str, ShownFigures] = field(default_factory=dict)

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
                name: ShownFigures(
                    node.rate_hz, node.target_hz, node.latency_p50_ms, node.priority_class, node.state
                )
                for name, node in sorted(record.nodes.copy().items(), key=lambda item: _class_rank(item[1]))
            },
        )


# ---- composing -----------------------------------------------------------------------------------------------------


def compose(frame: NDArray[np.uint8], views: Mapping[str, ModelView], status: Status) -> NDArray[np.uint8]:
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


def picture(frame: NDArray[np.uint8], views: Mapping[str, ModelView], status: Status) -> NDArray[np.uint8]:
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


def _fitted(view: ModelView, width: int, labels: bool = True) -> NDArray[np.uint8]:
    scale = width / view.rgb.shape[1]
    return annotate(view.rgb, view.detections, view.names, scale=scale, labels=labels)


def _resized(rgb: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    scale = width / rgb.shape[1]
    way = cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=way), np.uint8)


def _title(name: str, figures: ShownFigures | None) -> str:
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
            if math.isfinite(value) and value > 0.0:
                put_text(panel, f"{value:.1f}", column, y, 14, _LIGHT)
        y += 20
    return panel
