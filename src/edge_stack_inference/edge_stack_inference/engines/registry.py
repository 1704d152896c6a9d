# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Chooses the engine for a model file: by its name, by the ending of the file's name, or by the device.

Its unit is one engine, made and without a model. A package adds one by an entry point of the group
``edge_stack.engines`` whose name is the engine's name and whose object is a class with no-argument constructor that fits
:class:`Engine <edge_stack_inference.engines.base.Engine>`; this package adds its own so.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from edge_stack_core.device import is_cuda, parse_device
from edge_stack_core.plugins import find_plugins
from edge_stack_inference.engines.base import Engine, ModelError

__all__ = ["GROUP", "engine_names", "create_engine"]

GROUP = "edge_stack.engines"

# Of those that open a file this one does; without it the first one, and ours before a stranger's.
_DEFAULT = "onnxruntime"


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines that can be asked for, ours or from other packages."""
    return tuple(find_plugins(GROUP, __name__))


def create_engine(path: Path, name: str = "auto", device: str = "cpu") -> Engine:
    """
    Create the engine for a model file, without loading the file.

    Args:
        path: the model file.
        name: an engine's name; "auto" chooses by the file name's ending.
        device: "cpu", or a GPU: "cuda:0"; see :func:`edge_stack_core.device.parse_device`.

    Raises:
        ModelError: there is no such file, nothing opens this kind of file, or the named engine does not, or not there.
        ConfigurationError: not even ours are installed.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    device = parse_device(device)
    if is_cuda(device):
        return _on_gpu(path, name, device)
    known = find_plugins(GROUP, __name__)
    if name == "auto":
        return _by_suffix(path, known)
    if name not in known:
        raise ModelError(f"engine {name!r} is not known; one of auto, {', '.join(known)}")
    engine = _load(known[name])
    if not path.name.lower().endswith(engine.suffixes):
        raise ModelError(f"{path}: engine {name} opens {', '.join(engine.suffixes)} only")
    return engine


def _on_gpu(path: Path, name: str, device: str) -> Engine:
    # Only whoever asks for a GPU needs what it stands on.
    from edge_stack_inference.engines.cuda import CudaEngine

    if name not in ("auto", "onnxruntime") or not path.name.lower().endswith(CudaEngine.suffixes):
        raise ModelError(
            f"{path}: on {device} models run with engine onnxruntime and are .onnx files (engine is {name}); give one, or"
            " choose device cpu"
        )
    return CudaEngine(device)


def _by_suffix(path: Path, known: dict[str, EntryPoint]) -> Engine:
    file_name = path.name.lower()
    problems = []
    for name in sorted(known, key=lambda name: name != _DEFAULT):
        try:
            engine = _load(known[name])
        except ModelError as error:
            problems.append(str(error))
            continue
        if file_name.endswith(engine.suffixes):
            return engine
    because = "; ".join(problems)
    if file_name.endswith(".engine"):
        hint = "a .engine file needs TensorRT and no TensorRT engine is installed; give the .onnx it was built from"
    elif file_name.endswith(".pt"):
        hint = "a .pt file needs the package edge_stack_ultralytics with ultralytics installed; or export it to .onnx"
    else:
        hint = "not a model file that any engine opens; give an Ultralytics .onnx export"
    raise ModelError(f"{path}: {hint}" + (f" ({because})" if because else ""))


def _load(point: EntryPoint) -> Engine:
    try:
        return cast("Engine", point.load()())
    except Exception as error:
        raise ModelError(f"engine {point.name} ({point.value}) does not load: {error}") from error
