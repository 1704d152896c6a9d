# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A robot's frames: the poses of its cameras as transforms, and the URDF that its file names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.robot import FixedCamera, find_robot, load_robot
from edge_stack_core.ros.robot_frames import camera_frames

NUMBER = st.floats(-1.0, 1.0, allow_subnormal=False)


def matrix_of(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Rotation matrix of a unit quaternion, as REP-103 and tf2 have it."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).filter(lambda q: np.linalg.norm(q) > 1e-3))
def test_a_camera_s_quaternion_is_its_rotation(quaternion: tuple[float, float, float, float]) -> None:
    rotation = matrix_of(*np.asarray(quaternion) / np.linalg.norm(quaternion))
    found = FixedCamera("c", "c", 1, 1, 40.0, np.zeros(3), rotation).quaternion()
    assert np.linalg.norm(found) == pytest.approx(1.0)
    assert found[3] >= 0.0
    np.testing.assert_allclose(matrix_of(*found), rotation, atol=1e-9)


def test_every_camera_has_a_transform_from_the_base_and_a_prefix_is_before_all_names() -> None:
    robot = load_robot(find_robot("so101_sim"))
    stamp = Time(sec=3)
    (transform,) = camera_frames(robot, "left/", stamp).transforms
    assert (transform.header.frame_id, transform.child_frame_id) == (
        "left/base_link",
        "left/table_camera_optical",
    )
    assert transform.header.stamp == stamp
    place, turn = transform.transform.translation, transform.transform.rotation
    assert (place.x, place.y, place.z) == (0.52, 0.0, 0.56)
    # What lies before the lens: the point that the camera looks at.
    ahead = np.array([0.52, 0.0, 0.56]) + matrix_of(turn.x, turn.y, turn.z, turn.w)[:, 2] * np.hypot(
        0.385, 0.52
    )
    np.testing.assert_allclose(ahead, [0.135, 0.0, 0.04], atol=1e-9)
    assert camera_frames(load_robot(find_robot("ur5e")), "", stamp).transforms == []


@pytest.mark.parametrize(
    "file", sorted((share_folder("edge_stack_core") / "robots").glob("*.yaml")), ids=lambda f: f.stem
)
def test_the_urdf_of_a_shipped_robot_has_its_base_and_its_joints_within_their_limits(file: Path) -> None:
    robot = load_robot(file)
    if robot.urdf is None:
        pytest.skip("it names no urdf")
    root = ET.parse(robot.urdf).getroot()
    links = {link.get("name") for link in root.iter("link")}
    children = {child.get("link") for child in root.iter("child")}
    assert links - children == {robot.base_frame}
    limits = {joint.get("name"): joint.find("limit") for joint in root.iter("joint")}
    for joint in robot.joints:
        limit = limits[joint.name]
        assert limit is not None
        assert (float(limit.get("lower", "")), float(limit.get("upper", ""))) == (
            joint.position_min,
            joint.position_max,
        )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.urdf", None, "there is no file"),
        ("broken.urdf", "<robot", "is no XML"),
        ("other.urdf", "<sdf/>", "is no URDF"),
        ("arm.urdf.xacro", '<robot xmlns:xacro="http://wiki.ros.org/xacro"/>', "expand it"),
    ],
)
def test_a_urdf_that_cannot_be_is_refused_with_file_and_field(
    tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    file = tmp_path / "mine.yaml"
    text = find_robot("so101_sim").read_text(encoding="utf-8")
    file.write_text(text.replace("so101_sim.urdf", name), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"mine.yaml:.*urdf: .*{reason}"):
        load_robot(file)
