# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What executes a vision model: a small Protocol, and how one is chosen for a file.

Its unit of work is one input tensor in, the model's raw outputs out. A backend knows nothing of images, tasks or
boxes: those are the vision package's. It never downloads anything and never uses more threads than it is given.

A package adds a backend by an entry point of the group ``edge_stack.backends`` whose name is the backend's name and
whose object is a class with no-argument constructor that fits :class:`Backend`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError

__all__ = [
    "ENTRY_POINT_GROUP",
    "Backend",
    "ModelError",
    "Runner",
    "backend_names",
    "create_backend",
    "device_of",
]

ENTRY_POINT_GROUP = "edge_stack.backends"

_BUILT_IN: dict[str, str] = {
    "onnxruntime": "edge_stack_inference.engines.onnxruntime:OnnxBackend",
    "openvino": "edge_stack_inference.engines.openvino:OpenVinoBackend",
}


class ModelError(ConfigurationError):
    """A model file that cannot be used; the text names the file and says what would be right."""


class Runner(Protocol):
    """Executes one model, wherever it came from. name: the word for it in parameters and messages."""

    name: ClassVar[str]

    def run(self, tensor: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        """
        Run the model once.

        Args:
            tensor: float32 [1, 3, H, W], RGB, 0..1, contiguous; not kept after the call.

        Returns:
            The raw outputs in the order of the exported model. They may be overwritten by the next call.
        """

    def close(self) -> None:
        """Free the model. Harmless if nothing is open."""


class Backend(Runner, Protocol):
    """Executes one model, from a file. suffixes: file name endings that it opens, lower case."""

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, path: Path, threads: int) -> Mapping[str, Any]:
        """
        Load a model that exists at ``path``, to run on ``threads`` threads (1 or more, the calling one included).

        Returns:
            The model's metadata as Ultralytics writes it: ``task``, ``names``, ``imgsz``, ``end2end``, ``kpt_shape``
            (pose) and so on; values may be Python objects or their text. ``input_shape``, (1, 3, height, width), is
            added where the file fixes it.

        Raises:
            ModelError: the file cannot be used by this backend.
        """


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends that can be asked for, built in or from other packages."""
    return (*_BUILT_IN, *(point.name for point in _plugins()))


def device_of(accelerator: str) -> str:
    """Return the device that a model of an accelerator runs on: "cuda:0" and so on for GPUs, "cpu" for all else."""
    return accelerator if re.fullmatch(r"cuda:\d+", accelerator) else "cpu"


def create_backend(path: Path, name: str = "auto", device: str = "cpu") -> Backend:
    """
    Create the backend for a model file, without loading the file.

    Args:
        path: the model file.
        name: a backend's name; "auto" chooses by the file name's ending.
        device: "cpu", or a GPU: "cuda:0"; see :func:`device_of`.

    Raises:
        ModelError: there is no such file, nothing opens this kind of file, or the named backend does not, or not there.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    if device != "cpu":
        return _on_gpu(path, name, device)
    if name == "auto":
        return _by_suffix(path)
    if name in _BUILT_IN:
        backend = _built_in(name)
    else:
        points = [point for point in _plugins() if point.name == name]
        if not points:
            raise ModelError(f"backend {name!r} is not known; one of auto, {', '.join(backend_names())}")
        backend = _load(points[0])
    if not path.name.lower().endswith(backend.suffixes):
        raise ModelError(f"{path}: backend {name} opens {', '.join(backend.suffixes)} only")
    return backend


def _on_gpu(path: Path, name: str, device: str) -> Backend:
    # Only whoever asks for a GPU needs what it stands on.
    from edge_stack_inference.engines.cuda import CudaBackend

    if name not in ("auto", "onnxruntime") or not path.name.lower().endswith(CudaBackend.suffixes):
        raise ModelError(
            f"{path}: on {device} models run with backend onnxruntime and are .onnx files (backend is {name}); give one, or"
            " choose accelerator cpu"
        )
    return CudaBackend(device)


def _by_suffix(path: Path) -> Backend:
    file_name = path.name.lower()
    for name in _BUILT_IN:
        backend = _built_in(name)
        if file_name.endswith(backend.suffixes):
            return backend
    problems = []
    for point in _plugins():
        try:
            backend = _load(point)
        except ModelError as error:
            problems.append(str(error))
            continue
        if file_name.endswith(backend.suffixes):
            return backend
    because = "; ".join(problems)
    if file_name.endswith(".engine"):
        hint = "a .engine file needs TensorRT and no TensorRT backend is installed; give the .onnx it was built from"
    elif file_name.endswith(".pt"):
        hint = "a .pt file needs the package edge_stack_ultralytics with ultralytics installed; or export it to .onnx"
    else:
        hint = "not a model file that any backend opens; give an Ultralytics .onnx export"
    raise ModelError(f"{path}: {hint}" + (f" ({because})" if because else ""))


def _built_in(name: str) -> Backend:
    module, attribute = _BUILT_IN[name].split(":")
    return cast("Backend", getattr(importlib.import_module(module), attribute)())


def _load(point: EntryPoint) -> Backend:
    try:
        return cast("Backend", point.load()())
    except Exception as error:
        raise ModelError(f"backend {point.name} ({point.value}) does not load: {error}") from error


def _plugins() -> list[EntryPoint]:
    seen: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name not in _BUILT_IN:
            seen.setdefault(point.name, point)
    return list(seen.values())
