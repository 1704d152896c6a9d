# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The arguments of the launch files: how they are declared and read. An argument counts only if it is given.

A unit of work is one argument. Launch hands the arguments of a launch file on to the files that it includes, so a value
that is refused here may come from a file that includes ours: the refusal says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from launch.actions import DeclareLaunchArgument

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import NodeConfig, StackConfig
from launch import LaunchContext

SWITCH = ("true", "false")
AS_THE_FILE_SAYS = ""  # the default of what robot.yaml decides
AUTO = "auto"
NO_PREFIX = "none"
_LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
# Arguments of the launch files; a node of such a name (as sim is) has no switch of its own.
RESERVED = (
    "namespace",
    "log_level",
    "use_sim_time",
    "config",
    "robot",
    "sim",
    "frame_prefix",
    "robot_state_publisher",
    "rviz",
    "image",
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
        choices = list(SWITCH) if isinstance(self.default, bool) else list(self.choices) or None
        default = str(self.default).lower() if isinstance(self.default, bool) else str(self.default)
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


def common_arguments() -> list[DeclareLaunchArgument]:
    """Return what every launch file takes."""
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
        DeclareLaunchArgument(
            "use_sim_time",
            default_value=AS_THE_FILE_SAYS,
            choices=[AS_THE_FILE_SAYS, *SWITCH],
            description="Every node takes its time from /clock; empty: as the parameters of each node say.",
        ),
    ]


def config_argument() -> DeclareLaunchArgument:
    """Return the argument that names the stack's file."""
    return DeclareLaunchArgument(
        "config", default_value="", description="robot.yaml of the stack; empty: the shipped one."
    )


def switches(nodes: Iterable[NodeConfig]) -> list[DeclareLaunchArgument]:
    """Return a switch for each node of the shipped robot.yaml; those of another one work too, without being listed."""
    kinds = {"always": "", "sim": ", simulated robot only", "robot": ", real robot only"}
    return [
        DeclareLaunchArgument(
            node.name,
            default_value=AS_THE_FILE_SAYS,
            description=f"true or false: run {node.name} ({node.priority_class}{kinds[node.when]}) or not; empty: as"
            f" robot.yaml says, the shipped one {'true' if node.enabled else 'false'}.",
        )
        for node in nodes
        if node.name not in RESERVED
    ]


def switched(config: StackConfig, context: LaunchContext) -> tuple[StackConfig, list[str]]:
    """
    Return the stack with the nodes that are switched on, and the names of those that are switched off.

    A node without a switch, or with an empty one, is as the file says.
    """
    on, off = [], []
    for node in config.nodes:
        value = context.launch_configurations.get(node.name, AS_THE_FILE_SAYS)
        if node.name in RESERVED or value == AS_THE_FILE_SAYS:
            continue
        if value not in SWITCH:
            raise ConfigurationError(
                f"{node.name}:={value} is neither true nor false. If it was not given here, a launch file that includes"
                " this one has an argument of that name: include this one within GroupAction([...], forwarding=False)"
            )
        if node.enabled and value == "false":
            off.append(node.name)
        elif not node.enabled and value == "true":
            on.append(node.name)
    return config.switch_on(on), off


def frame_prefix(context: LaunchContext) -> str:
    """Return what is put before the name of every frame, or nothing."""
    given = context.launch_configurations.get("frame_prefix", NO_PREFIX)
    if given == AUTO:
        namespace = context.launch_configurations["namespace"].strip("/")
        return f"{namespace}/" if namespace else ""
    return "" if given == NO_PREFIX else given


def use_sim_time(context: LaunchContext) -> bool | None:
    """Return whether nodes take their time from /clock; None if the file decides."""
    given = context.launch_configurations["use_sim_time"]
    return None if given == AS_THE_FILE_SAYS else given == "true"
