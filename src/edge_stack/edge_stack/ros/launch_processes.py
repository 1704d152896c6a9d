# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Processes that launch starts: the nodes of a robot.yaml, robot_state_publisher and rviz2, and that none outlives launch.

A unit of work is one action. Before the first of them a guard is started (runner/guard.py): launch dies of SIGTERM, SIGHUP
and SIGKILL without a word to its children, and the guard then ends all that carries this launch's mark in its environment,
from their first moment on and whoever wrote them. Should somebody kill the guard, our nodes end by the kernel's signal.
"""

from __future__ import annotations

import functools
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import launch.logging
from launch.action import Action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage

from edge_stack.ros import launch_arguments
from edge_stack.runner.guard_client import GuardClient
from edge_stack.runner.run_end import end_runs, ends_with_launch
from edge_stack.runner.stack import node_environment
from edge_stack.rviz_config import rviz_config
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.process_environment import LAUNCH_VARIABLE, process_environment
from edge_stack_core.robot import Robot, load_robot
from edge_stack_core.stack_config import NodeConfig
from launch import LaunchContext

RESPAWN_DELAY_S = 0.1
END_TIMEOUT_S = "10"  # many processes that end at once on a busy machine take their time
_OUR_PACKAGES = "edge_stack"  # how their names begin
_RSP = "robot_state_publisher"
# Nodes that name frames of the robot, and so take frame_prefix.
_NAME_FRAMES = (("edge_stack_sim", "sim"), ("edge_stack_control", "fusion"))
_CLOCK = ("edge_stack_sim", "clock")
_GUARDS: list[GuardClient] = []
_HELD_BACK = ("env", "--block-signal=INT")


class RunEnd:
    """Declares the end of a run once launch has ended every process that keeps something for the next in good order."""

    def __init__(self, nodes: Iterable[NodeConfig], namespace: str) -> None:
        self._nodes = [node for node in nodes if ends_with_launch(node)]
        self._namespace = namespace
        self._codes: dict[str, int | None] = {}

    def of(self, node: NodeConfig) -> Callable[[Any, LaunchContext], None] | None:
        """Return what launch is to call at the end of a node's process, if anything."""
        if node.name not in {known.name for known in self._nodes}:
            return None

        def process_ended(event: Any, context: LaunchContext) -> None:
            # One that ends while launch goes on is started anew.
            if context.is_shutdown:
                self._codes[node.name] = event.returncode
                if len(self._codes) == len(self._nodes):
                    end_runs(self._nodes, self._namespace, self._codes)

        return process_ended


def need_executables(nodes: Iterable[NodeConfig], where: object, context: LaunchContext) -> None:
    """
    Raise ConfigurationError unless the executable of every node is there: nothing is started before all can be.

    where: the file that names them.
    """
    lacking = [
        f"{where}: nodes.{node.name}: {problem}"
        for node in nodes
        if (problem := _lacking(node.package, node.executable, context))
    ]
    if lacking:
        raise ConfigurationError("; ".join(lacking) + "; nothing was started")


def _lacking(package: str, executable: str, context: LaunchContext) -> str:
    """Say what is missing for an executable to be run, as launch looks for it; empty if nothing is."""
    try:
        ExecutableInPackage(package=package, executable=executable).perform(context)
    except Exception as error:  # noqa: BLE001 (launch and ament have several, and what is not found is not found)
        folder = _programs(package)
        there = sorted(path.name for path in folder.iterdir()) if folder is not None else []
        known = f"it has {', '.join(there)}" if there else str(error).partition(", searching")[0]
        return f"package {package} has no executable {executable}; {known}"
    return ""


def _programs(package: str) -> Path | None:
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":"):
        folder = Path(prefix) / "lib" / package
        if prefix and folder.is_dir():
            return folder
    return None


def lifecycle_node(
    node: NodeConfig,
    context: LaunchContext,
    robot_file: Path | None = None,
    run_end: RunEnd | None = None,
) -> LifecycleNode:
    """
    Return the action that runs a node, again whenever its process ends.

    robot_file: whose cameras frames come from. run_end: is told how processes end that keep something.
    """
    given = context.launch_configurations
    parameters = dict(node.parameters)
    program = (node.package, node.executable)
    sim_time = launch_arguments.use_sim_time(context)
    if sim_time is not None and program != _CLOCK:
        parameters["use_sim_time"] = sim_time
    prefix = launch_arguments.frame_prefix(context)
    if prefix and program in _NAME_FRAMES:
        parameters["frame_prefix"] = prefix
    ours = node.package.startswith(_OUR_PACKAGES)
    return LifecycleNode(
        package=node.package,
        executable=node.executable,
        exec_name=node.name,
        name=node.name,
        namespace=given["namespace"],
        parameters=[{key: _typed(value) for key, value in parameters.items()}],
        remappings=list(node.remappings.items()),
        ros_arguments=["--log-level", given["log_level"]],
        env=guarded(node_environment(node, context.environment, robot_file)),
        # Until edge_stack_core.early_end: Python would answer a Ctrl-C with a traceback. A prefix of the user's replaces it.
        prefix=" ".join(_HELD_BACK) if ours and _can_hold_back() and not given.get("launch-prefix") else None,
        output="screen",
        respawn=True,
        on_exit=run_end.of(node) if run_end is not None else None,
        respawn_delay=RESPAWN_DELAY_S,
        sigterm_timeout=END_TIMEOUT_S,
        sigkill_timeout=END_TIMEOUT_S,
    )


# ---- what others bring ------------------------------------------------------------------------------------------------


def robot_state_publisher(robot_file: Path, context: LaunchContext) -> list[Action]:
    """
    Return robot_state_publisher for a robot with a URDF: always where asked for, else where it is installed.

    ConfigurationError if it is asked for and cannot be.
    """
    given = context.launch_configurations[_RSP]
    if given == "false":
        return []
    lacking = _lacking(_RSP, _RSP, context)
    if lacking and given == launch_arguments.AUTO:
        return []
    robot = load_robot(robot_file)
    if given == "true":
        if robot.urdf is None:
            raise ConfigurationError(f"{_RSP}:=true: {robot_file} names no urdf; nothing was started")
        if lacking:
            raise ConfigurationError(
                f"{_RSP}:=true: {lacking}; install ros-$ROS_DISTRO-robot-state-publisher"
            )
    if robot.urdf is None:
        return []
    parameters: dict[str, Any] = {
        "robot_description": _typed(robot.urdf.read_text(encoding="utf-8")),
        "frame_prefix": _typed(launch_arguments.frame_prefix(context)),
    }
    return [_foreign_node(_RSP, context, parameters, respawn=True, respawn_delay=1.0)]


def rviz(robot: Robot, context: LaunchContext, *, with_robot: bool) -> Action:
    """
    Return RViz with the shipped configuration, on the frames of this robot.

    with_robot: whether its model is shown, which needs TF of every link.
    """
    if lacking := _lacking("rviz2", "rviz2", context):
        raise ConfigurationError(
            f"rviz:=true: {lacking}; install ros-$ROS_DISTRO-rviz2, or leave rviz out. Nothing was started"
        )
    prefix = launch_arguments.frame_prefix(context)
    text = (share_folder("edge_stack") / "rviz" / "edge_stack.rviz").read_text(encoding="utf-8")
    file = Path(launch.logging.launch_config.log_dir) / "edge_stack.rviz"
    file.write_text(rviz_config(text, robot.base_frame, prefix, with_robot=with_robot), encoding="utf-8")
    return _foreign_node("rviz2", context, {}, arguments=["-d", str(file)])


def _foreign_node(package: str, context: LaunchContext, parameters: dict[str, Any], **more: Any) -> Node:
    """Return a node of a package whose one executable has its name, guarded as ours are."""
    sim_time = launch_arguments.use_sim_time(context)
    if sim_time is not None:
        parameters = {**parameters, "use_sim_time": sim_time}
    return Node(
        package=package,
        executable=package,
        name=package,
        namespace=context.launch_configurations["namespace"],
        parameters=[parameters] if parameters else None,
        env=guarded(process_environment(context.environment)),
        output="screen",
        **more,
    )


# ---- that nothing outlives launch -------------------------------------------------------------------------------------


def guarded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose process, and all that it starts, ends with this launch."""
    return {**environment, LAUNCH_VARIABLE: _mark(os.getpid())}


@functools.cache
def _mark(pid: int) -> str:
    """Start the guard of this process, once, and return what it goes by; it lives as long as this process does."""
    mark = f"{pid}-{secrets.token_hex(8)}"
    _GUARDS.append(GuardClient())
    _GUARDS[-1].environment(LAUNCH_VARIABLE, mark)
    return mark


def take_interrupts_as_events(context: LaunchContext) -> None:
    """
    Let Ctrl-C reach launch as the event that it takes it for, and not as KeyboardInterrupt in the midst of its work too.

    One that is raised in the task that starts a process ends that task; launch then waits for its process for ever.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    if threading.current_thread() is not threading.main_thread():
        return

    def interrupted(number: int, frame: Any) -> None:
        if context.asyncio_loop is None:  # launch is over, and the program that ran it goes on
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupted)


@functools.cache
def _can_hold_back() -> bool:
    """Return whether this system's env knows the option (coreutils 8.31)."""
    try:
        return subprocess.run([*_HELD_BACK, "true"], stderr=subprocess.DEVNULL, timeout=5).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _typed(value: Any) -> Any:
    """Keep strings what they are: launch_ros would read them as YAML."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return ParameterValue(value, value_type=list[str])
    return value
