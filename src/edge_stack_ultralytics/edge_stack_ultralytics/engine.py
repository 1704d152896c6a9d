# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""The engine "pt": runs an ultralytics .pt checkpoint in torch and yields what its ONNX export would yield.

Its unit of work is one input tensor. Decoding is not done here: whoever opened the engine decodes these
outputs like those of any other. Slower than ONNX Runtime; for trying a model before it is exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_stack_inference.engines.base import ModelError
from edge_stack_ultralytics import offline

_HEADS = ("detect", "segment", "pose", "obb")


class PtEngine:
    """Runs a .pt file on the CPU."""

    name: ClassVar[str] = "pt"
    suffixes: ClassVar[tuple[str, ...]] = (".pt",)

    def __init__(self) -> None:
        """Load nothing yet."""
        self._model: Any = None
        self._threads = 1

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """Load a checkpoint, in the NMS-free layout where its head has one.

        Args:
            path: a .pt file of ultralytics that exists.
            threads: of torch in this process.

        Returns:
            Metadata under the names that ultralytics' exports use, with `input_shape` (1, 3, height, width):
            the size that it was trained for.

        Raises:
            ModelError: ultralytics is not installed or does not load the file, or the task has no decoder.
        """
        try:
            offline.prepare(threads)
            from ultralytics.nn.tasks import load_checkpoint
        except ImportError as error:
            raise ModelError(
                f"{path}: .pt needs ultralytics and torch; install them, or export it to .onnx ({error})"
            ) from error
        try:
            model, _ = load_checkpoint(str(path), device="cpu")
        except Exception as error:
            raise ModelError(f"{path}: ultralytics does not load it: {error}") from error
        task = str(getattr(model, "task", ""))
        if task not in (*_HEADS, "classify"):
            raise ModelError(
                f"{path}: its task is {task!r}; detect, segment, pose, obb or classify is needed"
            )
        head = model.model[-1]
        end2end = task in _HEADS and getattr(head, "one2one_cv2", None) is not None
        if task in _HEADS:
            model.end2end = end2end  # before fuse, which drops the other branch of the head
            head.export, head.format, head.dynamic = True, "onnx", False
        else:
            head.export = True
        self._model, self._threads = model.fuse(verbose=False).float().eval(), threads
        height, width = _input_size(model)
        metadata: dict[str, Any] = {
            "task": task,
            "names": dict(model.names),
            "imgsz": [height, width],
            "stride": int(model.stride.max()),
            "end2end": end2end,
            "input_shape": (1, 3, height, width),
        }
        if task == "pose":
            metadata["kpt_shape"] = list(head.kpt_shape)
            names = getattr(model, "kpt_names", None)
            if names:
                metadata["kpt_names"] = names
        return metadata

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """Run the model once on float32 [1, 3, H, W], RGB in 0..1; outputs in the order of an ONNX export."""
        import torch

        if self._model is None:
            raise RuntimeError("open the engine first")
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            found = self._model(torch.from_numpy(np.ascontiguousarray(tensor)))
        return [np.asarray(item) for item in _flat(found)]

    def close(self) -> None:
        """Free the model."""
        self._model = None


def _flat(found: Any) -> list[Any]:
    """Tensors of nested tuples, in order."""
    if isinstance(found, (list, tuple)):
        return [tensor for item in found for tensor in _flat(item)]
    return [found]


def _input_size(model: Any) -> tuple[int, int]:
    """(height, width) that a checkpoint asks for, as multiples of its stride."""
    arguments = getattr(model, "args", None) or {}
    size = (arguments if isinstance(arguments, dict) else vars(arguments)).get("imgsz", 640)
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    stride = max(int(model.stride.max()), 1)
    return -(-height // stride) * stride, -(-width // stride) * stride
