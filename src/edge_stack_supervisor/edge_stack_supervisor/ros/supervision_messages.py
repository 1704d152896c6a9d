# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of the supervisor: node_status in; stack_state and diagnostics out.

A unit is one message; nothing here keeps state, decides or publishes.
"""

from __future__ import annotations

from collections.abc import Iterable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from edge_stack_msgs.msg import NodeStatus, StackState, SupervisedNode

from edge_stack_core.ros.stamps import to_nanoseconds, to_time
from edge_stack_core.ros.status_messages import WRONG_OUTPUT_EVENTS
from edge_stack_core.runtime.progress import Work
from edge_stack_supervisor.supervision import NodeFault, NodeState, NodeView, Report, StackPhase


def short_name(name: str) -> str:
    """Return a node's name without its namespace."""
    return name.rsplit("/", 1)[-1]


def report_of(status: NodeStatus) -> Report:
    """Take what supervision needs from a node's status; an unknown state counts as missing."""
    try:
        state = NodeState(status.state_id)
    except ValueError:
        state = NodeState.MISSING
    try:
        work = Work(status.work)
    except ValueError:
        work = Work.NONE
    return Report(
        status.pid,
        state,
        status.message,
        status.target_hz,
        status.machine,
        status.started_ticks,
        work,
        status.work_steps,
        status.work_age_s,
        status.work_allowed_s,
        status.work_limit_s,
        status.work_tid,
        sum(event.count for event in status.events if event.event in WRONG_OUTPUT_EVENTS),
    )


def stack_state_message(
    phase: StackPhase, views: Iterable[NodeView], stamp: Time, mode: str = ""
) -> StackState:
    """Return the state of the stack at a time."""
    message = StackState(state=int(phase), mode=mode)
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
            reason=view.reason,
            fault=view.fault.value,
            fault_stamp=_fault_stamp(view, stamp),
        )
        for view in views
    ]
    return message


def node_diagnostics(name: str, view: NodeView, hardware_id: str) -> DiagnosticStatus:
    """Return how a supervised node is. name: of the status."""
    values = {
        "state": view.state.label,
        "wanted": _wanted(view),
        "class": view.priority_class,
        "pid": str(view.pid),
        "target_hz": f"{view.target_hz:.2f}" if view.target_hz >= 0.0 else "",
        "reason": view.reason,
        "fault": view.fault.value,
        "recoveries": str(view.recoveries),
        "last_recovery_s": f"{view.last_recovery_s:.3f}",
    }
    return DiagnosticStatus(
        level=bytes([view.health]),
        name=name,
        message=view.message or view.state.label,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _fault_stamp(view: NodeView, now: Time) -> Time:
    if view.fault is NodeFault.NONE:
        return Time()
    return to_time(max(to_nanoseconds(now) - int(view.fault_age_s * 1e9), 0))


def _wanted(view: NodeView) -> str:
    return "" if view.wanted is None else view.wanted.label
