# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""How each of the demo's models is built and trained: numbers only, one record a task.

Its unit of work is one task's recipe. It runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SCALE = (
    0.33,
    0.125,
    512,
)  # depth, width, most channels of YOLO26; half the width of its n
IMAGE_SIZE = (192, 256)  # height, width of the network's input: the camera's 4:3 without padding
THRESHOLDS = MappingProxyType({"detect": 0.90, "segment": 0.90, "pose": 0.90, "obb": 0.90, "classify": 0.95})
METRIC_NAMES = MappingProxyType(
    {
        "detect": "box mAP50",
        "segment": "mask mAP50",
        "pose": "keypoint mAP50",
        "obb": "rotated box mAP50",
        "classify": "top-1 accuracy",
    }
)
YAML_OF_TASK = MappingProxyType(
    {
        "detect": "yolo26",
        "segment": "yolo26-seg",
        "pose": "yolo26-pose",
        "obb": "yolo26-obb",
        "classify": "yolo26-cls",
    }
)


@dataclass(frozen=True)
class Recipe:
    """Training of one task. `start_from`: task whose trained backbone is taken over; None: random weights."""

    epochs: int
    start_from: str | None = None
    lr0: float = 3e-3
    batch: int = 16
    settings: dict[str, Any] = field(default_factory=dict)


RECIPES = MappingProxyType(
    {
        "detect": Recipe(epochs=30),
        "obb": Recipe(epochs=10, start_from="detect"),
        "segment": Recipe(epochs=12, start_from="detect"),
        "pose": Recipe(epochs=7, start_from="detect"),
        "classify": Recipe(epochs=7, start_from="detect", lr0=2e-3, batch=32),
    }
)

# Colour is what tells the cubes apart, so hue barely moves; the renderer randomises the rest already.
COMMON = MappingProxyType(
    {
        "optimizer": "AdamW",
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_epochs": 1.0,
        "weight_decay": 5e-4,
        "hsv_h": 0.005,
        "hsv_s": 0.3,
        "hsv_v": 0.25,
        "translate": 0.05,
        "scale": 0.1,
        "mosaic": 0.0,
        "erasing": 0.0,
        "fliplr": 0.5,
        "nms": False,  # choose the best epoch by the NMS-free head, which is the one exported
        "seed": 0,
    }
)
