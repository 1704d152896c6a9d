# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where a vision model's file is: from the name in a parameter to a path.

Its unit of work is one name. It looks at files and never into them, and loads nothing.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from edge_stack_inference.engines.base import ModelError

__all__ = ["DEMO", "find_model"]

DEMO = "demo"
"""The name that stands for the demo's own weights for a task."""
_WEIGHTS_PACKAGE = "edge_stack_ultralytics"
_PACKAGE_SCHEME = "package://"


def find_model(name: str, task: str) -> Path:
    """
    Find a model file.

    Args:
        name: "demo" for the demo's weights of this task; an absolute path or one with ``~``;
            ``package://<package>/<path below its share folder>``; or a relative path, looked for in the current folder,
            in share/edge_stack/models and among the demo's weights, in this order.
        task: the model's task.

    Raises:
        ModelError: there is no such file; the text says where it was looked for.
    """
    if not name:
        raise ModelError(f"no file is given; set it to a model of task {task}, or to {DEMO}")
    if name == DEMO:
        folder = _demo_weights()
        if folder is None:
            raise ModelError(
                f"the demo's weights are in the package {_WEIGHTS_PACKAGE}, which is not installed; build it, or give a"
                " model file"
            )
        candidates = [folder / f"{task}.onnx"]
    elif name.startswith(_PACKAGE_SCHEME):
        package, _, rest = name[len(_PACKAGE_SCHEME) :].partition("/")
        candidates = [prefix / "share" / package / rest for prefix in _prefixes()]
        if not candidates:
            raise ModelError(f"{name}: AMENT_PREFIX_PATH is empty; source the workspace's setup")
    else:
        path = Path(name).expanduser()
        candidates = [path] if path.is_absolute() else list(_places(path))
    for candidate in candidates:
        if candidate.exists():
            return candidate.resolve()
    if len(candidates) == 1:
        raise ModelError(f"{candidates[0]}: no such file")
    raise ModelError(f"{name}: no such file; looked for " + ", ".join(str(c) for c in candidates))


def _places(path: Path) -> Iterator[Path]:
    yield Path.cwd() / path
    for prefix in _prefixes():
        folder = prefix / "share" / "edge_stack" / "models"
        if folder.is_dir():
            yield folder / path
    weights = _demo_weights()
    if weights is not None:
        yield weights / path


def _prefixes() -> list[Path]:
    return [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]


def _demo_weights() -> Path | None:
    """Return the folder of the demo's weights without importing their package (which is not Apache-2.0)."""
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "weights"
