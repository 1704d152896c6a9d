# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The noise of a picture is measured whatever the picture shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_perception.vision.quality import noise_sigma


def scene(height: int = 240, width: int = 320) -> np.ndarray:
    """Slopes, edges and circles, as in a rendered scene."""
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 200 // height, columns * 200 // width, np.full_like(rows, 90)], axis=-1)
    image = image.astype(np.uint8)
    cv2.circle(image, (width // 2, height // 2), height // 4, (220, 40, 40), -1)
    cv2.rectangle(image, (10, 10), (width // 3, height // 3), (30, 200, 30), -1)
    return image


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(3.0, 30.0), seed=st.integers(0, 1000))
def test_the_measured_noise_is_the_noise_that_is_there(sigma: float, seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal((240, 320)) * sigma
    grey = np.full((240, 320), 128.0) + noise
    image = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    assert noise_sigma(image) == pytest.approx(sigma, rel=0.1, abs=0.5)


def test_edges_and_slopes_are_no_noise() -> None:
    assert noise_sigma(scene()) < 3.0


def test_a_noisy_scene_is_told_from_a_clear_one() -> None:
    noise = np.random.default_rng(0).standard_normal((240, 320, 3)) * 90.0
    noisy = np.clip(scene() + noise, 0, 255).astype(np.uint8)
    assert noise_sigma(noisy) > 30.0


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (1080, 1920, 3), (3, 4000, 3)])
def test_any_size_is_taken(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    assert noise_sigma(image) == 0.0
