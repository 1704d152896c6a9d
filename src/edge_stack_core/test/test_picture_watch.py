# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures in which nothing can be seen, and those in which there is little: only the first are a problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_stack_core.picture_watch import FROZEN_S, STALE_S, UNIFORM_S, PictureWatch

HEIGHT, WIDTH = 480, 640
Picture = NDArray[np.uint8]


def noisy(mean: Picture | float, sigma: float, rng: np.random.Generator) -> Picture:
    noise = rng.normal(0.0, sigma, (HEIGHT, WIDTH, 3))
    return np.clip(mean + noise, 0, 255).astype(np.uint8)


def room(light: float) -> NDArray[np.float64]:
    """A room with a window, a table and a lamp's glow, from 0 to light grey levels."""
    picture = np.linspace(0.1, 0.3, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3))
    picture[100:200, 400:560] = 1.0
    picture[300:420, 60:500] = 0.5
    return picture * light


def problem(make: Callable[[int], Picture], lasts_s: float, rate_hz: float = 5.0) -> str:
    """Return what is said of pictures that come for so long."""
    watch, now_s = PictureWatch(), 100.0
    for i in range(int(lasts_s * rate_hz) + 1):
        now_s = 100.0 + i / rate_hz
        watch.look(make(i), now_s)
    return watch.problem(now_s)


@pytest.mark.parametrize("sigma", [0.0, 3.0], ids=["clean", "noisy"])
@pytest.mark.parametrize(
    ("colour", "says"),
    [
        ((2.0, 2.0, 2.0), "black all over"),
        ((255.0,) * 3, "white all over"),
        ((0.0, 135.0, 0.0), "one colour all over"),
    ],
)
def test_a_picture_of_one_colour_is_a_problem_that_says_what_is_seen(
    colour: tuple[float, float, float], says: str, sigma: float
) -> None:
    rng = np.random.default_rng(1)
    assert says in problem(lambda _: noisy(np.array(colour), sigma, rng), UNIFORM_S + 0.5)


@pytest.mark.parametrize("light", [8.0, 16.0, 250.0])
def test_a_room_is_none_however_dark(light: float) -> None:
    rng = np.random.default_rng(2)
    assert problem(lambda _: noisy(room(light), 3.0, rng), 3.0) == ""


def test_stripes_are_none() -> None:
    rng = np.random.default_rng(3)
    stripes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255
    assert problem(lambda i: np.roll(stripes, int(rng.integers(2)), axis=1), 3.0) == ""


def test_one_picture_of_one_colour_is_none_and_a_slide_show_of_them_neither() -> None:
    assert problem(lambda _: np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0.0) == ""
    assert problem(lambda i: np.full((HEIGHT, WIDTH, 3), 60 * (i % 4), np.uint8), 5.0) == ""


def test_grey_pictures_are_judged_and_tiny_ones_are_not() -> None:
    assert "black" in problem(lambda _: np.zeros((HEIGHT, WIDTH), np.uint8), 2.0)
    assert problem(lambda _: np.zeros((4, 4, 3), np.uint8), 2.0) == ""
    assert problem(lambda _: np.zeros((1, 1), np.uint8), 2.0) == ""


def test_equal_pictures_are_frozen_and_one_pixel_that_changes_is_enough() -> None:
    scene = noisy(room(200.0), 3.0, np.random.default_rng(4))
    assert "equal to the last bit for 10 s" in problem(lambda _: scene, FROZEN_S + 1.0, 2.0)

    def blinking(i: int) -> Picture:
        picture = scene.copy()
        picture[3, 5, 0] = i % 256
        return picture

    assert problem(blinking, FROZEN_S + 1.0, 2.0) == ""


def test_a_camera_of_files_is_never_frozen() -> None:
    watch = PictureWatch(frozen_s=0.0)
    scene = noisy(room(200.0), 3.0, np.random.default_rng(5))
    for i in range(30):
        watch.look(scene, float(i))
    assert watch.problem(29.0) == ""


def test_a_problem_ends_with_a_good_picture_and_with_the_pictures() -> None:
    watch, black = PictureWatch(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for i in range(4):
        watch.look(black, float(i))
    assert watch.problem(3.0)
    assert not watch.problem(3.0 + STALE_S + 0.1)
    watch.look(noisy(room(200.0), 3.0, np.random.default_rng(6)), 4.0)
    assert not watch.problem(4.0)
