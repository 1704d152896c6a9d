# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Optional package around ultralytics: data, training, export, .pt loading and the demo's trained weights.

Its unit of work is one model. The rest of edge_stack never imports it; it only reads its weight files, or
finds the .pt engine through the entry point group "edge_stack.engines".
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

TASKS = ("detect", "segment", "pose", "obb", "classify")


def weights_folder() -> Path:
    """Folder with the trained models `<task>.onnx` and their metrics."""
    return Path(str(files(__name__).joinpath("weights")))
