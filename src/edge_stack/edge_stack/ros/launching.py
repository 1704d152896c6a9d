# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: robot.yaml as launch arguments and LifecycleNode actions.

A unit of work is one launch description. Which nodes there are, and their parameters, come from
edge_stack_core.stack_config; their states are the supervisor's business (or the node's own, with autostart, where it
runs alone). Needs launch and launch_ros, which only a ROS installation has; nothing but launch files imports this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction

from edge_stack.ros import launch_processes
from edge_stack.ros.launch_arguments import (
    AUTO,
    NO_PREFIX,
    SWITCH,
    Argument,
    common_arguments,
    config_argument,
    switched,
    switches,
)
from edge_stack.ros.launch_processes import (
    RunEnd,
    lifecycle_node,
    need_executables,
    take_interrupts_as_events,
)
from edge_stack.shipped import shipped_config
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.package_files import share_folder
from edge_stack_core.robot import load_robot
from edge_stack_core.stack_config import NodeConfig, load_config
from launch import LaunchContext, LaunchDescription

__all__ = ["Argument", "part", "perception", "robot"]


def robot() -> LaunchDescription:
    """Describe the whole stack of a robot.yaml."""
    config = load_config(shipped_config())
    return LaunchDescription(
        [
            *common_arguments(),
            config_argument(),
            DeclareLaunchArgument(
                "robot",
                default_value="",
                description="Robot in place of the one in robot.yaml: a name or a .yaml file.",
            ),
            DeclareLaunchArgument(
                "sim",
                default_value=AUTO,
                choices=[AUTO, *SWITCH],
                description="With the simulated robot; auto: if the robot's name ends in _sim.",
            ),
            DeclareLaunchArgument(
                "frame_prefix",
                default_value=AUTO,
                description="What is put before the names of frames, for several arms in one TF tree, such as left/;"
                f" auto: the namespace and a slash; {NO_PREFIX}: nothing.",
            ),
            DeclareLaunchArgument(
                "robot_state_publisher",
                default_value=AUTO,
                choices=[AUTO, *SWITCH],
                description="Publish TF of the robot's links; auto: where it is installed and the robot's file has a urdf.",
            ),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=SWITCH, description="Start RViz too."
            ),
            *switches(config.nodes),
            OpaqueFunction(function=_robot),
        ]
    )


def perception() -> LaunchDescription:
    """Describe the vision models alone, with a supervisor for them, beside a robot of somebody else."""
    config = load_config(shipped_config())
    return LaunchDescription(
        [
            *common_arguments(),
            config_argument(),
            DeclareLaunchArgument(
                "image", default_value="image_raw", description="Image topic that the models look at."
            ),
            DeclareLaunchArgument(
                "camera", default_value="false", choices=SWITCH, description="Start the camera node too."
            ),
            *switches(node for node in config.nodes if node.executable == "yolo"),
            OpaqueFunction(function=_perception),
        ]
    )


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
        take_interrupts_as_events(context)
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
        need_executables([node], "launch", context)
        return [lifecycle_node(node, context)]

    default_name = executable if name is None else name
    return LaunchDescription(
        [
            *common_arguments(),
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
    take_interrupts_as_events(context)
    given = context.launch_configurations
    config = load_config(given["config"] or shipped_config(), robot=given["robot"] or None)
    sim = config.robot_file.stem.endswith("_sim") if given["sim"] == AUTO else given["sim"] == "true"
    if sim:
        _need_simulation()
    config, disabled = switched(config, context)
    nodes = config.select(sim=sim, disabled=disabled)
    need_executables(nodes, config.path, context)
    beside = launch_processes.robot_state_publisher(config.robot_file, context)
    if given["rviz"] == "true":
        shown = load_robot(config.robot_file)
        beside.append(launch_processes.rviz(shown, context, with_robot=bool(beside)))
    ended = RunEnd(nodes, given["namespace"])
    return [*(lifecycle_node(node, context, config.robot_file, ended) for node in nodes), *beside]


def _need_simulation() -> None:
    """Say in one line what to do where the simulated robot, the default, is not installed."""
    try:
        share_folder("edge_stack_sim")
    except ConfigurationError:
        raise ConfigurationError(
            "the simulated robot is not installed: give robot:=/path/to/my_robot.yaml, or install edge_stack_sim"
        ) from None


def _perception(context: LaunchContext) -> list[Action]:
    take_interrupts_as_events(context)
    given = context.launch_configurations
    config = load_config(given["config"] or shipped_config())
    config, disabled = switched(config, context)
    for node in config.nodes:
        wanted = node.executable in ("yolo", "supervisor")
        wanted = wanted or (node.executable == "camera" and given["camera"] == "true")
        if not wanted and node.enabled and node.name not in disabled:
            disabled.append(node.name)
    nodes = config.select(sim=False, disabled=disabled)
    need_executables(nodes, config.path, context)
    ended = RunEnd(nodes, given["namespace"])
    return [
        lifecycle_node(
            replace(node, remappings={**node.remappings, "image_raw": given["image"]})
            if node.executable == "yolo"
            else node,
            context,
            config.robot_file,
            ended,
        )
        for node in nodes
    ]
