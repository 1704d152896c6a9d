# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: robot.yaml as launch arguments and LifecycleNode actions.

A unit of work is one launch description. Which nodes there are, and their parameters, come from
edge_stack_core.stack_config; their states are the supervisor's business (or the node's own, with autostart, where it
runs alone). Needs launch and launch_ros, which only a ROS installation has; nothing but launch files imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from edge_stack.runner.run_end import end_runs, is_fusion
from edge_stack.runner.stack import node_environment
from edge_stack.shipped import shipped_config
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.process_environment import process_environment
from edge_stack_core.stack_config import NodeConfig, StackConfig, load_config
from launch import LaunchContext, LaunchDescription

RESPAWN_DELAY_S = 0.1
END_TIMEOUT_S = "10"  # many processes that end at once on a busy machine take their time
_LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_SWITCH = ("true", "false")
# Arguments of the launch files; a node of such a name (as sim is) has no switch of its own.
_RESERVED = ("namespace", "log_level", "config", "robot", "sim", "rviz", "image")


def robot() -> LaunchDescription:
    """Describe the whole stack of a robot.yaml."""
    config = load_config(shipped_config())
    return LaunchDescription(
        [
            *_common_arguments(),
            _config_argument(),
            DeclareLaunchArgument(
                "robot",
                default_value="",
                description="Robot in place of the one in robot.yaml: a name or a .yaml file.",
            ),
            DeclareLaunchArgument(
                "sim",
                default_value="auto",
                choices=["auto", *_SWITCH],
                description="With the simulated robot; auto: if the robot's name ends in _sim.",
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=_SWITCH, description="Start RViz too."
            ),
            *_switches(node for node in config.nodes if node.enabled),
            OpaqueFunction(function=_robot),
        ]
    )


def perception() -> LaunchDescription:
    """Describe the vision models alone, with a supervisor for them, beside a robot of somebody else."""
    config = load_config(shipped_config())
    return LaunchDescription(
        [
            *_common_arguments(),
            _config_argument(),
            DeclareLaunchArgument(
                "image", default_value="image_raw", description="Image topic that the models look at."
            ),
            DeclareLaunchArgument(
                "camera", default_value="false", choices=_SWITCH, description="Start the camera node too."
            ),
            *_switches(node for node in config.nodes if node.enabled and node.executable == "yolo"),
            OpaqueFunction(function=_perception),
        ]
    )


@dataclass(frozen=True)
class Argument:
    """A parameter of a node that is a launch argument; its type is the default's."""

    name: str
    default: bool | int | float | str
    description: str
    choices: tuple[str, ...] = ()

    def declare(self) -> DeclareLaunchArgument:
        """Return the launch argument."""
        choices = list(_SWITCH) if isinstance(self.default, bool) else list(self.choices) or None
        default = _text(self.default)
        return DeclareLaunchArgument(
            self.name, default_value=default, choices=choices, description=self.description
        )

    def value(self, context: LaunchContext) -> Any:
        """Return the argument's value as the parameter's type."""
        text = context.launch_configurations[self.name]
        if isinstance(self.default, bool):
            return text == "true"
        try:
            return type(self.default)(text)
        except ValueError:
            raise ValueError(f"{self.name}: '{text}' is no {type(self.default).__name__}") from None


def part(
    executable: str,
    arguments: Iterable[Argument],
    *,
    package: str,
    name: str | None = None,
    remapped: Mapping[str, str] | None = None,
) -> LaunchDescription:
    """
    Describe one node alone, which brings itself up.

    package: the executable's. arguments: its parameters that are launch arguments. name: the node's default name.
    remapped: topic by the launch argument that replaces it.
    """
    arguments = tuple(arguments)
    remapped = dict(remapped or {})

    def actions(context: LaunchContext) -> list[Action]:
        values = {argument.name: argument.value(context) for argument in arguments}
        node = NodeConfig(
            name=context.launch_configurations["name"] or str(values.get("task", executable)),
            package=package,
            executable=executable,
            priority_class="essential",
            stage=0,
            when="always",
            enabled=True,
            rate_hz=None,
            parameters={"autostart": True, "priority_class": "essential", **values},
            remappings={topic: context.launch_configurations[name] for name, topic in remapped.items()},
        )
        return [_lifecycle_node(node, context)]

    default_name = executable if name is None else name
    return LaunchDescription(
        [
            *_common_arguments(),
            DeclareLaunchArgument(
                "name",
                default_value=default_name,
                description="Name of the node" + ("." if default_name else "; empty: its task."),
            ),
            *(
                DeclareLaunchArgument(
                    argument, default_value=topic, description=f"Topic in place of {topic}."
                )
                for argument, topic in remapped.items()
            ),
            *(argument.declare() for argument in arguments),
            OpaqueFunction(function=actions),
        ]
    )


# ---- actions ----------------------------------------------------------------------------------------------------------


def _robot(context: LaunchContext) -> list[Action]:
    given = context.launch_configurations
    config = load_config(given["config"] or shipped_config(), robot=given["robot"] or None)
    sim = config.robot_file.stem.endswith("_sim") if given["sim"] == "auto" else given["sim"] == "true"
    if sim:
        _need_simulation()
    config, disabled = _switched(config, context)
    nodes = config.select(sim=sim, disabled=disabled)
    ended = _RunEnd(nodes, given["namespace"])
    actions: list[Action] = [_lifecycle_node(node, context, config.robot_file, ended) for node in nodes]
    if given["rviz"] == "true":
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=given["namespace"],
                arguments=["-d", str(share_folder("edge_stack") / "rviz" / "edge_stack.rviz")],
                env=process_environment(context.environment),
            )
        )
    return actions


class _RunEnd:
    """Declares the end of a run once launch has ended every fusion process in good order."""

    def __init__(self, nodes: Iterable[NodeConfig], namespace: str) -> None:
        self._nodes = [node for node in nodes if is_fusion(node)]
        self._namespace = namespace
        self._codes: dict[str, int | None] = {}

    def of(self, name: str) -> Callable[[Any, LaunchContext], None]:
        """Return what launch is to call at the end of a node's process."""

        def process_ended(event: Any, context: LaunchContext) -> None:
            # One that ends while launch goes on is started anew.
            if context.is_shutdown:
                self._codes[name] = event.returncode
                if len(self._codes) == len(self._nodes):
                    end_runs(self._nodes, self._namespace, self._codes)

        return process_ended


def _need_simulation() -> None:
    """Say in one line what to do where the simulated robot, the default, is not installed."""
    try:
        share_folder("edge_stack_sim")
    except ConfigurationError:
        raise ConfigurationError(
            "the simulated robot is not installed: give robot:=/path/to/my_robot.yaml, or install edge_stack_sim"
        ) from None


def _perception(context: LaunchContext) -> list[Action]:
    given = context.launch_configurations
    config = load_config(given["config"] or shipped_config())
    camera = given["camera"] == "true"
    config, disabled = _switched(config, context)
    for node in config.nodes:
        wanted = node.executable in ("yolo", "supervisor") or (node.executable == "camera" and camera)
        if not wanted and node.enabled and node.name not in disabled:
            disabled.append(node.name)
    nodes = config.select(sim=False, disabled=disabled)
    return [
        _lifecycle_node(
            replace(node, remappings={**node.remappings, "image_raw": given["image"]})
            if node.executable == "yolo"
            else node,
            context,
            config.robot_file,
        )
        for node in nodes
    ]


def _lifecycle_node(
    node: NodeConfig,
    context: LaunchContext,
    robot_file: Path | None = None,
    run_end: _RunEnd | None = None,
) -> LifecycleNode:
    """
    Return the action that runs a node, again whenever its process ends.

    robot_file: whose cameras frames come from. run_end: is told how fusion processes end.
    """
    given = context.launch_configurations
    return LifecycleNode(
        package=node.package,
        executable=node.executable,
        exec_name=node.name,
        name=node.name,
        namespace=given["namespace"],
        parameters=[{key: _typed(value) for key, value in node.parameters.items()}],
        remappings=list(node.remappings.items()),
        ros_arguments=["--log-level", given["log_level"]],
        env=node_environment(node, context.environment, robot_file),
        output="screen",
        respawn=True,
        on_exit=run_end.of(node.name) if run_end is not None and is_fusion(node) else None,
        respawn_delay=RESPAWN_DELAY_S,
        sigterm_timeout=END_TIMEOUT_S,
        sigkill_timeout=END_TIMEOUT_S,
    )


# ---- arguments --------------------------------------------------------------------------------------------------------


def _common_arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of all nodes and topics."
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=_LOG_LEVELS,
            description="Least level of what nodes log.",
        ),
    ]


def _config_argument() -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        "config", default_value="", description="robot.yaml of the stack; empty: the shipped one."
    )


def _switches(nodes: Iterable[NodeConfig]) -> list[DeclareLaunchArgument]:
    """Return a switch for each node of the shipped robot.yaml; those of another one work too, without being listed."""
    kinds = {"always": "", "sim": ", simulated robot only", "robot": ", real robot only"}
    return [
        DeclareLaunchArgument(
            node.name,
            default_value=_text(node.enabled),
            choices=_SWITCH,
            description=f"Run {node.name} ({node.priority_class}{kinds[node.when]}).",
        )
        for node in nodes
        if node.name not in _RESERVED
    ]


def _switched(config: StackConfig, context: LaunchContext) -> tuple[StackConfig, list[str]]:
    """Return the stack with the nodes that are switched on, and the names of those that are switched off."""
    on, off = [], []
    for node in config.nodes:
        if node.name in _RESERVED:
            continue
        value = context.launch_configurations.get(node.name, _text(node.enabled))
        if value not in _SWITCH:
            raise ValueError(f"{node.name}: '{value}' is neither true nor false")
        if node.enabled and value == "false":
            off.append(node.name)
        elif not node.enabled and value == "true":
            on.append(node.name)
    return config.switch_on(on), off


def _typed(value: Any) -> Any:
    """Keep strings what they are: launch_ros would read them as YAML."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return ParameterValue(value, value_type=list[str])
    return value


def _text(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
