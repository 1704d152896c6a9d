# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""robot.yaml and robots/*.yaml: what they give, and errors that name file, line and field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_stack_core import stack_config as config_module
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import FixedCamera, load_robot
from edge_stack_core.stack_config import load_config

ROBOT = """\
name: arm
following_error: {max: 0.3, time_s: 0.5}
joints:
  - {name: a, position: [-1.0, 1.0], velocity_max: 2.0}
  - {name: b, position: [0.5, 1.5], velocity_max: 1.0, home: 0.7}
cameras:
  front: {frame: front_optical, width: 320, height: 240, fovy_deg: 90.0, position: [0, 0, 1], look_at: [1, 0, 1]}
"""

STACK = """\
robot: arm
nodes:
  detect:
    package: edge_stack_perception
    executable: yolo
    class: essential
    stage: 2
    rate_hz: 5
    parameters: {task: detect, robot_file: $robot}
  sim:
    package: edge_stack_sim
    executable: sim
    class: essential
    when: sim
  camera:
    package: edge_stack_perception
    executable: camera
    class: essential
    when: robot
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "robots").mkdir()
    (tmp_path / "robots" / "arm.yaml").write_text(ROBOT, encoding="utf-8")
    (tmp_path / "robot.yaml").write_text(STACK, encoding="utf-8")
    return tmp_path


def test_a_node_that_the_file_switches_off_can_be_switched_on(folder: Path) -> None:
    file = folder / "robot.yaml"
    file.write_text(
        STACK.replace("robot_file: $robot", "enabled: $enabled")
        + "  clock: {package: edge_stack_sim, executable: clock, class: essential, enabled: false}\n"
    )
    config = load_config(file)
    assert "clock" not in {node.name for node in config.select(sim=True)}
    config = config.switch_on(config.run_by("clock"))
    nodes = {node.name: node for node in config.select(sim=True)}
    assert "clock" in nodes
    assert [n.parameters["enabled"] for n in nodes.values() if "enabled" in n.parameters] == [["clock"]]
    with pytest.raises(ConfigurationError, match="no node is called clok; there are"):
        config.switch_on(["clok"])


def test_a_node_gets_its_class_rate_and_the_robots_file_as_parameters(folder: Path) -> None:
    detect = load_config(folder / "robot.yaml").nodes[0]
    assert detect.parameters == {
        "priority_class": "essential",
        "rate_hz": 5.0,
        "task": "detect",
        "robot_file": str((folder / "robots" / "arm.yaml").resolve()),
    }


def test_selection_follows_sim_and_disabled_and_orders_by_stage(folder: Path) -> None:
    config = load_config(folder / "robot.yaml")
    assert [n.name for n in config.select(sim=True)] == ["sim", "detect"]
    assert [n.name for n in config.select(sim=False)] == ["camera", "detect"]
    assert [n.name for n in config.select(sim=True, disabled=["detect"])] == ["sim"]
    with pytest.raises(ConfigurationError, match="no node is called detekt; there are detect, sim, camera"):
        config.select(sim=True, disabled=["detekt"])


def test_one_parameter_can_be_set_without_another_file(folder: Path) -> None:
    config = load_config(folder / "robot.yaml").with_parameter("detect", "rate_hz", 2.0)
    assert config.nodes[0].parameters["rate_hz"] == config.nodes[0].rate_hz == 2.0
    with pytest.raises(ConfigurationError, match="no node is called detekt"):
        config.with_parameter("detekt", "rate_hz", 2.0)


SUPERVISED = """\
  supervisor:
    package: edge_stack_supervisor
    executable: supervisor
    class: essential
"""


def test_the_supervisor_is_told_what_is_set_for_this_run_and_comes_to_the_same_stack(folder: Path) -> None:
    file = folder / "robot.yaml"
    file.write_text(STACK + SUPERVISED, encoding="utf-8")
    changes = {
        "rate_hz": 2.0,
        "priority_class": "background",
        "device": "",
        "topics": ["a=b.c", "[]"],
        "split": True,
        "names": [],
    }
    config = load_config(file)
    for parameter, value in changes.items():
        config = config.with_parameter("detect", parameter, value)
    detect = config.nodes[0]
    assert (detect.rate_hz, detect.priority_class) == (2.0, "background")
    assert {name: detect.parameters[name] for name in changes} == changes
    assert {n.name: n for n in config.select(sim=True)}["detect"].parameters["names"] == [], (
        "an empty list is one"
    )
    overrides = config.nodes[-1].parameters["overrides"]
    assert load_config(file).with_overrides(overrides).nodes[0] == detect
    assert (
        "overrides"
        not in load_config(file).with_parameter("supervisor", "governor", "none").nodes[-1].parameters
    )


@pytest.mark.parametrize("text", ["detect.rate_hz", "detect=1", "detect.rate_hz=", "detect.rate_hz={"])
def test_an_override_that_cannot_be_read_is_named(folder: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="overrides: detect"):
        load_config(folder / "robot.yaml").with_overrides([text])


def test_what_is_known_only_at_selection_is_filled_in_then(folder: Path) -> None:
    file = folder / "robot.yaml"
    file.write_text(STACK.replace("robot_file: $robot", "sim: $sim, disabled: $disabled"), encoding="utf-8")
    config = load_config(file)
    assert config.select(sim=True, disabled=["sim"])[0].parameters["disabled"] == ["sim"]
    parameters = config.select(sim=False)[1].parameters
    assert parameters["sim"] is False
    assert "disabled" not in parameters


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        (
            "class: essential\n    stage",
            "class: esential\n    stage",
            6,
            "nodes.detect.class: 'esential' is not one of",
        ),
        ("rate_hz: 5", "rate_hz: -5", 8, "nodes.detect.rate_hz: -5 is less than the minimum of 0"),
        ("rate_hz: 5", "rate: 5", 8, "nodes.detect.rate: is not a known field; known are class"),
        ("rate_hz: 5", "rate_hz: fast", 8, "nodes.detect.rate_hz: 'fast' is not of type 'number'"),
        ("robot_file: $robot", "robot_file: $robbot", 9, r"\$robbot is unknown; known are \$robot"),
        ("task: detect", "rate_hz: 3.0", 9, "is set by rate_hz of the node already"),
        ("robot: arm", "robot: leg", 1, "there is no robot 'leg'; known are .*arm"),
        ("  sim:\n", "  detect:\n", 10, "detect stands twice"),
        ("  sim:\n", "  sim: [\n", 12, "is not valid YAML"),
        ("nodes:\n", "nodes:\n  3: {}\n", 3, "the key 3 is not text"),
    ],
)
def test_a_broken_robot_yaml_names_file_line_and_field(
    folder: Path, old: str, new: str, line: int, text: str
) -> None:
    file = folder / "robot.yaml"
    assert old in STACK
    file.write_text(STACK.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=text) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")


@pytest.mark.parametrize(
    ("executable", "value", "write"),
    [
        ("yolo", "cpu", "device: cpu, admission: auto"),
        ("yolo", "cuda:1", "device: cuda:1, admission: auto"),
        ("policy", "cuda", "device: cuda:0, admission: auto"),
        ("yolo", '""', "device: cpu, admission: off"),
        ("yolo", "gpu", "device: one of cpu, cuda, cuda:N, admission: auto"),
    ],
)
def test_a_parameter_of_an_earlier_version_is_answered_with_line_field_and_what_to_write(
    folder: Path, executable: str, value: str, write: str
) -> None:
    file = folder / "robot.yaml"
    text = STACK.replace("executable: yolo", f"executable: {executable}")
    file.write_text(text.replace("robot_file: $robot", f"accelerator: {value}"), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f"{file}:9: nodes.detect.parameters.accelerator: accelerator was replaced by device and admission: write {write}"
    )


def test_a_parameter_of_an_earlier_version_is_refused_on_a_command_line_too(folder: Path) -> None:
    config = load_config(folder / "robot.yaml")
    with pytest.raises(
        ConfigurationError, match="nodes.detect.accelerator: accelerator was .* admission: off"
    ):
        config.with_parameter("detect", "accelerator", "")
    # Another package's node may have a parameter of that name.
    other = STACK.replace(
        "package: edge_stack_perception\n    executable: yolo", "package: theirs\n    executable: yolo"
    )
    (folder / "robot.yaml").write_text(other, encoding="utf-8")
    config = load_config(folder / "robot.yaml").with_parameter("detect", "accelerator", "npu")
    assert config.nodes[0].parameters["accelerator"] == "npu"


@pytest.mark.parametrize(
    ("now", "line", "words"),
    [
        (
            "executable: vla",
            4,
            "nodes.detect.executable: vla was replaced by policy: write package: edge_stack_policy, executable: policy",
        ),
        (
            "executable: yolo",
            4,
            "nodes.detect.executable: the executable yolo is in a package of its own: write package: edge_stack_perception",
        ),
        (
            "package: edge_stack\n    executable: yolo",
            4,
            "nodes.detect.package: the executable yolo is in a package of its own: write package: edge_stack_perception",
        ),
    ],
)
def test_an_executable_of_an_earlier_version_is_answered_with_its_new_name_and_package(
    folder: Path, now: str, line: int, words: str
) -> None:
    file = folder / "robot.yaml"
    file.write_text(
        STACK.replace("package: edge_stack_perception\n    executable: yolo", now), encoding="utf-8"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_config(file)
    assert str(caught.value) == f"{file}:{line}: {words}"


def test_a_renamed_parameter_keeps_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        config_module.RENAMED_PARAMETERS, "backend", config_module.Renaming(("yolo",), ("engine",))
    )
    said = config_module.renamed_parameter("backend", "openvino", {"engine"})
    assert said == "backend was replaced by engine: write engine: openvino"
    assert config_module.renamed_parameter("backend", "openvino", {"backend"}) == ""


@pytest.mark.parametrize(("value", "written"), [("eye/detections", "[eye/detections]"), ("", "[]")])
def test_the_one_topic_of_before_is_now_a_list(value: str, written: str) -> None:
    said = config_module.renamed_parameter("detections_topic", value, {"detections_topics"})
    assert said == f"detections_topic was replaced by detections_topics: write detections_topics: {written}"


def test_a_rate_on_the_command_line_that_is_no_number_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="nodes.detect.rate_hz: '' is not a number"):
        load_config(folder / "robot.yaml").with_parameter("detect", "rate_hz", "")


def test_an_empty_or_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing.yaml: cannot be read"):
        load_config(tmp_path / "nothing.yaml")
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="empty.yaml:1: is empty"):
        load_config(tmp_path / "empty.yaml")


def test_a_robot_has_limits_home_and_an_optical_camera_frame(folder: Path) -> None:
    robot = load_robot(folder / "robots" / "arm.yaml")
    assert robot.joint_names == ("a", "b")
    np.testing.assert_array_equal(robot.home, [0.0, 0.7])
    np.testing.assert_array_equal(robot.following_error_max, [0.3, 0.3])
    camera = robot.cameras["front"]
    # REP-103: looking along +x, the image's x axis points to -y and its y axis to -z.
    np.testing.assert_allclose(camera.rotation, [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    np.testing.assert_allclose(camera.intrinsics(), [[120, 0, 160], [0, 120, 120], [0, 0, 1]])


def test_a_camera_on_a_link_that_moves_has_no_pose(folder: Path) -> None:
    file = folder / "robots" / "arm.yaml"
    fixed = ", position: [0, 0, 1], look_at: [1, 0, 1]"
    text = file.read_text(encoding="utf-8")
    assert fixed in text
    file.write_text(text.replace(fixed, ""), encoding="utf-8")
    camera = load_robot(file).cameras["front"]
    assert not isinstance(camera, FixedCamera)
    np.testing.assert_allclose(camera.intrinsics(), [[120, 0, 160], [0, 120, 120], [0, 0, 1]])
    for half in (", position: [0, 0, 1]", ", look_at: [1, 0, 1]", ", right: [1, 0, 0]"):
        file.write_text(text.replace(fixed, half), encoding="utf-8")
        with pytest.raises(ConfigurationError, match=r"arm.yaml:\d+: cameras.front: has .* and no .*; give"):
            load_robot(file)


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("[-1.0, 1.0]", "[.nan, 1.0]", 4, "joints.0.position.0: nan is not a number that can be used"),
        ("[-1.0, 1.0]", "[-1.0, .inf]", 4, "joints.0.position.1: inf is not a number that can be used"),
        ("[-1.0, 1.0]", "[-1.0e+9, 1.0]", 4, "joints.0.position.0: -1000000000.0 is less than the minimum"),
        ("velocity_max: 2.0", "velocity_max: .inf", 4, "joints.0.velocity_max: inf"),
        ("velocity_max: 2.0", "velocity_max: -2.0", 4, "joints.0.velocity_max: -2.0"),
        ("{max: 0.3, time_s: 0.5}", "{max: .nan, time_s: 0.5}", 2, "following_error.max: nan"),
        ("{max: 0.3, time_s: 0.5}", "{max: 0.3}", 2, "following_error: 'time_s' is a required property"),
        ("following_error: {max: 0.3, time_s: 0.5}", "", 4, "joints.0: following_error is missing"),
        ("width: 320", "width: 0", 7, "cameras.front.width: 0 is less than the minimum"),
        ("[-1.0, 1.0]", "[1.0, -1.0]", 4, "joints.0.position: the lower limit 1.0 is not below"),
        ("home: 0.7", "home: 7.0", 5, "joints.1.home: 7.0 is outside the limits"),
        ("name: b", "name: a", 5, "joints.1: the joint a stands twice"),
        ("look_at: [1, 0, 1]", "look_at: [0, 0, 0]", 7, "cameras.front: looks straight down or up"),
    ],
)
def test_a_broken_robot_file_names_file_line_and_field(
    folder: Path, old: str, new: str, line: int, text: str
) -> None:
    file = folder / "robots" / "arm.yaml"
    file.write_text(ROBOT.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=text) as caught:
        load_robot(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
