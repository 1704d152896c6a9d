# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The checks of walls, floors, circles and manifests, each on a package made up to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_stack_core.walls import manifest_problems, read_manifest, violations

NAME = "edge_stack_made_up"
SOUND = {
    "__init__.py": "",
    "rules.py": "import numpy\nfrom edge_stack_core.errors import ConfigurationError\n",
    "ros/__init__.py": "",
    "ros/node.py": "import rclpy\nfrom std_msgs.msg import String\nfrom edge_stack_made_up import rules\n",
}
DEPENDS = ("edge_stack_core", "edge_stack_msgs", "python3-numpy", "rclpy", "std_msgs")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A sound package: logic, a node, and a package.xml that names what they import."""
    folder = tmp_path / NAME
    for file, text in SOUND.items():
        write(folder, f"{NAME}/{file}", text)
    write(folder, f"{NAME}/ros/node.py", SOUND["ros/node.py"] + "import edge_stack_msgs.msg\n")
    write(folder, "test/test_rules.py", "import pytest\nfrom edge_stack_made_up import rules\n")
    manifest(folder)
    return folder


def write(folder: Path, file: str, text: str) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def manifest(folder: Path, *more: str, depends: tuple[str, ...] = DEPENDS) -> None:
    """Write package.xml; more: further lines of it."""
    lines = [f"<exec_depend>{name}</exec_depend>" for name in depends]
    lines += ["<test_depend>python3-pytest</test_depend>", *more]
    write(folder, "package.xml", f"<package><name>{NAME}</name>{''.join(lines)}</package>")


def test_a_sound_package_has_nothing_to_report(package: Path) -> None:
    assert violations(package) == []
    assert manifest_problems(package) == []


# ---- walls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "from edge_stack_policy.base import Policy",
        "import edge_stack_policy.base",
        "from edge_stack_policy import base",
        "def late():\n    from edge_stack_policy.base import Policy",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edge_stack_policy.base import Policy",
        "import importlib\nbase = importlib.import_module('edge_stack_policy.base')",
        "try:\n    import edge_stack_policy\nexcept ImportError:\n    pass",
    ],
)
def test_an_import_through_a_wall_is_found_wherever_it_stands(package: Path, statement: str) -> None:
    write(package, f"{NAME}/broken.py", statement)
    (found,) = violations(package)
    assert found.startswith(f"{NAME}/broken.py:")
    assert found.endswith("edge_stack_made_up does not depend on edge_stack_policy")


def test_an_exec_depend_opens_a_wall_and_a_test_depend_does_not(package: Path) -> None:
    write(package, f"{NAME}/more.py", "import edge_stack_policy")
    manifest(package, "<test_depend>edge_stack_policy</test_depend>")
    assert len(violations(package)) == 1
    manifest(package, "<exec_depend>edge_stack_policy</exec_depend>")
    assert violations(package) == []


def test_a_package_that_a_comment_calls_optional_may_be_imported(package: Path) -> None:
    write(package, f"{NAME}/more.py", "import edge_stack_policy")
    manifest(package, "<!-- edge_stack_policy is somewhere else -->")
    assert len(violations(package)) == 1
    manifest(package, "<!-- Optional: edge_stack_policy, to train -->")
    assert violations(package) == []
    assert read_manifest(package).optional_packages == {"edge_stack_policy"}
    manifest(package, "<!-- Optional, not imported: edge_stack_policy, whose files are used -->")
    assert len(violations(package)) == 1


def test_a_dependency_that_is_said_not_to_be_imported_is_not(package: Path) -> None:
    depend = "<exec_depend>edge_stack_control</exec_depend>"
    manifest(package, depend, "<!-- Not imported, but started: edge_stack_control -->")
    assert violations(package) == []
    write(package, f"{NAME}/more.py", "import edge_stack_control")
    assert len(violations(package)) == 1


def test_a_table_may_be_given_in_place_of_the_manifest(package: Path) -> None:
    assert violations(package, {"edge_stack_core"}) == []
    assert len(violations(package, ())) == 1


# ---- floors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import rclpy",
        "from sensor_msgs.msg import Image",
        "from edge_stack_msgs.msg import NodeStatus",
        "from rcl_interfaces.srv import SetParameters",
        "from std_srvs.srv import Trigger",
        "from launch import LaunchDescription",
        "def late():\n    import rclpy.node",
    ],
)
def test_ros_in_the_logic_is_found(package: Path, statement: str) -> None:
    write(package, f"{NAME}/broken.py", statement)
    (found,) = violations(package)
    assert found.endswith("logic knows no ROS, only ros/ does")


@pytest.mark.parametrize(
    "statement",
    [
        "from edge_stack_made_up.ros import node",
        "from edge_stack_made_up.ros.node import run",
        "from edge_stack_made_up import ros",
        "from .ros import node",
        "from edge_stack_core.ros.base import StackNode",
    ],
)
def test_logic_that_imports_a_node_is_found(package: Path, statement: str) -> None:
    write(package, f"{NAME}/broken.py", statement)
    (found,) = violations(package)
    assert found.endswith("logic stands below ros/")


# ---- circles -------------------------------------------------------------------------------------


def test_a_circle_is_shown_with_its_way(package: Path) -> None:
    write(package, f"{NAME}/a.py", f"from {NAME}.b import one\n")
    write(package, f"{NAME}/b.py", f"def late():\n    from {NAME} import c\n")
    write(
        package,
        f"{NAME}/c.py",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {NAME}.a\n",
    )
    assert violations(package) == [f"circle: {NAME}.a -> {NAME}.b -> {NAME}.c -> {NAME}.a"]


def test_a_package_that_takes_from_its_own_modules_is_no_circle(package: Path) -> None:
    write(package, f"{NAME}/part/__init__.py", f"from {NAME}.part.a import one\n")
    write(package, f"{NAME}/part/a.py", f"from {NAME}.part.b import one\n")
    write(package, f"{NAME}/part/b.py", "one = 1\n")
    assert violations(package) == []


def test_a_module_that_takes_from_the_package_around_it_is_a_circle(package: Path) -> None:
    write(package, f"{NAME}/part/__init__.py", f"from {NAME}.part.a import one\n")
    write(package, f"{NAME}/part/a.py", f"from {NAME}.part import two\n")
    (found,) = violations(package)
    assert found == f"circle: {NAME}.part -> {NAME}.part.a -> {NAME}.part"


def test_two_circles_are_two_lines(package: Path) -> None:
    for one, other in (("a", "b"), ("c", "d")):
        write(package, f"{NAME}/{one}.py", f"import {NAME}.{other}\n")
        write(package, f"{NAME}/{other}.py", f"import {NAME}.{one}\n")
    assert len(violations(package)) == 2


# ---- package.xml ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("import cv2", "python3-opencv"),
        ("from google.protobuf import message", "python3-protobuf"),
        ("import edge_stack_inference", "edge_stack_inference"),
        ("from geometry_msgs.msg import Pose", "geometry_msgs"),
    ],
)
def test_an_import_without_an_exec_depend_is_found(package: Path, statement: str, key: str) -> None:
    write(package, f"{NAME}/ros/more.py", statement)
    assert manifest_problems(package) == [
        f"{NAME}/ros/more.py:1: needs {key}, and exec_depend does not name it"
    ]
    manifest(package, f"<exec_depend>{key}</exec_depend>")
    assert manifest_problems(package) == []


def test_a_module_without_a_rosdep_key_is_named_in_a_comment(package: Path) -> None:
    write(package, f"{NAME}/more.py", "def late():\n    import torch\n")
    (found,) = manifest_problems(package)
    assert "imports torch, which has no rosdep key here and is named in no comment" in found
    manifest(package, "<!-- Only where they are used: torchvision -->")
    assert len(manifest_problems(package)) == 1
    manifest(package, "<!-- Only where they are used: torch, onnx -->")
    assert manifest_problems(package) == []


def test_what_only_tests_import_is_a_test_depend(package: Path) -> None:
    write(package, "test/test_more.py", "import hypothesis\n")
    assert manifest_problems(package) == [
        "test/test_more.py:1: needs python3-hypothesis, and neither exec_depend nor test_depend names it"
    ]
    manifest(package, "<test_depend>python3-hypothesis</test_depend>")
    assert manifest_problems(package) == []


def test_a_helper_beside_a_test_is_no_dependency(package: Path) -> None:
    write(package, "test/world.py", "")
    write(package, "test/test_more.py", "from world import World\n")
    assert manifest_problems(package) == []


def test_a_launch_file_counts_as_code(package: Path) -> None:
    write(package, "launch/all.launch.py", "from launch import LaunchDescription\n")
    assert manifest_problems(package) == [
        "launch/all.launch.py:1: needs launch, and exec_depend does not name it"
    ]
    assert violations(package) == []


def test_a_dependency_that_nothing_imports_needs_a_reason(package: Path) -> None:
    depend = "<exec_depend>edge_stack_control</exec_depend>"
    manifest(package, depend)
    (found,) = manifest_problems(package)
    assert found == "exec_depend edge_stack_control is imported nowhere, and no comment says why it is needed"
    manifest(package, depend, "<!-- Not imported, but started: edge_stack_control -->")
    assert manifest_problems(package) == []


def test_a_dependency_is_named_once(package: Path) -> None:
    manifest(package, "<test_depend>rclpy</test_depend>")
    assert "test_depend rclpy is an exec_depend already" in manifest_problems(package)


def test_another_name_in_package_xml_is_found(package: Path) -> None:
    write(
        package, "package.xml", (package / "package.xml").read_text().replace(f"<name>{NAME}", "<name>other")
    )
    assert "its name is other" in manifest_problems(package)
