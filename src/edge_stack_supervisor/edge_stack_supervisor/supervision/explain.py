# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What is being done about a node, or why nothing is, in words; one node at one moment is the unit."""

from __future__ import annotations

import math

from edge_stack_supervisor.supervision.lifecycle import NodeState, Step
from edge_stack_supervisor.supervision.managed_node import ManagedNode
from edge_stack_supervisor.supervision.types import NodeFault

# A node of which there is no sign for so long is not only slow to start.
NOT_FOUND_S = 10.0
NOT_FOUND = (
    "not found: its process does not run, or is in another ROS_DOMAIN_ID or discovery range, or more than 120 participants"
    " share the domain on this machine"
)


def explain(node: ManagedNode, now_s: float, waited_s: float = 0.0) -> str:
    """
    Say what is being done about the node, or why nothing is; empty if nothing is wrong.

    waited_s: since when the node is wanted.
    """
    parts = []
    if now_s - node.twin_seen_s <= 2.0 * node.limits.heartbeat_timeout_s:
        parts.append(f"two processes run under this name (pids {node.former_pid} and {node.pid}): end one")
    if node.fault_text and (node.fault is not NodeFault.DIED or node.state is NodeState.MISSING):
        parts.append(node.fault_text)
    parts.append(_present(node, now_s, waited_s))
    if node.by_hand is not None:
        parts.append(f"{node.by_hand.label} was set by hand; startup, resume or release takes the node back")
    parts += [f"{name} refused: {reason}" for name, reason in node.settings.refusals.items()]
    return "; ".join(part for part in parts if part)


def _present(node: ManagedNode, now_s: float, waited_s: float) -> str:
    step, attempts = node.step(), node.attempts
    parked_s = node.crash_loop.left_s(now_s)
    if parked_s:
        return f"parked: {node.crash_loop.reason}; next try in {parked_s:.0f} s, or at release"
    if node.state is NodeState.MISSING:
        if step is not Step.WAIT:
            return ""
        silence_s = now_s - node.seen_s
        if math.isinf(silence_s) and waited_s > NOT_FOUND_S:
            return NOT_FOUND
        return "no sign of it yet" if math.isinf(silence_s) else f"silent for {silence_s:.1f} s, waiting"
    if step is Step.GIVE_UP:
        return "finalized: only a new process can be brought up again"
    if attempts.given_up:
        return f"given up after {attempts.count} attempts: {failure(node)}"
    if attempts.failing is not None and step is not Step.DONE:
        wait_s = attempts.not_before_s - now_s
        when = f"next attempt in {wait_s:.1f} s" if wait_s > 0.0 else "trying again"
        return f"{failure(node)} (attempt {attempts.count}, {when})"
    if node.unanswered and step.transition is not None:
        return f"{step.transition.label}: no answer to {node.unanswered} calls, asking again"
    if node.node_message:
        return node.node_message
    if node.lost_since_s is not None:
        return f"lost {now_s - node.lost_since_s:.1f} s ago, coming back"
    return "slow: it gets little processor time, or its work takes long" if node.vitals.slow else ""


def failure(node: ManagedNode) -> str:
    """Say why the last transition failed."""
    failing = node.attempts.failing
    label = "the transition" if failing is None else failing.label
    return node.attempts.reason or node.node_message or f"{label} failed, and the node gives no reason"
