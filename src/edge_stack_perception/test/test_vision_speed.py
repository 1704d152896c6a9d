# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests that preparation and decoding stay small beside the inference: processor time of one thread, best of many."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_stack_perception.vision.decode import Thresholds, decode
from edge_stack_perception.vision.letterbox import Letterbox
from edge_stack_perception.vision.types import ModelMeta

FRAME = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
SIZE = (192, 256)
NAMES = tuple("abcdefg")


def best_ms(work: Callable[[], object], repeats: int = 50) -> float:
    """Return the least processor time of one call, ms."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        times = []
        for _ in range(repeats):
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
    finally:
        cv2.setNumThreads(threads)
    return min(times) * 1e3


def outputs_of(task: str, layout: str, rng: np.random.Generator) -> tuple[list[np.ndarray], ModelMeta]:
    """Return outputs of a model with ten objects in sight, as large as a real one's."""
    extra = {"detect": 0, "segment": 32, "pose": 9, "obb": 1}[task]
    objects = rng.uniform(20, 170, (10, 2))
    if layout == "end2end":
        first = np.zeros((1, 300, 6 + extra), np.float32)
        first[0, :, :2] = rng.uniform(0, 150, (300, 2))
        first[0, :, 2:4] = first[0, :, :2] + 40
        first[0, :, 4] = np.sort(rng.random(300) * 0.2)[::-1]
        first[0, :10, 4] = np.linspace(0.9, 0.5, 10)
        first[0, :, 6:] = rng.normal(0, 1, (300, extra))
    else:
        first = np.zeros((1, 4 + len(NAMES) + extra, 1008), np.float32)
        first[0, :2] = objects[np.arange(1008) % 10].T + rng.normal(0, 2, (2, 1008))
        first[0, 2:4] = 40
        first[0, 4 : 4 + len(NAMES)] = rng.random((len(NAMES), 1008)) * 0.2
        first[0, 4, :100] = rng.uniform(0.3, 0.9, 100)
    outputs = [first]
    if task == "segment":
        outputs.append(rng.normal(0, 1, (1, 32, SIZE[0] // 4, SIZE[1] // 4)).astype(np.float32))
    return outputs, ModelMeta(task, NAMES, SIZE, layout, (3, 3) if task == "pose" else None, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("task", "layout", "limit_ms"),
    [
        ("detect", "end2end", 2.0),
        ("detect", "dense", 2.0),
        ("pose", "end2end", 2.0),
        ("obb", "end2end", 2.0),
        ("obb", "dense", 4.0),
        ("segment", "end2end", 4.0),
    ],
)
def test_preparing_a_demo_frame_and_decoding_it_take_little(task: str, layout: str, limit_ms: float) -> None:
    prepare = Letterbox(SIZE)
    _, geometry = prepare(FRAME)
    outputs, meta = outputs_of(task, layout, np.random.default_rng(1))
    assert len(decode(outputs, meta, geometry, Thresholds())) > 0
    total_ms = best_ms(lambda: prepare(FRAME)) + best_ms(
        lambda: decode(outputs, meta, geometry, Thresholds())
    )
    print(f"{task} {layout}: {total_ms:.3f} ms")
    assert total_ms < limit_ms
