# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Supervision: brings the nodes of a stack up in stages, keeps them up, and takes them down; logic without ROS.

StackSupervision decides, from reports and answers, which calls to make; the supervisor node makes them.
"""

from edge_stack_supervisor.supervision.lifecycle import NodeState, Step, Transition, Verb, next_step
from edge_stack_supervisor.supervision.managed_node import ManagedNode
from edge_stack_supervisor.supervision.process_watch import ProcessWatch
from edge_stack_supervisor.supervision.stack import Health, NodeView, StackPhase, StackSupervision
from edge_stack_supervisor.supervision.state_store import StateStore
from edge_stack_supervisor.supervision.types import (
    NodeFault,
    NodeSpec,
    ParameterCall,
    Report,
    SupervisionLimits,
    TransitionCall,
    Value,
)

__all__ = [
    "NodeFault",
    "Health",
    "SupervisionLimits",
    "ManagedNode",
    "StateStore",
    "NodeSpec",
    "NodeView",
    "ParameterCall",
    "ProcessWatch",
    "Report",
    "StackPhase",
    "StackSupervision",
    "NodeState",
    "Step",
    "Transition",
    "TransitionCall",
    "Value",
    "Verb",
    "next_step",
]
