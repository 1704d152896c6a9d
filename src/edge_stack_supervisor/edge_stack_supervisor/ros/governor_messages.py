# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of board and governor: node_status in; board_state, governor_state and diagnostics out.

A unit is one message; nothing here keeps state, decides or publishes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from edge_stack_msgs.msg import BoardState as BoardStateMessage
from edge_stack_msgs.msg import GovernorState, NodeAllocation, NodeStatus

from edge_stack_core.board.fields import board_fields
from edge_stack_core.board.types import BoardState
from edge_stack_core.stack_config import NodeConfig
from edge_stack_supervisor.governor import Allocation, NodeDemand

# Stages of a node's work that hold the device.
_INFERENCE = ("preprocess", "inference", "postprocess")


def demand_of(
    node: NodeConfig,
    priority_class: str,
    wanted_hz: float | None,
    status: NodeStatus | None,
    memory_by_pid_mb: Mapping[int, float],
) -> NodeDemand:
    """Return what a governor wants to know of a node. wanted_hz: None for one without a rate, which is left alone."""
    rate_hz = wanted_hz or 0.0
    floor_hz = node.floor_hz
    if floor_hz is None:
        floor_hz = 0.0 if priority_class == "background" else rate_hz
    floor_hz = min(floor_hz, rate_hz)  # somebody may want less of it than the file does
    if status is None:
        return NodeDemand(node.name, priority_class, rate_hz, floor_hz, variants=len(node.variants))
    stages = {stage.name: stage.p50_ms for stage in status.stages if math.isfinite(stage.p50_ms)}
    duration_s = 1e-3 * sum(stages.get(name, 0.0) for name in _INFERENCE)
    return NodeDemand(
        node.name,
        priority_class,
        rate_hz,
        floor_hz,
        status.rate_hz if math.isfinite(status.rate_hz) else 0.0,
        duration_s or None,
        None if _misses_by_itself(status) else status.deadline_misses,
        1e-3 * stages.get("admission", 0.0),
        memory_by_pid_mb.get(status.pid, status.rss_mb),
        len(node.variants),
    )


def _misses_by_itself(status: NodeStatus) -> bool:
    """Whether a node's slowest inferences last longer than its period: it would be late without any others."""
    longest_ms = max((s.p99_ms for s in status.stages if s.name == "inference"), default=0.0)
    return math.isfinite(longest_ms) and 1e-3 * longest_ms * status.target_hz > 1.0


def board_message(state: BoardState, stamp: Time) -> BoardStateMessage:
    """Return a reading as a message; NaN for what the board does not tell."""
    message = BoardStateMessage(**board_fields(state))
    message.header.stamp = stamp
    return message


def board_reading(message: BoardStateMessage, time_s: float) -> BoardState:
    """Return what a message tells of a reading, for who decides by it: heat, power and memory. time_s: monotonic."""
    return BoardState(
        time_s,
        message.source,
        message.board,
        max_temperature_c=_told(message.max_temperature_c),
        throttle_temperature_c=_told(message.throttle_temperature_c),
        throttling=message.throttling,
        total_power_w=_told(message.total_power_w),
        power_budget_w=_told(message.power_budget_w),
        power_limit_w=_told(message.power_limit_w),
        over_current_per_s=_told(message.over_current_per_s),
        power_mode=message.power_mode or None,
        memory_pressure=_told(message.memory_pressure),
        memory_available_mb=_told(message.memory_available_mb),
        lost=tuple(message.lost),
    )


def governor_message(
    allocation: Allocation | None,
    demands: Sequence[NodeDemand],
    pinned: Collection[str],
    full_names: Mapping[str, str],
    rate_changes: int,
    stamp: Time,
) -> GovernorState:
    """Return what was decided; allocation None: there is no governor."""
    message = GovernorState(controller="none", rate_changes=rate_changes)
    message.header.stamp = stamp
    given = allocation or Allocation({})
    if allocation is not None:
        message.controller, message.reason = allocation.controller, allocation.summary
    message.nodes = [
        NodeAllocation(
            name=full_names[demand.name],
            priority_class=demand.priority_class,
            wanted_hz=demand.wanted_hz,
            rate_hz=given.rate_hz.get(demand.name, demand.wanted_hz),
            variant=given.variant.get(demand.name, 0),
            off=demand.name in given.off,
            pinned=demand.name in pinned,
            reason=given.reason.get(demand.name, ""),
        )
        for demand in demands
    ]
    return message


def board_diagnostics(name: str, state: BoardState, hardware_id: str) -> DiagnosticStatus:
    """Return how the board is. name: of the status. hardware_id: what the board is."""
    figures = {
        "source": state.source,
        "board": state.board or "unknown",
        "hottest": _figure(state.max_temperature_c, "C"),
        "throttles at": _figure(state.throttle_temperature_c, "C"),
        "power": _figure(state.total_power_w, "W"),
        "power budget": _figure(state.power_budget_w, "W"),
        "over-current events": _figure(state.over_current_per_s, "1/s"),
        "power mode": state.power_mode or "",
        "cpu load": _figure(state.cpu_load),
        "gpu load": _figure(state.gpu_load),
        "memory available": _figure(state.memory_available_mb, "MiB"),
        "memory pressure": _figure(state.memory_pressure),
    }
    level, text = DiagnosticStatus.OK, "fine"
    if state.throttling:
        level, text = DiagnosticStatus.ERROR, "heat holds the clocks down"
    elif state.lost:
        level, text = DiagnosticStatus.WARN, f"cannot be read: {', '.join(state.lost)}"
    return _status(name, level, text, figures, hardware_id)


def governor_diagnostics(name: str, allocation: Allocation | None, hardware_id: str) -> DiagnosticStatus:
    """Return what the governor holds down, and why. name: of the status. allocation None: there is no governor."""
    if allocation is None:
        return _status(name, DiagnosticStatus.OK, "off", {"controller": "none"}, hardware_id)
    lowered = {n: f"{allocation.rate_hz[n]:g} Hz: {why}" for n, why in allocation.reason.items()}
    level = DiagnosticStatus.WARN if lowered else DiagnosticStatus.OK
    text = allocation.summary or "every node has the rate that it wants"
    return _status(name, level, text, {"controller": allocation.controller, **lowered}, hardware_id)


def _status(
    name: str, level: bytes, text: str, values: Mapping[str, str], hardware_id: str
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=name,
        message=text,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _told(value: float) -> float | None:
    return None if math.isnan(value) else value


def _figure(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.4g} {unit}".strip()
