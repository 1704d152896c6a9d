# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
modes.yaml as data, checked against robot.yaml: every error names file, line and field.

A mode says only how it differs from robot.yaml; what comes out says for every node what each mode wants of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_stack_core.device import CPU, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.served_models import is_served
from edge_stack_core.stack_config import NodeConfig
from edge_stack_core.yaml_file import Field, YamlFile, load_yaml
from edge_stack_supervisor.modes.types import (
    Battery,
    CallTrigger,
    Condition,
    Detection,
    Hook,
    Instruction,
    Mode,
    ModeFigures,
    ModeRule,
    ModesConfig,
    NodeTarget,
    PublishText,
    SetParameters,
    TimeOut,
)
from edge_stack_supervisor.supervision import NodeState

_SCHEMA = Path(__file__).parents[1] / "schema" / "modes.schema.json"

CONDITIONS = ("instruction", "detection", "battery", "after_s")
COMMANDING_EXECUTABLE = "fusion"  # its reload would be a gap in the commands
MODEL_EXECUTABLES = ("yolo", "policy")  # run on the CPU unless told otherwise
_STATES = {state.label: state for state in (NodeState.ACTIVE, NodeState.INACTIVE, NodeState.UNCONFIGURED)}
_OPTIONS = ("timeout_s", "dwell_s", "retry_s", "slack_share", "memory_reserve_mb")


def load_modes(path: str | Path, stack: Sequence[NodeConfig], *, known: Sequence[str] = ()) -> ModesConfig:
    """
    Load modes.yaml.

    stack: the nodes of robot.yaml that run. known: names of others that it has; what modes say of them is left out.
    Raises ConfigurationError with file, line and field.
    """
    return _Reader(load_yaml(path, _SCHEMA), stack, known).read()


class _Reader:
    def __init__(self, file: YamlFile, stack: Sequence[NodeConfig], known: Sequence[str]) -> None:
        self._file = file
        # The supervisor carries the modes out; it has no place in them.
        self._stack = {node.name: node for node in stack if node.executable != "supervisor"}
        self._absent = set(known) - {node.name for node in stack}

    def read(self) -> ModesConfig:
        data = self._file.data
        base = {name: self._base(node) for name, node in self._stack.items()}
        modes = {name: self._mode(name, entry, base) for name, entry in data["modes"].items()}
        self._mode_name(("start",), data["start"], modes)
        rules = tuple(self._rule(index, entry, modes) for index, entry in enumerate(data.get("rules", ())))
        self._refuse_hooks_that_leave(modes, rules)
        figures = {}
        for name, entry in data.get("nodes", {}).items():
            if self._has(("nodes", name), name):
                figures[name] = self._figures(name, entry)
        devices = {name: _device(node) for name, node in self._stack.items()}
        devices = {name: device for name, device in devices.items() if device}
        options = {name: float(data[name]) for name in _OPTIONS if name in data}
        path = self._file.path.resolve()
        return ModesConfig(path, data["start"], modes, base, rules, figures, devices, **options)

    # ---- modes

    @staticmethod
    def _base(node: NodeConfig) -> NodeTarget:
        return NodeTarget(NodeState.ACTIVE, node.priority_class, node.rate_hz)

    def _mode(self, name: str, entry: Mapping[str, Any], base: Mapping[str, NodeTarget]) -> Mode:
        field: Field = ("modes", name)
        nodes = dict(base)
        for priority_class, change in entry.get("classes", {}).items():
            where = (*field, "classes", priority_class)
            for key in ("class", "parameters"):
                if key in change:
                    raise self._file.error((*where, key), f"{key} is set for a node, below nodes")
            for node, target in base.items():
                if target.priority_class != priority_class:
                    continue
                # A class's rate is for those of its nodes that have one.
                keys = (
                    change
                    if target.rate_hz is not None
                    else {k: v for k, v in change.items() if k != "rate_hz"}
                )
                nodes[node] = self._target(where, node, nodes[node], keys)
        for node, change in entry.get("nodes", {}).items():
            where = (*field, "nodes", node)
            if self._has(where, node):
                nodes[node] = self._target(where, node, nodes[node], change)
        return Mode(
            name,
            nodes,
            entry.get("description", ""),
            self._hooks((*field, "entry"), entry.get("entry", ())),
            self._hooks((*field, "exit"), entry.get("exit", ())),
            entry.get("share_freed", False),
        )

    def _target(self, where: Field, name: str, before: NodeTarget, change: Mapping[str, Any]) -> NodeTarget:
        node = self._stack[name]
        rate_hz = before.rate_hz
        if "rate_hz" in change:
            if node.rate_hz is None:
                raise self._file.error(
                    (*where, "rate_hz"), f"{name} has no rate_hz in robot.yaml; give it one there"
                )
            rate_hz = float(change["rate_hz"])
        priority_class = change.get("class", before.priority_class)
        parameters = dict(change.get("parameters", {}))
        for parameter in parameters:
            if parameter in ("rate_hz", "priority_class"):
                key = "class" if parameter == "priority_class" else parameter
                raise self._file.error((*where, "parameters", parameter), f"is set by {key} of the node")
            if parameter not in node.parameters:
                text = f"{name} has no {parameter} in robot.yaml; write there what holds in the other modes"
                raise self._file.error((*where, "parameters", parameter), text)
        reloads = parameters or priority_class != before.priority_class
        if reloads and node.executable == COMMANDING_EXECUTABLE:
            key = "parameters" if parameters else "class"
            text = f"would reload {name}, which commands the robot; set live parameters in the entry hooks instead"
            raise self._file.error((*where, key), text)
        state = _STATES[change["state"]] if "state" in change else before.state
        return NodeTarget(state, priority_class, rate_hz, parameters)

    def _hooks(self, where: Field, entries: Sequence[Mapping[str, Any]]) -> tuple[Hook, ...]:
        hooks: list[Hook] = []
        for index, entry in enumerate(entries):
            if "call" in entry:
                hooks.append(CallTrigger(entry["call"]))
            elif "publish" in entry:
                hooks.append(PublishText(entry["publish"]["topic"], entry["publish"]["text"]))
            else:
                hooks += [
                    SetParameters(name, dict(parameters))
                    for name, parameters in entry["set"].items()
                    if self._has((*where, index, "set", name), name)
                ]
        return tuple(hooks)

    # ---- rules

    def _rule(self, index: int, entry: Mapping[str, Any], modes: Mapping[str, Mode]) -> ModeRule:
        where: Field = ("rules", index)
        given = [key for key in CONDITIONS if key in entry]
        if len(given) != 1:
            text = f"wants one of {', '.join(CONDITIONS)}; it has {' and '.join(given) or 'none'}"
            raise self._file.error(where, text)
        self._mode_name((*where, "to"), entry["to"], modes)
        for number, name in enumerate(entry.get("from", ())):
            self._mode_name((*where, "from", number), name, modes)
        if entry["to"] in entry.get("from", ()):
            raise self._file.error((*where, "from"), f"{entry['to']} is where the rule leads to")
        condition = self._condition(where, given[0], entry[given[0]])
        if isinstance(condition, TimeOut) and "from" not in entry:
            raise self._file.error((*where, "after_s"), "wants from: the modes that last so long")
        return ModeRule(condition, entry["to"], frozenset(entry.get("from", set(modes) - {entry["to"]})))

    def _condition(self, where: Field, kind: str, value: Any) -> Condition:
        if kind == "after_s":
            return TimeOut(float(value))
        if kind == "detection":
            options = {key: value[key] for key in ("score", "count", "for_s", "clear_s") if key in value}
            return Detection(value["class"], **options)
        if kind == "battery":
            if ("below" in value) == ("above" in value):
                raise self._file.error((*where, "battery"), "wants either below or above, as a share (0..1)")
            return Battery(**value)
        try:
            re.compile(value)
        except re.error as error:
            text = f"{value!r} is no regular expression: {error}"
            raise self._file.error((*where, "instruction"), text) from error
        return Instruction(value)

    def _refuse_hooks_that_leave(self, modes: Mapping[str, Mode], rules: Sequence[ModeRule]) -> None:
        """Refuse an entry hook whose instruction leads straight out of its mode: two of them would go round for ever."""
        for mode in modes.values():
            for hook in mode.entry:
                if not isinstance(hook, PublishText) or hook.topic.rsplit("/", 1)[-1] != "instruction":
                    continue
                for rule in rules:
                    condition = rule.condition
                    if (
                        isinstance(condition, Instruction)
                        and mode.name in rule.sources
                        and re.search(condition.pattern, hook.text, re.IGNORECASE)
                    ):
                        text = f"'{hook.text}' matches the rule to {rule.target}, which would leave {mode.name} at once"
                        raise self._file.error(("modes", mode.name, "entry"), text)

    # ---- inside

    def _figures(self, name: str, entry: Mapping[str, Any]) -> ModeFigures:
        max_rate_hz = entry.get("max_rate_hz")
        node_hz = self._stack[name].rate_hz
        if max_rate_hz is not None and node_hz is None:
            text = f"{name} has no rate_hz in robot.yaml; give it one there"
            raise self._file.error(("nodes", name, "max_rate_hz"), text)
        if "rate_hz" in entry and node_hz is not None:
            text = f"{name} has a rate_hz in robot.yaml already; this one is for nodes whose rate nobody sets"
            raise self._file.error(("nodes", name, "rate_hz"), text)
        duration_ms = entry.get("duration_ms")
        return ModeFigures(
            memory_mb=entry.get("memory_mb"),
            duration_s=None if duration_ms is None else duration_ms * 1e-3,
            rate_hz=entry.get("rate_hz"),
            max_rate_hz=max_rate_hz,
        )

    def _has(self, where: Field, name: str) -> bool:
        """Whether a node runs; an error if robot.yaml does not have it."""
        if name in self._stack:
            return True
        if name in self._absent:
            return False
        raise self._file.error(where, f"robot.yaml has no node {name}; it has {', '.join(self._stack)}")

    def _mode_name(self, where: Field, name: str, modes: Mapping[str, Mode]) -> None:
        if name not in modes:
            raise self._file.error(where, f"there is no mode {name}; there are {', '.join(modes)}")


def _device(node: NodeConfig) -> str:
    """Return the device whose time a node's model takes; empty where it takes none here."""
    given = str(node.parameters.get("device") or "")
    if node.executable in MODEL_EXECUTABLES:
        served = is_served(str(node.parameters.get("model", "")))
        elsewhere = node.parameters.get("policy_address") and not node.parameters.get("endpoints")
        given = "" if served or elsewhere else given or CPU
    try:
        return parse_device(given) if given else ""
    except ConfigurationError:
        return given  # the node itself refuses it, with the known ones
