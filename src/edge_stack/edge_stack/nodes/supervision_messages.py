# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of the supervisor: node_status in; stack_state and diagnostics out.

A unit is one message; nothing here keeps state, decides or publishes.
"""

from __future__ import annotations

from collections.abc import Iterable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from edge_stack_msgs.msg import NodeStatus, StackState, SupervisedNode

from edge_stack.supervision import NodeView, Report, StackPhase, State


def short_name(name: str) -> str:
    """Return a node's name without its namespace."""
    return name.rsplit("/", 1)[-1]


def report_of(status: NodeStatus) -> Report:
    """Take what supervision needs from a node's status; an unknown state counts as missing."""
    try:
        state = State(status.state_id)
    except ValueError:
        state = State.MISSING
    return Report(status.pid, state, status.message, status.target_hz)


def stack_state_message(phase: StackPhase, views: Iterable[NodeView], stamp: Time) -> StackState:
    """Return the state of the stack at a time."""
    message = StackState(state=int(phase))
    message.header.stamp = stamp
    message.nodes = [
        SupervisedNode(
            name=view.name,
            priority_class=view.priority_class,
            state=view.state.label,
            wanted=_wanted(view),
            pid=view.pid,
            target_hz=view.target_hz,
            recoveries=view.recoveries,
            last_recovery_s=view.last_recovery_s,
            message=view.message,
        )
        for view in views
    ]
    return message


def diagnostics_message(supervisor: str, views: Iterable[NodeView], stamp: Time) -> DiagnosticArray:
    """Return one diagnostic status for each supervised node, named "<supervisor>: <node>"."""
    message = DiagnosticArray()
    message.header.stamp = stamp
    for view in views:
        values = {
            "state": view.state.label,
            "wanted": _wanted(view),
            "class": view.priority_class,
            "pid": str(view.pid),
            "recoveries": str(view.recoveries),
            "last_recovery_s": f"{view.last_recovery_s:.3f}",
        }
        message.status.append(
            DiagnosticStatus(
                level=bytes([view.health]),
                name=f"{supervisor.lstrip('/')}: {short_name(view.name)}",
                message=view.message or view.state.label,
                hardware_id="edge_stack",
                values=[KeyValue(key=key, value=value) for key, value in values.items()],
            )
        )
    return message


def _wanted(view: NodeView) -> str:
    return "" if view.wanted is None else view.wanted.label
