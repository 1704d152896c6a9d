# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Calibration files and ideal lenses, and the grid on which frames are due."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_perception.capture.calibration import ideal_calibration, load_calibration, uncalibrated
from edge_stack_perception.capture.pacing import RateGrid

# As camera_calibration writes it.
GOOD = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.1, 0.01, 0.0, 0.0, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [480.0, 0.0, 321.0, 0.0, 0.0, 490.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_calibration_file_is_read_whole(tmp_path: Path) -> None:
    calibration = load_calibration(write(tmp_path, GOOD))
    assert (calibration.width, calibration.height, calibration.model) == (640, 480, "plumb_bob")
    assert calibration.k[1, 1] == 510.0
    assert calibration.d.tolist() == [-0.1, 0.01, 0.0, 0.0, 0.0]
    assert np.array_equal(calibration.r, np.eye(3))
    assert calibration.p[0, 2] == 321.0


def test_projection_and_rectification_may_be_left_out(tmp_path: Path) -> None:
    calibration = load_calibration(write(tmp_path, GOOD[: GOOD.index("rectification_matrix")]))
    assert np.array_equal(calibration.p[:, :3], calibration.k)
    assert np.array_equal(calibration.r, np.eye(3))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "image_width: 640",
            "image_width: wide",
            r"camera.yaml:1: image_width: 'wide' is not of type 'integer'",
        ),
        (
            "  data: [500.0, 0.0,",
            "  data: [0.0,",
            r"camera.yaml:4: camera_matrix: is 3 by 3 with 8 values; 3 by 3 with 9",
        ),
        ("  data: [500.0,", "  data: [0.0,", r"camera.yaml:4: camera_matrix: focal lengths"),
        (
            "  data: [500.0,",
            "  data: [.nan,",
            r"camera.yaml:7: camera_matrix.data.0: nan is not a number that can be used",
        ),
        ("plumb_bob", "fisheye", r"camera.yaml:8: distortion_model: 'fisheye' is not one of"),
        ("camera_matrix:", "matrix:", r"'camera_matrix' is a required property"),
        ("image_width: 640", "image_width: [640", r"camera.yaml:\d+: is not valid YAML"),
    ],
)
def test_a_wrong_calibration_names_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        load_calibration(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_calibration_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.yaml: cannot be read"):
        load_calibration(tmp_path / "none.yaml")


@given(st.integers(2, 2000), st.integers(2, 2000), st.floats(5.0, 170.0))
def test_the_edge_of_an_ideal_picture_is_seen_at_half_the_field_of_view(
    width: int, height: int, fovy_deg: float
) -> None:
    k = ideal_calibration(width, height, fovy_deg).k
    lower_edge = height - 0.5  # pixel centres are whole numbers
    angle_deg = math.degrees(math.atan((lower_edge - k[1, 2]) / k[1, 1]))
    assert 2.0 * angle_deg == pytest.approx(fovy_deg)


@given(st.integers(2, 900), st.integers(2, 900), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_resized_calibration_sees_the_same_point_at_the_same_place_of_the_picture(
    width: int, height: int, u: float, v: float
) -> None:
    calibration = ideal_calibration(640, 480, 60.0)
    resized = calibration.resized(width, height)
    ray = np.linalg.inv(calibration.k) @ (u * 640 - 0.5, v * 480 - 0.5, 1.0)
    assert (resized.k @ ray)[:2] == pytest.approx((u * width - 0.5, v * height - 0.5), abs=1e-6)
    assert np.allclose(resized.p[:, :3], resized.k)


def test_an_unknown_lens_stays_unknown_at_any_size() -> None:
    assert not uncalibrated(640, 480).resized(320, 240).k.any()
    assert uncalibrated(640, 480).resized(320, 240).width == 320


def test_slots_are_on_absolute_times_whatever_the_lateness() -> None:
    grid = RateGrid(10.0, 5.0)
    due = []
    for late_s in (0.0, 0.09, 0.01, 0.05):
        due.append(grid.due_s)
        assert grid.advance(grid.due_s + late_s) == 0
    assert due == pytest.approx([5.0, 5.1, 5.2, 5.3])


def test_slots_that_passed_whole_are_left_out_and_counted() -> None:
    grid = RateGrid(10.0, 0.0)
    assert grid.advance(0.35) == 2
    assert grid.due_s == pytest.approx(0.3)


def test_a_rate_is_changed_from_the_next_slot_on_and_zero_pauses() -> None:
    grid = RateGrid(1.0, 0.0)
    grid.advance(0.0)
    grid.set_rate(10.0, 0.05)
    assert grid.due_s == pytest.approx(0.1)
    grid.set_rate(0.0, 0.2)
    assert grid.due_s == math.inf
    assert grid.advance(100.0) == 0
    grid.set_rate(5.0, 7.0)
    assert grid.due_s >= 7.0
    assert grid.due_s < 7.3


@given(st.floats(0.1, 120.0), st.lists(st.floats(0.0, 3.0), max_size=30))
def test_the_grid_never_drifts_and_never_lags_more_than_a_slot(rate_hz: float, delays_s: list[float]) -> None:
    grid, now_s = RateGrid(rate_hz, 0.0), 0.0
    slots = 0
    for delay_s in delays_s:
        now_s = max(now_s, grid.due_s) + delay_s
        slots += 1 + grid.advance(now_s)
        assert grid.due_s == pytest.approx(slots / rate_hz, abs=1e-6)
        assert grid.due_s > now_s - grid.period_s - 1e-6
