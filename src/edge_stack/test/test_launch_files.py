# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The launch files: that they compile and name what exists; and, where launch_ros is installed, what they launch."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_stack.shipped import shipped_config
from edge_stack_core.stack_config import load_config

FOLDER = Path(__file__).resolve().parents[1] / "launch"
FILES = sorted(FOLDER.glob("*.launch.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_launch_file_compiles_says_how_it_is_used_and_describes_something(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), file.name)
    assert f"ros2 launch edge_stack {file.name}" in (ast.get_docstring(tree) or "")
    assert "generate_launch_description" in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_executables_of_a_launch_file_exist(file: Path) -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts")
    there = {(script.dist.name.replace("-", "_"), script.name) for script in scripts if script.dist}
    calls = [
        node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "part":
            package = next(
                (ast.literal_eval(k.value) for k in call.keywords if k.arg == "package"), "edge_stack"
            )
            assert (package, ast.literal_eval(call.args[0])) in there


class Launched:
    """One node that a launch file would start."""

    def __init__(self, action: Any, context: Any) -> None:
        action._perform_substitutions(context)
        self.name = action.node_name
        self.action = action
        self.parameters: dict[str, Any] = {}
        for argument, is_file in action._Node__expanded_parameter_arguments:
            if is_file:
                (section,) = yaml.safe_load(Path(argument).read_text(encoding="utf-8")).values()
                self.parameters.update(section["ros__parameters"])
        self.remappings = dict(action.expanded_remapping_rules or [])
        environment = action.process_description.env
        self.environment = {_text(context, key): _text(context, value) for key, value in environment}


def _text(context: Any, substitutions: Any) -> str:
    from launch.utilities import perform_substitutions

    return perform_substitutions(context, list(substitutions))


@pytest.fixture
def launched() -> Callable[..., dict[str, Launched]]:
    """Return a function: the nodes, by name, that a launch file would start with some arguments."""
    pytest.importorskip("launch_ros", reason="launch_ros is not installed (it comes with ROS, not from PyPI)")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file
    from launch_ros.actions import LifecycleNode

    from launch import LaunchContext

    def launch(file: str, **arguments: str) -> dict[str, Launched]:
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        description = get_launch_description_from_python_launch_file(str(FOLDER / file))
        nodes = []
        for entity in description.entities:
            nodes += [Launched(action, context) for action in entity.visit(context) or []]
        assert all(isinstance(node.action, LifecycleNode) for node in nodes)
        return {node.name: node for node in nodes}

    return launch


Launch = Callable[..., dict[str, Launched]]


def test_the_robot_is_what_robot_yaml_says(launched: Launch) -> None:
    nodes = launched("robot.launch.py")
    config = load_config(shipped_config()).select(sim=True)
    assert list(nodes) == [f"/{node.name}" for node in config]
    for node in config:
        assert nodes[f"/{node.name}"].parameters == node.parameters
    assert nodes["/supervisor"].parameters["sim"] is True


def test_the_simulated_robot_runs_unless_told_not_to(launched: Launch) -> None:
    assert "/sim" in launched("robot.launch.py", sim="true")
    real = launched("robot.launch.py", sim="false")
    assert "/sim" not in real
    assert "/camera" in real
    assert real["/supervisor"].parameters["sim"] is False


def test_a_node_that_is_switched_off_does_not_run_and_the_supervisor_knows(launched: Launch) -> None:
    nodes = launched("robot.launch.py", pose="false", obb="false")
    assert not {"/pose", "/obb"} & set(nodes)
    assert nodes["/supervisor"].parameters["disabled"] == ["obb", "pose"]


def test_a_node_that_robot_yaml_switches_off_can_be_switched_on_and_the_supervisor_knows(
    launched: Launch,
) -> None:
    assert "/clock" not in launched("robot.launch.py")
    nodes = launched("robot.launch.py", clock="true")
    assert "/clock" in nodes
    assert nodes["/supervisor"].parameters["enabled"] == ["clock"]


def test_a_wrong_argument_is_refused(launched: Launch) -> None:
    for arguments in ({"pose": "maybe"}, {"robot": "no_such_robot"}, {"config": "/no/such/file.yaml"}):
        with pytest.raises(Exception, match=next(iter(arguments.values()))):
            launched("robot.launch.py", **arguments)


def test_nodes_of_another_robot_yaml_have_switches_too(launched: Launch, tmp_path: Path) -> None:
    (tmp_path / "robots").mkdir()
    (tmp_path / "robots" / "mine.yaml").touch()
    nodes = {
        "speech": {"package": "edge_stack_perception", "executable": "yolo", "class": "background"},
        "radio": {"package": "edge_stack_perception", "executable": "yolo", "class": "background"},
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"robot": "mine", "nodes": nodes}), encoding="utf-8")
    assert list(launched("robot.launch.py", config=str(file), radio="false")) == ["/speech"]


def test_a_namespace_moves_every_node(launched: Launch) -> None:
    assert all(name.startswith("/left/") for name in launched("robot.launch.py", namespace="left"))


def test_a_node_is_started_again_when_it_dies_in_the_environment_of_the_stack(launched: Launch) -> None:
    from edge_stack_core.process_environment import PROFILE_VARIABLES

    nodes = launched("robot.launch.py")
    for node in nodes.values():
        assert node.action._ExecuteLocal__respawn is not False
        assert node.environment["OMP_NUM_THREADS"] == "1"
    assert nodes["/sim"].environment[PROFILE_VARIABLES[0]].endswith("_frames.xml")
    assert not nodes["/policy"].environment[PROFILE_VARIABLES[0]].endswith("_frames.xml")


def test_perception_is_the_models_and_their_supervisor_on_the_image_topic_given(launched: Launch) -> None:
    nodes = launched("perception.launch.py", image="/camera/color/image_raw", classify="false")
    assert set(nodes) == {"/supervisor", "/detect", "/segment", "/pose", "/obb"}
    assert nodes["/detect"].remappings == {"image_raw": "/camera/color/image_raw"}
    left_out = {"fusion", "fusion_standby", "sim", "policy", "camera", "classify"}
    assert set(nodes["/supervisor"].parameters["disabled"]) == left_out
    assert "/camera" in launched("perception.launch.py", camera="true")


def test_a_part_alone_brings_itself_up_with_parameters_of_the_right_type(launched: Launch) -> None:
    nodes = launched(
        "yolo.launch.py", task="pose", rate_hz="10", model="1e3", image="/front/image_raw", namespace="a"
    )
    assert list(nodes) == ["/a/pose"]
    parameters = nodes["/a/pose"].parameters
    assert parameters["autostart"] is True
    assert parameters["rate_hz"] == 10.0
    assert isinstance(parameters["rate_hz"], float)
    assert parameters["model"] == "1e3"
    assert nodes["/a/pose"].remappings == {"image_raw": "/front/image_raw"}
    with pytest.raises(ValueError, match="rate_hz: 'fast' is no float"):
        launched("yolo.launch.py", rate_hz="fast")
    assert list(launched("camera.launch.py", name="front")) == ["/front"]
    assert list(launched("sim.launch.py")) == ["/sim"]
