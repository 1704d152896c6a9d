# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The whole stack under supervision: nodes in stages, brought up in order, taken down in reverse, and kept up.

A unit of work is step(): what to send now. Nodes of one stage move together; a node that was up once comes
back without regard to the others. A node that failed, gave no sign in time or was given up holds nobody back.
Nothing here sends anything or knows ROS.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edge_stack_supervisor.supervision.explain import explain
from edge_stack_supervisor.supervision.lifecycle import VERBS, NodeState, Step, Verb
from edge_stack_supervisor.supervision.managed_node import ManagedNode
from edge_stack_supervisor.supervision.types import (
    NodeFault,
    NodeSpec,
    ParameterCall,
    Report,
    SupervisionLimits,
    TransitionCall,
    Value,
)


class StackPhase(enum.IntEnum):
    """State of the stack, by the constants of edge_stack_msgs/StackState."""

    DOWN = 0
    STARTING = 1
    ACTIVE = 2
    DEGRADED = 3
    STOPPING = 4


class Health(enum.IntEnum):
    """How a node is, by the levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class NodeView:
    """One node as readers of the stack's state see it, and its health (edge_stack_msgs/SupervisedNode)."""

    name: str
    priority_class: str
    state: NodeState
    wanted: NodeState | None
    pid: int
    target_hz: float
    recoveries: int
    last_recovery_s: float
    message: str
    reason: str
    fault: NodeFault
    fault_age_s: float
    health: Health


def _always(_name: str) -> bool:
    return True


class StackSupervision:
    """All nodes under supervision."""

    def __init__(self, specs: Iterable[NodeSpec], limits: SupervisionLimits | None = None) -> None:
        """Leave all nodes as they are until a verb is requested."""
        self.limits = limits or SupervisionLimits()
        self.nodes = {
            spec.name: ManagedNode(spec, self.limits) for spec in sorted(specs, key=lambda s: s.stage)
        }
        self._goal: NodeState | None = None
        self._goal_since_s = -math.inf
        self._stepped_s: float | None = None

    # ---- what is wanted --------------------------------------------------------------------------

    def request(self, verb: Verb, now_s: float) -> str:
        """Take a verb; return why it is refused, or an empty string."""
        goal = VERBS.get((verb, self._goal))
        if goal is None:
            present = "left as it is" if self._goal is None else f"wanted {self._goal.label}"
            return f"{verb.label} is for a stack that is up or paused; this one is {present}"
        self._goal = goal
        self._goal_since_s = now_s
        for node in self.nodes.values():
            node.want(goal)
        return ""

    def want_node(self, name: str, state: NodeState, reason: str = "") -> bool:
        """
        Want at most this state of one node: ACTIVE (as the stack), INACTIVE, or UNCONFIGURED to free its memory.

        It holds, also for the node's next processes, until it is wanted otherwise; a pause or reset of the stack takes
        the node down all the same, and what somebody has set by hand is left. reason: shown with the node. Returns
        whether there is such a node.
        """
        if state not in (NodeState.ACTIVE, NodeState.INACTIVE, NodeState.UNCONFIGURED):
            raise ValueError(f"{state.label}: a node can be wanted active, inactive or unconfigured")
        if name not in self.nodes:
            return False
        self.nodes[name].reasons["state"] = reason
        self.nodes[name].want_own(state)
        return True

    def want_rate(self, name: str, rate_hz: float, reason: str = "") -> bool:
        """
        Want a rate of a node, Hz, in place of one that was set by hand.

        reason: shown with the node. Returns whether there is such a node.
        """
        if name not in self.nodes:
            return False
        self.nodes[name].reasons["rate"] = reason
        self.nodes[name].want_rate(rate_hz)
        return True

    def limit_rate(self, name: str, rate_hz: float, reason: str = "") -> bool:
        """
        Let a node run at this rate, Hz, which is no more than what is wanted of it, by hand or else.

        reason: shown with the node. Returns whether there is such a node.
        """
        if name not in self.nodes:
            return False
        self.nodes[name].reasons["rate"] = reason
        self.nodes[name].limit_rate(rate_hz)
        return True

    def rate_was_set(self, name: str, rate_hz: float, now_s: float) -> bool:
        """Take that the rate of a node was set on it; return whether by somebody else than this supervision."""
        return name in self.nodes and self.nodes[name].rate_was_set(rate_hz, now_s)

    def want_parameters(self, name: str, values: Mapping[str, Value], *, reconfigure: bool = False) -> bool:
        """
        Want values of parameters of a node; they are set on each of its next processes too.

        reconfigure: for parameters that take effect at configure: the node is cleaned up, set and brought up again. What
        the node refuses is shown with it. Returns whether there is such a node.
        """
        if name not in self.nodes:
            return False
        self.nodes[name].settings.want(values, reconfigure)
        return True

    def adopt(self, goal: NodeState, now_s: float) -> None:
        """Want what a former supervisor wanted of the whole stack."""
        self._goal = goal
        self._goal_since_s = now_s
        for node in self.nodes.values():
            node.want(goal)

    def release(self, names: Iterable[str]) -> str:
        """Take nodes back at once that are parked, given up or set by hand; return what is wrong with the names."""
        chosen = list(names) or list(self.nodes)
        unknown = sorted(set(chosen) - set(self.nodes))
        if unknown:
            return f"no node is called {', '.join(unknown)}; there are {', '.join(self.nodes)}"
        for name in chosen:
            self.nodes[name].release()
        return ""

    # ---- what happens ----------------------------------------------------------------------------

    def observe(self, name: str, report: Report, now_s: float) -> None:
        """Take a report; one of a node that is not supervised is ignored."""
        if name in self.nodes:
            self.nodes[name].observe(report, now_s)

    def answered(self, call: TransitionCall, success: bool, now_s: float) -> None:
        """Take the answer to a transition call."""
        self.nodes[call.node].answered(call.number, success, now_s)

    def parameters_answered(self, call: ParameterCall, refusals: Mapping[str, str]) -> None:
        """Take the answer to a parameter call. refusals: the node's reasons, by parameter."""
        self.nodes[call.node].parameters_answered(call.number, refusals)

    def step(
        self, now_s: float, reachable: Callable[[str], bool] = _always
    ) -> list[TransitionCall | ParameterCall]:
        """
        Return the calls to make now. Wants to be called a few times within the heartbeat time-out.

        reachable: whether the services of a node are there; a node that is not reachable is asked at a later
        step.
        """
        calls: list[TransitionCall | ParameterCall] = []
        held_up_s = 0.0 if self._stepped_s is None else now_s - self._stepped_s
        self._stepped_s = now_s
        for node in self.nodes.values():
            if held_up_s > 0.5 * self.limits.heartbeat_timeout_s:
                node.excuse(held_up_s)  # reports may be waiting behind this very step
            node.tick(now_s)
        for name, node in self.nodes.items():
            parameters_due = node.parameters_due()
            call_due = node.call_due(now_s) and not self.waits_for(node, now_s)
            if (parameters_due or call_due) and reachable(name):
                if parameters_due:  # first, so that a configure finds them set
                    calls.append(node.parameter_call(now_s))
                if call_due:
                    calls.append(node.call(now_s))
        return calls

    def waits_for(self, node: ManagedNode, now_s: float) -> list[str]:
        """Return the names of the nodes that this one must let go first."""
        if self._goal is None or (self._goal is NodeState.ACTIVE and node.was_up):
            return []
        upwards = self._goal is NodeState.ACTIVE
        return [
            other.spec.name
            for other in self.nodes.values()
            if (other.spec.stage < node.spec.stage if upwards else other.spec.stage > node.spec.stage)
            and self._holds_back(other, now_s)
        ]

    # ---- what to show ----------------------------------------------------------------------------

    @property
    def goal(self) -> NodeState | None:
        """The state that is wanted of every node; None while the stack is left as it is."""
        return self._goal

    @property
    def settled(self) -> bool:
        """Whether every node is where it is wanted or was given up."""
        return all(node.settled for node in self.nodes.values())

    @property
    def phase(self) -> StackPhase:
        """State of the stack."""
        if self._goal is None:
            return StackPhase.DOWN
        done = all(node.in_place for node in self.nodes.values())
        if self._goal is not NodeState.ACTIVE:
            return StackPhase.DOWN if done else StackPhase.STOPPING
        if done:
            return StackPhase.ACTIVE
        troubled = any(node.troubled for node in self.nodes.values())
        return StackPhase.DEGRADED if troubled else StackPhase.STARTING

    def view(self, now_s: float) -> list[NodeView]:
        """Return every node as it is now, in order of stages."""
        return [self._view(node, now_s) for node in self.nodes.values()]

    def unsettled(self, now_s: float) -> str:
        """Say which nodes are not where they are wanted, and why; empty if all are."""
        return "; ".join(
            f"{view.name} is {view.state.label}" + (f" ({view.message})" if view.message else "")
            for node, view in zip(self.nodes.values(), self.view(now_s), strict=True)
            if not node.in_place
        )

    # ---- inside ----------------------------------------------------------------------------------

    def _holds_back(self, other: ManagedNode, now_s: float) -> bool:
        """Whether others wait for this node: on its first way to where it is wanted, and making progress."""
        if other.settled or other.troubled or other.was_up:
            return False
        return (
            other.state is not NodeState.MISSING or now_s - self._goal_since_s < self.limits.stage_timeout_s
        )

    def _view(self, node: ManagedNode, now_s: float) -> NodeView:
        message = explain(node, now_s, now_s - self._goal_since_s)
        if not message and node.step().transition is not None:
            waits_for = self.waits_for(node, now_s)
            if waits_for:
                message = f"waits for {', '.join(waits_for)}"
        return NodeView(
            name=node.spec.name,
            priority_class=node.spec.priority_class,
            state=node.state,
            wanted=node.wanted,
            pid=0 if node.state is NodeState.MISSING else node.pid,
            target_hz=-1.0 if node.rate_hz is None else node.rate_hz,
            recoveries=node.recoveries,
            last_recovery_s=node.last_recovery_s,
            message=message,
            reason="; ".join(
                dict.fromkeys(reason for reason in (*node.reasons.values(), _by_hand(node)) if reason)
            ),
            fault=node.fault,
            fault_age_s=now_s - node.fault_s,
            health=_health(node, message),
        )


def _by_hand(node: ManagedNode) -> str:
    return "" if node.rate_by_hand is None else f"{node.rate_by_hand:g} Hz was set by hand"


def _health(node: ManagedNode, message: str) -> Health:
    step = node.step()
    if node.in_place:
        return Health.WARN if message else Health.OK
    if node.given_up or node.parked or step is Step.GIVE_UP:
        return Health.ERROR
    if node.state is NodeState.MISSING:
        return Health.STALE
    return Health.ERROR if node.troubled and node.spec.priority_class != "background" else Health.WARN
