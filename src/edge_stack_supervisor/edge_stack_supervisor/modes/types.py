# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What a mode is: for every node the state, class, rate and parameters that it has there, and hooks around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from edge_stack_supervisor.supervision import NodeState

# From the first to give way to the last.
CLASSES = ("background", "essential", "critical")


@dataclass(frozen=True)
class NodeTarget:
    """
    What a mode wants of one node.

    state: ACTIVE, INACTIVE (the model stays in memory) or UNCONFIGURED (its memory is freed). rate_hz: its ceiling,
    or None where the node has none. parameters: those that take effect at configure; another value reloads the node.
    """

    state: NodeState
    priority_class: str
    rate_hz: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All that takes effect at configure, as parameters."""
        return {**self.parameters, "priority_class": self.priority_class}


@dataclass(frozen=True)
class SetParameters:
    """Hook: set live parameters of a node."""

    node: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"set {self.node} {values}"


@dataclass(frozen=True)
class CallTrigger:
    """Hook: call a service of type std_srvs/Trigger."""

    service: str

    def __str__(self) -> str:
        return f"call {self.service}"


@dataclass(frozen=True)
class PublishText:
    """Hook: publish a std_msgs/String."""

    topic: str
    text: str

    def __str__(self) -> str:
        return f"publish '{self.text}' on {self.topic}"


Hook: TypeAlias = SetParameters | CallTrigger | PublishText


@dataclass(frozen=True)
class Mode:
    """One mode. nodes: a target for every node of the stack. share_freed: see share_freed()."""

    name: str
    nodes: Mapping[str, NodeTarget]
    description: str = ""
    entry: tuple[Hook, ...] = ()
    exit: tuple[Hook, ...] = ()
    share_freed: bool = False


@dataclass(frozen=True)
class ModeFigures:
    """
    What is known of a node's needs; None where nothing is.

    memory_mb: what its models take, MiB. duration_s: one inference. rate_hz: inferences a second of a node whose rate
    the stack does not set. max_rate_hz: more is of no use to anybody.
    """

    memory_mb: float | None = None
    duration_s: float | None = None
    rate_hz: float | None = None
    max_rate_hz: float | None = None


@dataclass(frozen=True)
class Detection:
    """Holds while each message has at least `count` objects of a class with at least this score."""

    class_id: str
    score: float = 0.5
    count: int = 1
    for_s: float = 1.0
    clear_s: float = 2.0


@dataclass(frozen=True)
class Battery:
    """Holds while the charge (0..1) is below or above; lets go once it is back by the hysteresis."""

    below: float | None = None
    above: float | None = None
    hysteresis: float = 0.05
    for_s: float = 5.0


@dataclass(frozen=True)
class Instruction:
    """Matches an instruction that contains the regular expression, whatever the case."""

    pattern: str


@dataclass(frozen=True)
class TimeOut:
    """Holds once the mode has lasted this long."""

    after_s: float


Condition: TypeAlias = Detection | Battery | Instruction | TimeOut


@dataclass(frozen=True)
class ModeRule:
    """Where a condition leads. sources: the modes that it leads out of."""

    condition: Condition
    target: str
    sources: frozenset[str]

    def __str__(self) -> str:
        values = ((name, value) for name, value in vars(self.condition).items() if value is not None)
        return f"{type(self.condition).__name__.lower()} " + ", ".join(f"{n} {v}" for n, v in values)


@dataclass(frozen=True)
class ModesConfig:
    """
    All of modes.yaml.

    base: the targets of robot.yaml alone. timeout_s: how long a transition may take. dwell_s: no rule leaves a mode
    sooner. retry_s: pause after a rule's switch was refused or failed. slack_share: how much of the time that critical
    work leaves on a device may be planned. memory_reserve_mb: what stays free. devices: of each node that
    asks for admission.
    """

    path: Path
    start: str
    modes: Mapping[str, Mode]
    base: Mapping[str, NodeTarget]
    rules: tuple[ModeRule, ...] = ()
    figures: Mapping[str, ModeFigures] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    dwell_s: float = 2.0
    retry_s: float = 30.0
    slack_share: float = 0.9
    memory_reserve_mb: float = 200.0
