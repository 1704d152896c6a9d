# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One step of the benchmark `policy` in a process of its own: build and export a SmolVLA, or time one on one engine.

Prints one line of JSON: milliseconds by part and chunk, the process's peak memory, and the export's parity.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_stack_core.runtime.process import peak_rss_mb

PARTS = ("images", "vision", "prefix", "denoise", "all")
"""images: scaling and normalizing pixels. vision: to tokens. prefix: to keys and values. denoise: all flow steps."""
TASK = "put the red cube in the bin"
CAMERAS = ("table", "wrist")
_WARM_UPS = 1


def build(spec: dict[str, Any]) -> dict[str, Any]:
    """Build a checkpoint of a size and export it."""
    import torch

    from edge_stack_policy.lerobot.smolvla_offline import build_smolvla
    from edge_stack_policy.smolvla.export import export

    torch.set_num_threads(1)
    built = build_smolvla(spec["checkpoint"], spec["size"], cameras=CAMERAS, camera_shape=(480, 640))
    del built
    exported = export(spec["checkpoint"], spec["exported"], runs=1)
    return {"parity_max_abs": exported.description.parity_max_abs}


def time_onnx(spec: dict[str, Any]) -> dict[str, Any]:
    """Time an exported policy."""
    from edge_stack_policy.smolvla.runtime import SmolVLARuntime

    runtime = SmolVLARuntime(spec["folder"])
    d = runtime.description
    shapes = {image.key: (image.height, image.width, 3) for image in d.images if not image.empty}
    mean = np.array(d.state.offset, dtype=np.float32)

    def once(images: dict[str, Any]) -> dict[str, float]:
        runtime.predict(images, mean, TASK)
        return runtime.ms

    return {"ms": _measure(once, shapes, spec["count"]), "parity_max_abs": d.parity_max_abs}


def time_torch(spec: dict[str, Any]) -> dict[str, Any]:
    """Time a checkpoint as LeRobot runs it, its parts from around its own methods."""
    import torch

    from edge_stack_policy.lerobot.checkpoint import load_checkpoint

    torch.set_num_threads(1)
    loaded = load_checkpoint(spec["folder"], "cpu")
    policy = loaded.policy
    ms: dict[str, float] = {}
    for owner, method, part in (
        (policy, "prepare_images", "images"),
        (policy.model.vlm_with_expert, "embed_image", "vision"),
        (policy.model, "denoise_step", "denoise"),
        (policy.model, "sample_actions", "model"),
    ):
        setattr(owner, method, _timed(getattr(owner, method), ms, part))
    features = loaded.features().inputs
    shapes = {key: (*shape[1:], shape[0]) for key, shape in features.items() if len(shape) == 3}
    state = {key: torch.zeros(shape) for key, shape in features.items() if len(shape) == 1}

    def once(images: dict[str, Any]) -> dict[str, float]:
        ms.clear()
        start = time.perf_counter()
        pixels = {
            key: torch.from_numpy(image).permute(2, 0, 1).float() / 255.0 for key, image in images.items()
        }
        converted = (time.perf_counter() - start) * 1e3
        with torch.no_grad():
            batch = loaded.preprocessor({**pixels, **state, "task": TASK})
            loaded.postprocessor(policy.predict_action_chunk(batch))
        prefix = ms["model"] - ms["vision"] - ms["denoise"]
        return {**ms, "images": ms["images"] + converted, "prefix": prefix}

    return {"ms": _measure(once, shapes, spec["count"]), "parity_max_abs": None}


def _timed(function: Callable[..., Any], ms: dict[str, float], part: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        ms[part] = ms.get(part, 0.0) + (time.perf_counter() - start) * 1e3
        return result

    return timed


def _measure(
    once: Callable[[dict[str, Any]], dict[str, float]], shapes: Mapping[str, tuple[int, ...]], count: int
) -> dict[str, list[float]]:
    """Return milliseconds of each part, one for each chunk."""
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for run in range(-_WARM_UPS, count):
        images = {key: random.integers(0, 256, shape, dtype=np.uint8) for key, shape in shapes.items()}
        start = time.perf_counter()
        ms = once(images)
        whole = (time.perf_counter() - start) * 1e3
        for part in PARTS if run >= 0 else ():
            found[part].append(whole if part == "all" else ms[part])
    return found


def main() -> None:
    """Do one step and print what it found."""
    steps = {"build": build, "torch": time_torch, "onnx": time_onnx}
    found = steps[sys.argv[1]](json.loads(sys.argv[2]))
    found["peak_mb"] = peak_rss_mb()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
