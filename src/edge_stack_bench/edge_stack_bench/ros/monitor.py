# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Listens to every status of a running stack and keeps a RunRecord of it; it needs nobody's help.

A unit is one status message. It spins in a thread and a context of its own, so that what shows it may take its time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import rclpy
from edge_stack_msgs.msg import FusionStatus, NodeStatus, PolicyStatus, StackState, TaskStatus
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from edge_stack_bench.views.report import PolicyRecord, RunRecord
from edge_stack_core.ros import qos
from edge_stack_core.ros.stamps import to_seconds
from edge_stack_supervisor.ros.supervision_messages import short_name

_ANSWER_S = 2.0  # after this a question is asked again
_LATE_S = 1.0  # a status comes sooner than that after the newest command in it
_CONTROL_STATES = {
    FusionStatus.RUN: "run",
    FusionStatus.SLOW: "slow",
    FusionStatus.HOLD: "hold",
    FusionStatus.STOP: "stop",
}
_STACK_STATES = {
    StackState.DOWN: "down",
    StackState.STARTING: "starting",
    StackState.ACTIVE: "active",
    StackState.DEGRADED: "degraded",
    StackState.STOPPING: "stopping",
}


class Monitor:
    """
    Keeps a RunRecord of the stack in one namespace.

    lock: hold it while reading record. node: for further subscriptions, whose callbacks run in this monitor's thread.
    """

    def __init__(self, record: RunRecord, namespace: str = "") -> None:
        """Join the domain and listen."""
        self.record = record
        self.namespace = namespace
        self.lock = threading.Lock()
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node("edge_monitor", context=self.context, namespace=namespace or None)
        self.node.create_subscription(NodeStatus, "node_status", self._take_node, qos.status())
        self.node.create_subscription(FusionStatus, "fusion_status", self._take_control, qos.status())
        self.node.create_subscription(StackState, "stack_state", self._take_stack, qos.state())
        self.node.create_subscription(PolicyStatus, "policy_status", self._take_policy, qos.state())
        self.node.create_subscription(TaskStatus, "task_status", self._take_task, qos.state())
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and leave the domain."""
        self._stop.set()
        self._thread.join(5.0)
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def set_parameters(self, name: str, values: Mapping[str, Any]) -> None:
        """Set parameters of a node of this namespace; as call. RuntimeError also if it refuses: with its reason."""
        request = SetParameters.Request(
            parameters=[Parameter(key, value=value).to_parameter_msg() for key, value in values.items()]
        )
        answer = self.call(SetParameters, f"{name}/set_parameters", request)
        refusals = [result.reason for result in answer.results if not result.successful]
        if refusals:
            raise RuntimeError(f"{name}: {'; '.join(refusals)}")

    def call(self, kind: type, service: str, request: Any, timeout_s: float = 15.0) -> Any:
        """
        Call a service of this namespace, from another thread than the monitor's; return the answer.

        A node that is being replaced is asked again when it is back. RuntimeError if it does not answer in time.
        """
        client = self.node.create_client(kind, service)
        try:
            until_s = time.monotonic() + timeout_s
            while time.monotonic() < until_s:
                if not client.service_is_ready():
                    time.sleep(0.02)
                    continue
                answered = threading.Event()
                future = client.call_async(request)
                future.add_done_callback(lambda _, answered=answered: answered.set())
                if answered.wait(_ANSWER_S):
                    return future.result()
            raise RuntimeError(f"{service} does not answer")
        finally:
            self.node.destroy_client(client)

    def _spin(self) -> None:
        while not self._stop.is_set():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except Exception as error:  # noqa: BLE001 (what a stranger publishes must not end the view of the rest)
                self.node.get_logger().error(f"{type(error).__name__}: {error}")

    def _take_node(self, status: NodeStatus) -> None:
        with self.lock:
            self.record.node(short_name(status.name)).take(
                time.monotonic(),
                pid=status.pid,
                state=status.state,
                processed=status.processed,
                dropped=status.dropped,
                deadline_misses=status.deadline_misses,
                priority_class=status.priority_class,
                message=status.message,
                target_hz=status.target_hz,
                rate_hz=status.rate_hz,
                latency_p50_ms=status.latency_p50_ms,
                latency_p99_ms=status.latency_p99_ms,
                stages={s.name: (s.p50_ms, s.p99_ms) for s in status.stages},
                rss_mb=status.rss_mb,
                cpu_pct=status.cpu_pct,
                events={f"{e.topic}: {e.event}": e.count for e in status.events},
            )

    def _take_control(self, status: FusionStatus) -> None:
        arrival_s = time.monotonic()
        stamp_s = to_seconds(status.header.stamp)
        age_s = self.node.get_clock().now().nanoseconds * 1e-9 - stamp_s
        if not 0.0 <= age_s <= _LATE_S:
            age_s = 0.0  # a simulated clock, or one that was set
        command_s = arrival_s - age_s
        with self.lock:
            if status.commands > 0 and self.record.first_command_s is None:
                periods = (status.commands - 1) / max(status.rate_hz, 1.0) if status.commands > 1 else 0.0
                self.record.first_command_s = command_s - periods
            self.record.control.take(
                command_s,
                {name: getattr(status, name) for name in self.record.control.COUNTS},
                {
                    "p50": status.lateness_p50_ms,
                    "p99": status.lateness_p99_ms,
                    "p999": status.lateness_p999_ms,
                    "max": status.lateness_max_ms,
                },
                commander=status.commander,
                state=_CONTROL_STATES.get(status.state, str(status.state)),
                reason=status.reason,
                detail=status.detail,
                speed_scale=status.speed_scale,
                action_age_s=status.action_age_s,
                queue_s=status.queue_s,
                max_gap_ms=max(status.max_gap_ms, self.record.control.max_gap_ms),
            )

    def _take_policy(self, status: PolicyStatus) -> None:
        shown = {field.name: getattr(status, field.name) for field in fields(PolicyRecord)}
        with self.lock:
            self.record.policy = PolicyRecord(**shown)

    def _take_stack(self, state: StackState) -> None:
        with self.lock:
            self.record.stack_state = _STACK_STATES.get(state.state, str(state.state))
            for node in state.nodes:
                if node.message:
                    self.record.node(short_name(node.name)).message = node.message

    def _take_task(self, status: TaskStatus) -> None:
        with self.lock:
            self.record.task.take(status.instruction, status.attempts, status.successes)
