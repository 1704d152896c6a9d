# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Imports ultralytics without the network and beside a CPU-only torch.

Its unit of work is one process: call `prepare` before anything imports torchvision or ultralytics. It
installs nothing, downloads nothing and reports nothing to anybody.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_prepared = False


def prepare(threads: int = 1) -> None:
    """Make ultralytics importable here and bound its threads.

    Args:
        threads: intra-op threads of torch. More than the idle cores make everything slower, not faster.
    """
    global _prepared
    os.environ.setdefault("YOLO_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "0")
    os.environ.setdefault(
        "YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / f"edge_stack_ultralytics_{os.getuid()}")
    )
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(threads)
    if not _prepared:
        _prepared = True
        _provide_nms()


def _provide_nms() -> None:
    """Give torchvision an nms of our own where its operators do not load.

    A torchvision wheel built for CUDA does not load its operators beside a CPU-only torch. Depending on the
    version its import then fails at registering a fake kernel for torchvision::nms, or only the call of nms
    does.
    """
    import importlib

    import torch

    try:
        extension: Any = importlib.import_module("torchvision.extension")
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _define_operators()
        extension = importlib.import_module("torchvision.extension")
    if not extension._has_ops():
        _define_operators()
        extension._has_ops = lambda: True
    assert torch.ops.torchvision.nms is not None


def _define_operators() -> None:
    import torch

    if _keep:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        (
            "qnms(Tensor quantized_dets, Tensor dets_scale, Tensor dets_zero_point, Tensor quantized_scores, "
            "Tensor scores_scale, Tensor scores_zero_point, float iou_threshold) -> Tensor"
        ),
    ):
        with contextlib.suppress(RuntimeError):  # defined already
            library.define(schema)
    library.impl("nms", _nms, "CPU")
    _keep.append(library)


_keep: list[object] = []  # a torch Library undefines its operators when it is collected


def _nms(dets, scores, iou_threshold: float):  # type: ignore[no-untyped-def]
    """Greedy non-maximum suppression of boxes [N, 4] x1 y1 x2 y2: int64 indices kept, best score first."""
    import numpy as np
    import torch

    boxes = dets.detach().numpy().astype(np.float32)
    order = torch.argsort(scores, descending=True, stable=True).numpy()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        inter = np.clip(high - low, 0, None).prod(axis=1)
        union = areas[best] + areas[rest] - inter
        order = rest[inter <= iou_threshold * union]
    return torch.as_tensor(np.array(kept, dtype=np.int64))
