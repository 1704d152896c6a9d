# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What goes in and out of supervision: nodes and limits, what a node reports, and what to ask of it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_stack_core.runtime.progress import Work
from edge_stack_supervisor.supervision.lifecycle import NodeState, Transition

Scalar = bool | int | float | str
Value = Scalar | Sequence[Scalar]
"""What a parameter of a node can hold."""


class NodeFault(str, enum.Enum):
    """What has befallen a node, by the word in edge_stack_msgs/SupervisedNode."""

    NONE = ""
    DIED = "died"  # its process ended, or is not heard any more
    HUNG = "hung"  # it lives, and a thread of it makes no progress
    CRASH_LOOP = "crash_loop"  # it died too often: parked
    WRONG_OUTPUT = "wrong_output"  # what it makes is of no use


@dataclass(frozen=True)
class NodeSpec:
    """A node that is to be supervised. rate_hz: its wanted rate, or None where the supervisor sets none."""

    name: str
    priority_class: str = "background"
    stage: int = 0
    rate_hz: float | None = None


@dataclass(frozen=True)
class SupervisionLimits:
    """
    How long the supervisor waits for what.

    heartbeat_timeout_s: a node that is silent for longer counts as lost. silence_s: one that is silent for longer, and seen
    to sleep through, counts as hung; for processes of the same machine. transition_timeout_s: the same while
    it is in a transition, in which loading a model may keep it silent. answer_timeout_s: a call with no sign
    of having arrived is sent again after this. retry_s, retry_max_s: pause after the first failed transition,
    doubled up to the maximum. max_attempts: failures of one transition before giving up, 0 = never.
    stage_timeout_s: how long a later stage waits for nodes of an earlier one of which there is no sign.
    """

    heartbeat_timeout_s: float = 1.5
    silence_s: float = 0.3
    transition_timeout_s: float = 120.0
    answer_timeout_s: float = 0.5
    retry_s: float = 0.5
    retry_max_s: float = 10.0
    max_attempts: int = 6
    stage_timeout_s: float = 5.0


@dataclass(frozen=True)
class Report:
    """
    What a node says of itself.

    target_hz: the rate it works towards; message: what is wrong, or empty. machine, started_ticks: what tells its process
    from another one of the same pid. work...: of its working thread, see WorkState. wrong_outputs: since activation.
    """

    pid: int
    state: NodeState
    message: str = ""
    target_hz: float = 0.0
    machine: str = ""
    started_ticks: int = 0
    work: Work = Work.NONE
    work_steps: int = 0
    work_age_s: float = 0.0
    work_allowed_s: float = math.inf
    work_limit_s: float = math.inf
    work_tid: int = 0
    wrong_outputs: int = 0

    @property
    def process(self) -> tuple[int, int]:
        """What tells the process from others of its machine."""
        return self.pid, self.started_ticks


@dataclass(frozen=True)
class TransitionCall:
    """A transition to ask of a node. number: names this call in answered()."""

    node: str
    transition: Transition
    number: int


@dataclass(frozen=True)
class ParameterCall:
    """Parameters to set on a node, in one call. number: names this call in parameters_answered()."""

    node: str
    values: Mapping[str, Value]
    number: int
