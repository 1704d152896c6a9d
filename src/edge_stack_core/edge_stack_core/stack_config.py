# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
robot.yaml as data: which nodes run, in which class, at which rate, with which parameters.

Launch files, the process runner, the supervisor and the demo all read the stack from here, so that they cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_stack_core.device import KNOWN_DEVICES, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot
from edge_stack_core.yaml_file import YamlFile, load_yaml

_SCHEMA = Path(__file__).parent / "schema" / "robot_stack.schema.json"

DEFAULT_CONTROL_RATE_HZ = 24.0
BOARD_EXECUTABLE = "board"
SUPERVISOR_EXECUTABLE = "supervisor"
# Stand-ins that StackConfig.select() fills in; the others are filled in when the file is read.
AT_SELECTION = ("$sim", "$disabled", "$enabled")
NO_MODES = "none"
"""In place of a modes.yaml: the stack has no modes."""


@dataclass(frozen=True)
class Renaming:
    """
    A parameter of an earlier version. executables: whose. new: the parameters in its place.

    write: makes of its value what to write now; None: the same value under the new name.
    """

    executables: tuple[str, ...]
    new: tuple[str, ...]
    write: Callable[[Any], str] | None = None


def _device_and_admission(value: Any) -> str:
    if value in ("", None):  # it meant: ask no admission
        return "device: cpu, admission: off"
    try:
        return f"device: {parse_device(str(value))}, admission: auto"
    except ConfigurationError:
        return f"device: one of {KNOWN_DEVICES}, admission: auto"


def _topics_of_one(value: Any) -> str:
    return f"detections_topics: [{value or ''}]"


# Words of earlier versions, which robot.yaml, command lines and nodes answer with what to write now.
RENAMED_PARAMETERS: dict[str, Renaming] = {
    "accelerator": Renaming(("yolo", "policy"), ("device", "admission"), _device_and_admission),
    "max_future_s": Renaming(("yolo",), ("stamp_tolerance_s",)),
    "backend": Renaming(("yolo",), ("engine",)),
    "detections_topic": Renaming(("fusion",), ("detections_topics",), _topics_of_one),
    "places": Renaming(("policy",), ("endpoints",)),
    "place_age_max_s": Renaming(("policy",), ("endpoint_age_max_s",)),
}
RENAMED_EXECUTABLES: dict[str, str] = {"vla": "policy"}
# Executables that were all in the package edge_stack, which a robot.yaml did not have to name.
MOVED_EXECUTABLES: dict[str, str] = {
    "camera": "edge_stack_perception",
    "fusion": "edge_stack_control",
    "policy": "edge_stack_policy",
    "supervisor": "edge_stack_supervisor",
    "yolo": "edge_stack_perception",
}
_OUR_PACKAGES = "edge_stack"  # how their names begin


def renamed_parameter(name: str, value: Any, declared: Collection[str]) -> str:
    """Say what to write in place of a parameter of an earlier version; empty if it is none of a node that declares these."""
    renaming = RENAMED_PARAMETERS.get(name)
    if renaming is None or name in declared or not set(renaming.new) <= set(declared):
        return ""
    write = renaming.write(value) if renaming.write else f"{renaming.new[0]}: {value}"
    return f"{name} was replaced by {' and '.join(renaming.new)}: write {write}"


def _renamed(node: NodeConfig, name: str) -> str:
    """Say what to write in place of a parameter of a node; empty if it is none of an earlier version."""
    renaming = RENAMED_PARAMETERS.get(name)
    if (
        renaming is None
        or not node.package.startswith(_OUR_PACKAGES)
        or node.executable not in renaming.executables
    ):
        return ""
    return renamed_parameter(name, node.parameters[name], renaming.new)


@dataclass(frozen=True)
class NodeConfig:
    """
    One node of the stack.

    priority_class: critical, essential or background. stage: bring-up order; one stage comes up together. when: always,
    sim (with the simulated robot) or robot (with a real one). rate_hz: wanted rate, or None where the node has none.
    parameters: as the node gets them. floor_hz: the rate that the governor may lower it to; None: not below rate_hz where it
    is essential, else to 0. variants: parameters of smaller models or inputs that it may take instead, largest first.
    standby_of: the node that it stands by for, and is configured as.
    """

    name: str
    package: str
    executable: str
    priority_class: str
    stage: int
    when: str
    enabled: bool
    rate_hz: float | None
    parameters: dict[str, Any]
    remappings: dict[str, str]
    floor_hz: float | None = None
    variants: tuple[dict[str, Any], ...] = ()
    standby_of: str = ""


@dataclass(frozen=True)
class StackConfig:
    """The whole stack, as read from one file. switched_on: nodes that run though the file says enabled: false."""

    path: Path
    robot_file: Path
    control_rate_hz: float
    nodes: tuple[NodeConfig, ...]
    switched_on: tuple[str, ...] = ()

    def select(self, *, sim: bool, disabled: Collection[str] = ()) -> tuple[NodeConfig, ...]:
        """
        Return the nodes that run, in bring-up order.

        Raises ConfigurationError when a disabled name is no node of this stack.
        """
        unknown = sorted(set(disabled) - {node.name for node in self.nodes})
        if unknown:
            known = ", ".join(node.name for node in self.nodes)
            raise ConfigurationError(
                f"{self.path}: no node is called {', '.join(unknown)}; there are {known}"
            )
        mine = ("always", "sim") if sim else ("always", "robot")
        chosen = [n for n in self.nodes if n.enabled and n.when in mine and n.name not in disabled]
        names = {"", *(n.name for n in chosen)}
        chosen = [n for n in chosen if n.standby_of in names]
        stands_for = {"$sim": sim, "$disabled": sorted(disabled), "$enabled": sorted(self.switched_on)}
        return tuple(_filled_in(node, stands_for) for node in sorted(chosen, key=lambda node: node.stage))

    def with_parameter(self, name: str, parameter: str, value: Any) -> StackConfig:
        """
        Return the stack with one parameter of one node, and of its standby, set, of which the supervisor is told.

        rate_hz is the node's wanted rate, too, and priority_class its class.
        """
        if name not in {node.name for node in self.nodes}:
            known = ", ".join(node.name for node in self.nodes)
            raise ConfigurationError(f"{self.path}: no node is called {name}; there are {known}")
        nodes = []
        for node in self.nodes:
            if name in (node.name, node.standby_of):
                node = replace(node, parameters={**node.parameters, parameter: value})
                where = f"{self.path}: nodes.{node.name}.{parameter}"
                if renamed := _renamed(node, parameter):
                    raise ConfigurationError(f"{where}: {renamed}")
                if parameter == "rate_hz":
                    node = replace(node, rate_hz=_number(where, value))
                if parameter == "priority_class":
                    node = replace(node, priority_class=str(value))
            elif node.executable == SUPERVISOR_EXECUTABLE and node.package.startswith(_OUR_PACKAGES):
                # It reads the file itself, and goes by it.
                text = f"{name}.{parameter}={json.dumps(value, default=str)}"
                told = [*node.parameters.get("overrides", ()), text]
                node = replace(node, parameters={**node.parameters, "overrides": told})
            nodes.append(node)
        return replace(self, nodes=tuple(nodes))

    def with_overrides(self, overrides: Collection[str]) -> StackConfig:
        """Return the stack with parameters set, each NODE.PARAMETER=VALUE with the value as JSON."""
        stack = self
        for text in overrides:
            where, equals, value = text.partition("=")
            name, dot, parameter = where.partition(".")
            try:
                if not (dot and equals):
                    raise ValueError("is not NODE.PARAMETER=VALUE")
                stack = stack.with_parameter(name, parameter, json.loads(value))
            except ValueError as error:
                raise ConfigurationError(f"overrides: {text}: {error}") from None
        return stack

    def switch_on(self, names: Collection[str]) -> StackConfig:
        """
        Return the stack with nodes that run whatever the file says. ConfigurationError if a name is no node's.

        A simulated board among them is the one that the supervisor reads and whose clocks the models feel.
        """
        unknown = sorted(set(names) - {node.name for node in self.nodes})
        if unknown:
            known = ", ".join(node.name for node in self.nodes)
            raise ConfigurationError(
                f"{self.path}: no node is called {', '.join(unknown)}; there are {known}"
            )
        nodes = [replace(node, enabled=True) if node.name in names else node for node in self.nodes]
        if any(node.executable == BOARD_EXECUTABLE and node.name in names for node in nodes):
            nodes = [_on_simulated_board(node) for node in nodes]
        return replace(self, nodes=tuple(nodes), switched_on=tuple(sorted({*self.switched_on, *names})))

    def run_by(self, executable: str) -> tuple[str, ...]:
        """Return the names of all nodes of an executable, whether they run or not."""
        return tuple(node.name for node in self.nodes if node.executable == executable)


def _on_simulated_board(node: NodeConfig) -> NodeConfig:
    """Let a supervisor read the simulated board, and models feel it, unless the file says otherwise."""
    parameter = {SUPERVISOR_EXECUTABLE: "sysfs_root", "yolo": "board", "policy": "board"}.get(node.executable)
    if parameter is None or parameter in node.parameters:
        return node
    return replace(node, parameters={**node.parameters, parameter: "simulated"})


def _filled_in(node: NodeConfig, stands_for: Mapping[str, Any]) -> NodeConfig:
    """Replace what is known only once the nodes are chosen; a stand-in for an empty list leaves the parameter away."""
    filled = {}
    for name, value in node.parameters.items():
        known = stands_for.get(value, value) if isinstance(value, str) else value
        if known != [] or known is value:  # an empty list that somebody wrote is one
            filled[name] = known
    return replace(node, parameters=filled)


def load_config(path: str | Path, *, robot: str | None = None) -> StackConfig:
    """
    Load the stack from a robot.yaml.

    robot: name or file that replaces the file's own robot.
    Raises ConfigurationError with file, line and field.
    """
    file = load_yaml(path, _SCHEMA)
    robot_file = _robot_file(file, robot)
    control_rate_hz = float(file.data.get("control_rate_hz", DEFAULT_CONTROL_RATE_HZ))
    stands_for = {
        "$robot": str(robot_file),
        "$config": str(file.path.resolve()),
        "$modes": _modes_file(file),
        "$control_rate_hz": control_rate_hz,
    }
    nodes = []
    for name, entry in file.data["nodes"].items():
        _refuse_renamed_executable(file, name, entry)
        entry = _as_standby(file, name, entry)
        rate_hz = float(entry["rate_hz"]) if "rate_hz" in entry else None
        parameters: dict[str, Any] = {"priority_class": entry["class"]}
        if rate_hz is not None:
            parameters["rate_hz"] = rate_hz
        for key, value in entry.get("parameters", {}).items():
            if key in parameters:
                field = ("nodes", name, "parameters", key)
                raise file.error(
                    field, f"is set by {'class' if key == 'priority_class' else key} of the node already"
                )
            if isinstance(value, str) and value.startswith("$"):
                if value not in stands_for and value not in AT_SELECTION:
                    known = ", ".join((*stands_for, *AT_SELECTION))
                    raise file.error(
                        ("nodes", name, "parameters", key), f"{value} is unknown; known are {known}"
                    )
                value = stands_for.get(value, value)
            parameters[key] = value
        nodes.append(
            NodeConfig(
                name=name,
                package=entry["package"],
                executable=entry["executable"],
                priority_class=entry["class"],
                stage=entry.get("stage", 0),
                when=entry.get("when", "always"),
                enabled=entry.get("enabled", True),
                rate_hz=rate_hz,
                parameters=parameters,
                remappings=dict(entry.get("remappings", {})),
                floor_hz=_floor(file, name, entry, rate_hz),
                variants=_variants(file, name, entry),
                standby_of=entry.get("standby_of", ""),
            )
        )
        for key in parameters:
            if renamed := _renamed(nodes[-1], key):
                raise file.error(("nodes", name, "parameters", key), renamed)
    return StackConfig(file.path.resolve(), robot_file, control_rate_hz, tuple(nodes))


def _refuse_renamed_executable(file: YamlFile, name: str, entry: dict[str, Any]) -> None:
    """Answer an executable of an earlier version, or its package, with what to write now."""
    old, package = entry.get("executable", ""), entry.get("package", "edge_stack")
    if not package.startswith(_OUR_PACKAGES):
        return
    new = RENAMED_EXECUTABLES.get(old, old)
    if new != old:
        raise file.error(
            ("nodes", name, "executable"),
            f"{old} was replaced by {new}: write package: {MOVED_EXECUTABLES.get(new, package)}, executable: {new}",
        )
    if package == "edge_stack" and new in MOVED_EXECUTABLES:
        raise file.error(
            ("nodes", name, "package" if "package" in entry else "executable"),
            f"the executable {new} is in a package of its own: write package: {MOVED_EXECUTABLES[new]}",
        )


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{where}: {value!r} is not a number")
    return float(value)


def _as_standby(file: YamlFile, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a standby with all that it does not say itself as the node that it stands by for has it."""
    if "standby_of" not in entry:
        missing = [key for key in ("package", "executable", "class") if key not in entry]
        if missing:
            raise file.error(("nodes", name), f"'{missing[0]}' is a required property")
        return entry
    principal = file.data["nodes"].get(entry["standby_of"])
    if principal is None or "standby_of" in principal or principal.get("executable") != "fusion":
        field = ("nodes", name, "standby_of")
        raise file.error(
            field, "must name a node of the executable fusion, as only that one can have a standby"
        )
    own = {"standby_of": entry["standby_of"], **entry.get("parameters", {})}
    return {**principal, **entry, "parameters": {**principal.get("parameters", {}), **own}}


def _floor(file: YamlFile, name: str, entry: dict[str, Any], rate_hz: float | None) -> float | None:
    if "floor_hz" not in entry:
        return None
    floor_hz = float(entry["floor_hz"])
    if rate_hz is None or floor_hz > rate_hz:
        raise file.error(("nodes", name, "floor_hz"), "needs a rate_hz, and is not above it")
    if entry["class"] == "critical":
        raise file.error(("nodes", name, "floor_hz"), "a critical node is never slowed down")
    return floor_hz


def _variants(file: YamlFile, name: str, entry: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    variants = tuple(dict(variant) for variant in entry.get("variants", ()))
    if variants and entry["class"] == "critical":
        raise file.error(("nodes", name, "variants"), "a critical node keeps its model")
    for index, variant in enumerate(variants):
        missing = sorted(set(variant) - set(entry.get("parameters", {})))
        if missing:
            field = ("nodes", name, "variants", index)
            raise file.error(field, f"{missing[0]} must be among the node's parameters, to be set back later")
    return variants


def _modes_file(file: YamlFile) -> str:
    modes = file.path.resolve().parent / "modes.yaml"
    return str(modes) if modes.is_file() else NO_MODES


def _robot_file(file: YamlFile, robot: str | None) -> Path:
    try:
        return find_robot(robot or file.data["robot"], file.path.parent / "robots")
    except ConfigurationError as error:
        raise error if robot else file.error(("robot",), str(error)) from None
