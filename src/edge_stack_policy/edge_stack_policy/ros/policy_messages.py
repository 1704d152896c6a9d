# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of the policy node: a chunk as action_chunk, and how the chunks do as policy_status.

Its unit is one message. Nothing is decided here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from edge_stack_msgs.msg import ActionChunk, PolicyStatus
from numpy.typing import NDArray

from edge_stack_core.ros.stamps import to_duration, to_time
from edge_stack_policy.base import Policy
from edge_stack_policy.chunking.chunk_stream import ChunkStream

LOCAL = "local"
_NS = 1_000_000_000


def chunk_message(
    policy: Policy,
    chunk: NDArray[np.float64],
    *,
    sequence: int,
    start_ns: int,
    captured_ns: int,
    frame_id: str,
) -> ActionChunk:
    """Return a chunk [H, A] as a message. start_ns: of its first action. captured_ns: of its observation."""
    message = ActionChunk(
        policy=policy.name,
        sequence=sequence,
        start=to_time(start_ns),
        step=to_duration(policy.step_s),
        joint_names=list(policy.action_names),
        positions=chunk.ravel().tolist(),
    )
    message.header.stamp = to_time(captured_ns)
    message.header.frame_id = frame_id
    return message


def policy_status(
    policy: Policy, stream: ChunkStream, now_ns: int, *, address: str, problem: str
) -> PolicyStatus:
    """Return how the chunks of one activation do. address: of the policy's server, if any. problem: the last one."""
    timeline, latency, now_s = stream.timeline, stream.latency, now_ns / _NS
    newest = timeline.newest
    status = PolicyStatus(
        policy=policy.name,
        endpoint=getattr(policy, "endpoint", address or LOCAL),
        chunks=timeline.count,
        unavailable=stream.unavailable,
        underruns=timeline.underruns(now_s),
        horizon=len(newest.positions) if newest is not None else 0,
        step_s=policy.step_s,
        merge=stream.merged,
        latency_p50_s=latency.quantile_s(0.5),
        latency_p99_s=latency.quantile_s(0.99),
        latency_expected_s=latency.expected_s,
        inference_delay=latency.steps(policy.step_s),
        action_age_s=timeline.action_age_s(now_s),
        action_age_p99_s=timeline.age_s.quantile(0.99),
        cover_s=timeline.cover_s(now_s),
        seam_position_p50=timeline.seam_position.quantile(0.5),
        seam_position_p99=timeline.seam_position.quantile(0.99),
        seam_position_max=timeline.seam_position.max,
        seam_velocity_p50=timeline.seam_velocity.quantile(0.5),
        seam_velocity_p99=timeline.seam_velocity.quantile(0.99),
        seam_velocity_max=timeline.seam_velocity.max,
        **_network(policy, stream),
        problem=problem,
    )
    status.header.stamp = to_time(now_ns)
    return status


def status_texts(status: PolicyStatus) -> dict[str, str]:
    """Return the essentials as key and value for diagnostics."""
    return {
        "endpoint": status.endpoint,
        "merge": status.merge,
        "latency_expected_ms": f"{status.latency_expected_s * 1e3:.1f}",
        "inference_delay": str(status.inference_delay),
        "action_age_p99_ms": f"{status.action_age_p99_s * 1e3:.0f}",
        "underruns": str(status.underruns),
        "unavailable": str(status.unavailable),
        "seam_position_p99": f"{status.seam_position_p99:.4f}",
        "seam_velocity_p99": f"{status.seam_velocity_p99:.3f}",
    }


def _network(policy: Policy, stream: ChunkStream) -> dict[str, Any]:
    """Return what is known of the best of several endpoints, or of the one server that computes."""
    if hasattr(policy, "status"):
        failover = policy.status()
        best = failover.endpoints[0]
        return {
            "rtt_p50_s": best.rtt_p50_ms * 1e-3,
            "rtt_p99_s": best.rtt_p99_ms * 1e-3,
            "loss": best.loss,
            "endpoint_changes": failover.changes,
            "endpoint_reason": failover.reason,
        }
    rtt_p50_s, rtt_p99_s = stream.round_trip.quantile_s(0.5), stream.round_trip.quantile_s(0.99)
    loss = stream.loss if hasattr(policy, "rtt_s") else math.nan
    return {"rtt_p50_s": rtt_p50_s, "rtt_p99_s": rtt_p99_s, "loss": loss}
