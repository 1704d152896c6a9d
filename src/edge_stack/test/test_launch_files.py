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
        from launch_ros.actions import LifecycleNode

        action._perform_substitutions(context)
        self.name = action.node_name
        self.action = action
        self.parameters: dict[str, Any] = {}
        for argument, is_file in action._Node__expanded_parameter_arguments:
            if is_file:
                (section,) = yaml.safe_load(Path(argument).read_text(encoding="utf-8")).values()
                self.parameters.update(section["ros__parameters"])
        self.lifecycle = isinstance(action, LifecycleNode)
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

    from launch import LaunchContext

    def launch(file: str, **arguments: str) -> dict[str, Launched]:
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        description = get_launch_description_from_python_launch_file(str(FOLDER / file))
        nodes = []
        for entity in description.entities:
            nodes += [Launched(action, context) for action in entity.visit(context) or []]
        return {node.name: node for node in nodes}

    return launch


Launch = Callable[..., dict[str, Launched]]


def test_the_robot_is_what_robot_yaml_says(launched: Launch) -> None:
    nodes = launched("robot.launch.py")
    config = load_config(shipped_config()).select(sim=True)
    assert [name for name, node in nodes.items() if node.lifecycle] == [f"/{node.name}" for node in config]
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


def own_file(folder: Path, **nodes: dict[str, Any]) -> str:
    """Write a robot.yaml with some nodes, yolo ones where nothing else is said, and return its path."""
    (folder / "robots").mkdir(exist_ok=True)
    (folder / "robots" / "mine.yaml").touch()
    usual = {"package": "edge_stack_perception", "executable": "yolo", "class": "background"}
    file = folder / "mine.yaml"
    entries = {name: {**usual, **entry} for name, entry in nodes.items()}
    file.write_text(yaml.safe_dump({"robot": "mine", "nodes": entries}), encoding="utf-8")
    return str(file)


def test_nodes_of_another_robot_yaml_have_switches_too(launched: Launch, tmp_path: Path) -> None:
    file = own_file(tmp_path, speech={}, radio={})
    assert list(launched("robot.launch.py", config=file, radio="false")) == ["/speech"]


def test_what_the_file_says_holds_unless_an_argument_is_given(launched: Launch, tmp_path: Path) -> None:
    # Names of the shipped file too, where these nodes are on.
    file = own_file(tmp_path, speech={}, segment={"enabled": False}, camera={"enabled": False}, pose={})
    assert set(launched("robot.launch.py", config=file, sim="false")) == {"/speech", "/pose"}
    assert set(launched("perception.launch.py", config=file)) == {"/speech", "/pose"}
    nodes = launched("robot.launch.py", config=file, sim="false", segment="true", pose="false")
    assert set(nodes) == {"/speech", "/segment"}


def test_every_node_of_the_shipped_file_has_a_switch_that_is_listed(launched: Launch) -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    launched("sim.launch.py")
    for file in FILES:
        description = get_launch_description_from_python_launch_file(str(file))
        names = [argument.name for argument in description.get_launch_arguments()]
        assert len(names) == len(set(names))
        if file.name == "robot.launch.py":
            assert {node.name for node in load_config(shipped_config()).nodes} <= set(names)
            assert {"use_sim_time", "frame_prefix", "rviz", "robot_state_publisher"} <= set(names)


def test_a_value_that_comes_from_a_parent_is_refused_with_the_way_out(launched: Launch) -> None:
    with pytest.raises(Exception, match="camera:=realsense.*forwarding=False"):
        launched("robot.launch.py", camera="realsense")


def test_arguments_of_a_parent_stay_outside_a_group_that_forwards_none(launched: Launch) -> None:
    from launch.actions import GroupAction, IncludeLaunchDescription, OpaqueFunction, SetLaunchConfiguration

    from launch import LaunchContext

    launched("sim.launch.py")
    included = IncludeLaunchDescription(
        str(FOLDER / "robot.launch.py"), launch_arguments={"pose": "false"}.items()
    )
    context = LaunchContext()
    found: dict[str, str] = {}

    def walk(entity: Any) -> None:
        if isinstance(entity, OpaqueFunction):
            found.update(context.launch_configurations)
            return
        for part in entity.visit(context) or []:
            walk(part)

    for entity in (
        SetLaunchConfiguration("camera", "realsense"),
        SetLaunchConfiguration("config", "/my/other.yaml"),
        GroupAction([included], forwarding=False),
    ):
        walk(entity)
    assert (found["camera"], found["config"], found["pose"]) == ("", "", "false")


@pytest.mark.parametrize("file", ["robot.launch.py", "perception.launch.py"])
def test_nothing_is_started_where_one_executable_is_missing(
    launched: Launch, tmp_path: Path, file: str
) -> None:
    wrong = own_file(tmp_path, speech={}, radio={"executable": "yolo"}, last={"package": "no_such_package"})
    with pytest.raises(Exception, match="nodes.last: package no_such_package .*nothing was started"):
        launched(file, config=wrong)
    wrong = own_file(tmp_path, speech={}, last={"package": "edge_stack_supervisor"})
    with pytest.raises(
        Exception, match="nodes.last: package edge_stack_supervisor .* yolo; it has supervisor"
    ):
        launched(file, config=wrong)


def test_rviz_that_is_not_there_is_refused_before_anything_starts(launched: Launch, no_rviz: None) -> None:
    with pytest.raises(Exception, match="rviz:=true: package rviz2 has no executable rviz2.*ros-.*-rviz2"):
        launched("robot.launch.py", rviz="true")
    with pytest.raises(Exception, match="robot_state_publisher:=true: .*install"):
        launched("robot.launch.py", robot_state_publisher="true")
    assert "/robot_state_publisher" not in launched("robot.launch.py")


@pytest.fixture
def no_rviz() -> None:
    """Skip where the real ones are installed."""
    from edge_stack_core.package_files import share_folder

    for package in ("rviz2", "robot_state_publisher"):
        try:
            share_folder(package)
        except Exception:  # noqa: BLE001
            continue
        pytest.skip(f"{package} is installed")


@pytest.fixture
def with_rviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install programs by the names of rviz2 and robot_state_publisher."""
    import os

    for package in ("rviz2", "robot_state_publisher"):
        marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / package
        program = tmp_path / "lib" / package / package
        for file in (marker, program):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ.get('AMENT_PREFIX_PATH', '')}")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))


def test_tf_of_the_links_and_rviz_come_with_the_robot_where_they_are_installed(
    launched: Launch, with_rviz: None
) -> None:
    from edge_stack_core.process_environment import LAUNCH_VARIABLE
    from edge_stack_core.robot import find_robot

    nodes = launched("robot.launch.py", rviz="true", namespace="left", use_sim_time="true")
    publisher = nodes["/left/robot_state_publisher"]
    assert (
        publisher.parameters["robot_description"] == find_robot("so101_sim").with_suffix(".urdf").read_text()
    )
    assert publisher.parameters["frame_prefix"] == "left/"
    assert publisher.parameters["use_sim_time"] is True
    assert len({node.environment[LAUNCH_VARIABLE] for node in nodes.values()}) == 1
    arguments = [_words(words) for words in nodes["/left/rviz2"].action.cmd]
    config = yaml.safe_load(Path(arguments[arguments.index("-d") + 1]).read_text())["Visualization Manager"]
    assert config["Global Options"]["Fixed Frame"] == "left/base_link"
    (model,) = [d for d in config["Displays"] if d["Class"].endswith("/RobotModel")]
    assert (model["Enabled"], model["Value"], model["TF Prefix"]) == (True, True, "left")
    assert (
        nodes["/left/sim"].parameters["frame_prefix"]
        == nodes["/left/fusion"].parameters["frame_prefix"]
        == "left/"
    )
    assert (
        "frame_prefix"
        not in launched("robot.launch.py", namespace="left", frame_prefix="none")["/left/sim"].parameters
    )
    assert launched("robot.launch.py", frame_prefix="a_")["/sim"].parameters["frame_prefix"] == "a_"
    assert "/robot_state_publisher" not in launched("robot.launch.py", robot_state_publisher="false")
    assert "/robot_state_publisher" not in launched(
        "robot.launch.py", robot="ur5e", sim="false"
    )  # names no urdf
    with pytest.raises(Exception, match="robot_state_publisher:=true: .*ur5e.yaml names no urdf"):
        launched("robot.launch.py", robot="ur5e", sim="false", robot_state_publisher="true")


def _words(substitutions: Any) -> str:
    return "".join(getattr(one, "text", "") for one in substitutions)


def test_simulated_time_is_for_the_whole_stack_but_the_clock(launched: Launch) -> None:
    assert all("use_sim_time" not in node.parameters for node in launched("robot.launch.py").values())
    nodes = launched("robot.launch.py", clock="true", use_sim_time="true")
    assert {name for name, node in nodes.items() if "use_sim_time" not in node.parameters} == {"/clock"}
    assert all(node.parameters.get("use_sim_time", True) is True for node in nodes.values())
    assert launched("yolo.launch.py", use_sim_time="true")["/detect"].parameters["use_sim_time"] is True
    assert launched("sim.launch.py", use_sim_time="false")["/sim"].parameters["use_sim_time"] is False


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


def test_ctrl_c_interrupts_no_work_of_launch_but_the_program_that_goes_on_after_it(launched: Launch) -> None:
    import signal

    launched("sim.launch.py")
    from edge_stack.ros.launch_processes import take_interrupts_as_events
    from launch import LaunchContext

    context = LaunchContext()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        take_interrupts_as_events(context)
        context._set_asyncio_loop(object())
        signal.raise_signal(signal.SIGINT)
        context._set_asyncio_loop(None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        take_interrupts_as_events(context)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "a handler of somebody else's was replaced"
    finally:
        signal.signal(signal.SIGINT, before)
