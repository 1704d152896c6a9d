# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A world for tests of supervision: simulated nodes with heartbeats, slow and failing transitions, lost calls
and deaths.

A unit of work is one tick of 50 ms of simulated time. It mimics what ros/base.py does over DDS, without
ROS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_stack_supervisor.supervision import (
    NodeSpec,
    NodeState,
    ParameterCall,
    Report,
    StackSupervision,
    SupervisionLimits,
    Transition,
    TransitionCall,
)

TICK_S = 0.05
HEARTBEAT_TICKS = 4
LIMITS = SupervisionLimits(
    heartbeat_timeout_s=1.0,
    transition_timeout_s=10.0,
    answer_timeout_s=0.5,
    retry_s=0.5,
    retry_max_s=4.0,
    max_attempts=4,
    stage_timeout_s=3.0,
)


@dataclass
class SimulatedNode:
    """One node: its process, its lifecycle, and what goes wrong with it next."""

    spec: NodeSpec
    pid: int = 0  # 0: no process
    state: NodeState = NodeState.UNCONFIGURED
    message: str = ""
    target_hz: float = 1.0
    parameters: dict[str, Any] = field(default_factory=dict)
    respawn_ticks: int = 10
    configure_ticks: int = 4
    failures: dict[Transition, int] = field(
        default_factory=dict
    )  # how many of the next ones fail; negative: all
    errors: bool = False  # failures end in unconfigured instead of the origin
    lose_calls: int = 0
    busy: tuple[TransitionCall, int] | None = None
    inbox: list[TransitionCall | ParameterCall] = field(default_factory=list)
    back_in: int = 0


class World:
    """All simulated nodes, their supervisor, and the clock."""

    def __init__(self, specs: list[NodeSpec], limits: SupervisionLimits = LIMITS) -> None:
        """Start all processes."""
        self.limits = limits
        self.specs = specs
        self.now_s = 1000.0
        self.ticks = 0
        self.nodes = {spec.name: SimulatedNode(spec) for spec in specs}
        self.supervision = StackSupervision(specs, limits)
        self.begun: list[tuple[str, Transition]] = []  # transitions that nodes have begun, in order
        self._next_pid = 1
        for node in self.nodes.values():
            self._spawn(node)

    def kill(self, name: str) -> None:
        """End the process of a node at once; it is started again after its respawn_ticks."""
        node = self.nodes[name]
        if node.pid:
            node.pid = 0
            node.busy = None
            node.inbox.clear()
            node.back_in = node.respawn_ticks

    def restart_supervisor(self) -> None:
        """Replace the supervisor by a new one that knows nothing."""
        self.supervision = StackSupervision(self.specs, self.limits)

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        for _ in range(round(duration_s / TICK_S)):
            self.tick()

    def tick(self) -> None:
        """Let one tick pass."""
        self.ticks += 1
        self.now_s += TICK_S
        for index, node in enumerate(self.nodes.values()):
            self._live(node)
            if node.pid and node.busy is None and (self.ticks + index) % HEARTBEAT_TICKS == 0:
                self._report(node)
        for call in self.supervision.step(self.now_s):
            node = self.nodes[call.node]
            if node.pid and node.lose_calls > 0:
                node.lose_calls -= 1
            elif node.pid:
                node.inbox.append(call)

    def by_hand(self, name: str, transition: Transition) -> None:
        """Let a user ask a node for a transition, which succeeds at once if the node rests in its origin."""
        node = self.nodes[name]
        if node.pid and node.busy is None and node.state is transition.origin:
            node.state = transition.result
            self._report(node)

    # ---- inside ----------------------------------------------------------------------------------

    def _spawn(self, node: SimulatedNode) -> None:
        node.pid = self._next_pid
        self._next_pid += 1
        node.state = NodeState.UNCONFIGURED
        node.message = ""
        node.target_hz = 1.0
        node.parameters.clear()
        self._report(node)

    def _report(self, node: SimulatedNode) -> None:
        report = Report(node.pid, node.state, node.message, node.target_hz)
        self.supervision.observe(node.spec.name, report, self.now_s)

    def _live(self, node: SimulatedNode) -> None:
        if not node.pid:
            node.back_in -= 1
            if node.back_in <= 0:
                self._spawn(node)
            return
        if node.busy is not None:
            call, left = node.busy
            node.busy = (call, left - 1)
            if left <= 1:
                self._end(node, call)
        elif node.inbox:
            self._begin(node, node.inbox.pop(0))

    def _begin(self, node: SimulatedNode, call: TransitionCall | ParameterCall) -> None:
        if isinstance(call, ParameterCall):
            self._set(node, call)
        elif node.state is not call.transition.origin:
            self._report(node)
            self.supervision.answered(call, False, self.now_s)
        else:
            self.begun.append((node.spec.name, call.transition))
            node.state = call.transition.through
            self._report(node)
            node.busy = (call, node.configure_ticks if call.transition is Transition.CONFIGURE else 1)

    def _set(self, node: SimulatedNode, call: ParameterCall) -> None:
        """Take values as ros/base.py does: "size" takes effect at configure, "bad" is refused always."""
        refusals = {}
        for name, value in call.values.items():
            if name == "bad" or (name == "size" and node.state is not NodeState.UNCONFIGURED):
                refusals[name] = "no"
            else:
                node.parameters[name] = value
        node.target_hz = float(node.parameters.get("rate_hz", node.target_hz))
        self.supervision.parameters_answered(call, refusals)

    def _end(self, node: SimulatedNode, call: TransitionCall) -> None:
        node.busy = None
        left = node.failures.get(call.transition, 0)
        if left:
            node.failures[call.transition] = left - 1
            node.state = NodeState.UNCONFIGURED if node.errors else call.transition.origin
            node.message = f"{call.transition.label} failed: told to"
        else:
            node.state = call.transition.result
            node.message = ""
        self._report(node)
        self.supervision.answered(call, not left, self.now_s)
