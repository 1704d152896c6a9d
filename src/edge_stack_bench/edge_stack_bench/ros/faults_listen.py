# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Listens to a stack for the benchmark of faults: messages in, plain values for faults_observe out.

Its unit is one message. ROS is imported when it begins, in the process that runs the stack.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from edge_stack_bench.benchmarks.faults_observe import TASK_REASONS, Account, FaultObservations, trouble
from edge_stack_supervisor.governor.settings import GovernorSettings


def sent_at_s(message: Any) -> float:
    """Return when a message was sent (monotonic, s), not when this process came to read it, as far as its stamp tells."""
    age_s = time.time() - message.header.stamp.sec - message.header.stamp.nanosec * 1e-9
    # What a broken network held back comes seconds later. A clock that has jumped ahead tells nothing.
    return time.monotonic() - max(0.0, age_s)


def observe(monitor: Any, seen: FaultObservations, lock: threading.Lock, governor: GovernorSettings) -> None:
    """
    Feed what arrives at a monitor's node into the observations, with the lock held.

    governor: what the stack's governor goes by, to tell when the board gives it no more reason to lower rates.
    """
    from edge_stack_msgs.msg import BoardState, FusionStatus, NodeStatus, StackState
    from sensor_msgs.msg import JointState

    from edge_stack_bench.ros.stranger import STRANGER
    from edge_stack_core.ros import qos
    from edge_stack_supervisor.ros.governor_messages import board_reading

    states = {
        FusionStatus.RUN: "run",
        FusionStatus.SLOW: "slow",
        FusionStatus.HOLD: "hold",
        FusionStatus.STOP: "stop",
    }

    def command(message: JointState) -> None:
        if message.header.frame_id.startswith(STRANGER):
            return  # a fault's own
        sent_s = sent_at_s(message)
        with lock:
            seen.command(sent_s, message.position)

    def joints(message: JointState) -> None:
        if message.header.frame_id.startswith(STRANGER):
            return
        sent_s = sent_at_s(message)
        with lock:
            seen.joints(sent_s, message.position)

    def control(message: FusionStatus) -> None:
        sent_s = sent_at_s(message)
        reason = "ok" if message.reason in TASK_REASONS else message.reason
        account = Account(sent_s, message.commander, message.commands, message.max_gap_ms * 1e-3)
        with lock:
            seen.control(sent_s, states[message.state], reason, account)

    def stack(message: StackState) -> None:
        troubles = {
            node.name.rsplit("/", 1)[-1]: text
            for node in message.nodes
            if (text := trouble(node.fault, node.message, node.reason, node.state, node.wanted))
        }
        with lock:
            seen.stack(time.monotonic(), message.state == StackState.ACTIVE, troubles)

    def status(message: NodeStatus) -> None:
        counts = {f"{e.topic}: {e.event}": e.count for e in message.events}
        counts["work: deadline_missed"] = message.deadline_misses
        with lock:
            seen.events(time.monotonic(), message.name.rsplit("/", 1)[-1], counts)

    def board(message: BoardState) -> None:
        reading = board_reading(message, time.monotonic())
        with lock:
            seen.board(sent_at_s(message), governor.strained(reading))

    node = monitor.node
    # Deep queues: this process may come late to read, which is not the stack's doing.
    every_command = qos.command(0.0, offered=False)
    every_command.depth = 200
    node.create_subscription(JointState, "joint_command", command, every_command)
    node.create_subscription(JointState, "joint_states", joints, qos.sensor(offered=False))
    node.create_subscription(FusionStatus, "fusion_status", control, qos.status())
    node.create_subscription(StackState, "stack_state", stack, qos.state())
    node.create_subscription(NodeStatus, "node_status", status, qos.status())
    node.create_subscription(BoardState, "board_state", board, qos.state())
