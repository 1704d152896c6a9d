# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A part of the supervisor node: one concern of its own, such as the board or modes, in a file of its own.

A part lives as its node does: made with it, configured with the nodes of the stack, activated, stepped at every tick
while active, deactivated, cleaned up. It acts on nodes only by what it wants of them through node.supervision; it never
waits, and what its step raises is counted and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edge_stack_msgs.msg import NodeStatus, StackState

from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.parameters import Parameter
from edge_stack_supervisor.supervision import NodeSpec, NodeState, StackSupervision


class SupervisingNode(StackNode):
    """
    What parts see of the supervisor node, and what they tell one another by it.

    ceilings: the highest state that the mode wants of each node (full name); empty without modes. memory_available_mb: what
    the board has left, MiB; None while it does not tell. mode: the mode in force; before there is one, that of a former
    supervisor whose nodes are adopted.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Know no nodes."""
        super().__init__(name, **kwargs)
        self.ceilings: dict[str, NodeState] = {}
        self.memory_available_mb: float | None = None
        self.mode = ""
        self._supervision = StackSupervision([])
        self._statuses: dict[str, NodeStatus] = {}

    @property
    def supervision(self) -> StackSupervision:
        """What is known and wanted of the nodes; another one after each configure."""
        return self._supervision

    def status(self, name: str) -> NodeStatus | None:
        """Return the last status of a node (full name); None while it is missing."""
        node = self._supervision.nodes.get(name)
        return None if node is None or node.state is NodeState.MISSING else self._statuses.get(name)


class SupervisorPart:
    """
    Base of all parts; each method may be left as it is.

    PARAMETERS: added to those of the supervisor node, which holds their values (node.params).
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(self, node: SupervisingNode) -> None:
        """
        Remember the node; nothing is configured yet, and its parameters are not declared.

        For a part: node.supervision (want_rate, want_node, want_parameters, view), node.status(name) (the last
        NodeStatus), node.publisher, node.subscription, node.params, node.get_logger().
        """
        self.node = node

    def configure(self, specs: Sequence[NodeSpec]) -> None:
        """Prepare for these nodes; ConfigurationError refuses the configure of the supervisor with its reason."""

    def activate(self) -> None:
        """Begin to act; the stack's startup is requested once all parts are ready."""

    def ready(self, now_s: float) -> bool:
        """Whether the stack may be brought up now, asked at every tick until all parts say so. now_s: monotonic, s."""
        return True

    def deactivate(self) -> None:
        """Act no more; the nodes go on as they are."""

    def cleanup(self) -> None:
        """Free what configure made; also called where it failed."""

    def step(self, now_s: float) -> None:
        """Do what is due, five times a second. now_s: monotonic, s."""

    def show(self, state: StackState) -> None:
        """Add what the part knows to a state of the stack that is about to be published."""

    def problems(self) -> tuple[str, ...]:
        """Return what the node's status is to show while no node of the stack is in trouble; the part logs it itself."""
        return ()

    def parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take live changes; node.params holds them already. ConfigurationError refuses them."""
