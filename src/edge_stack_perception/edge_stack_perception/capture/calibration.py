# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The optics of a camera: read from a calibration file of ROS, or of an ideal lens with a known field of view.

A unit of work is one camera. Matrices are those of sensor_msgs/CameraInfo, whose pixel centres have whole coordinates:
the middle of a picture W wide lies at (W - 1) / 2. It never corrects a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.yaml_file import YamlFile, load_yaml

_SCHEMA = Path(__file__).parents[1] / "schema" / "camera_calibration.schema.json"

__all__ = ["Calibration", "ideal_calibration", "load_calibration", "uncalibrated"]


@dataclass(frozen=True)
class Calibration:
    """
    Fields as in sensor_msgs/CameraInfo, for pictures of width x height px.

    d: float64 [n], distortion. k: float64 [3, 3], intrinsics. r: float64 [3, 3], rectification. p: float64 [3, 4],
    projection. All zeros in k: not calibrated.
    """

    width: int
    height: int
    model: str
    d: NDArray[np.float64]
    k: NDArray[np.float64]
    r: NDArray[np.float64]
    p: NDArray[np.float64]

    def is_of(self, width: int, height: int) -> bool:
        """Return whether pictures of a size may show the same view: those of this size, and scaled ones to a pixel."""
        return abs(self.height * width / self.width - height) <= 1.0

    def resized(self, width: int, height: int) -> Calibration:
        """Return the calibration of the same view stretched to another size."""
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        scale = np.array([[sx, 0.0, (sx - 1.0) / 2.0], [0.0, sy, (sy - 1.0) / 2.0], [0.0, 0.0, 1.0]])
        if not self.k.any():
            scale = np.zeros((3, 3))
        return Calibration(width, height, self.model, self.d, scale @ self.k, self.r, scale @ self.p)


def ideal_calibration(width: int, height: int, fovy_deg: float) -> Calibration:
    """
    Return the calibration of a lens without distortion, square pixels, its axis in the middle of the picture.

    fovy_deg: vertical field of view, from the upper edge of the picture to the lower, between 0 and 180.
    """
    focal_px = height / 2.0 / math.tan(math.radians(fovy_deg) / 2.0)
    k = np.array([[focal_px, 0.0, (width - 1) / 2.0], [0.0, focal_px, (height - 1) / 2.0], [0.0, 0.0, 1.0]])
    return Calibration(
        width, height, "plumb_bob", np.zeros(5), k, np.eye(3), np.hstack([k, np.zeros((3, 1))])
    )


def uncalibrated(width: int, height: int) -> Calibration:
    """Return what a camera says whose optics are unknown: sizes, and zeros."""
    return Calibration(width, height, "", np.zeros(0), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 4)))


def load_calibration(path: str | Path) -> Calibration:
    """
    Read the YAML file that ROS's camera_calibration writes.

    Raises ConfigurationError with file, line and what would be right.
    """
    file = load_yaml(path, _SCHEMA)
    k = _matrix(file, "camera_matrix", (3, 3))
    d = np.asarray(file.data["distortion_coefficients"]["data"], np.float64)
    r = _matrix(file, "rectification_matrix", (3, 3)) if "rectification_matrix" in file.data else np.eye(3)
    p = np.hstack([k, np.zeros((3, 1))])
    if "projection_matrix" in file.data:
        p = _matrix(file, "projection_matrix", (3, 4))
    if k[0, 0] <= 0.0 or k[1, 1] <= 0.0:
        raise file.error(("camera_matrix",), "focal lengths (first and fifth value) must be above 0")
    return Calibration(
        file.data["image_width"], file.data["image_height"], file.data["distortion_model"], d, k, r, p
    )


def _matrix(file: YamlFile, name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    entry = file.data[name]
    values = np.asarray(entry["data"], np.float64)
    if (entry["rows"], entry["cols"]) != shape or values.size != shape[0] * shape[1]:
        raise _wrong(file, name, entry, shape)
    return values.reshape(shape)


def _wrong(file: YamlFile, name: str, entry: dict[str, object], shape: tuple[int, int]) -> ConfigurationError:
    data = entry["data"]
    count = len(data) if isinstance(data, list) else 0
    return file.error(
        (name,),
        f"is {entry['rows']} by {entry['cols']} with {count} values; {shape[0]} by {shape[1]} with"
        f" {shape[0] * shape[1]} is needed",
    )
