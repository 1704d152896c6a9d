# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A node's figures as messages: what node_status and diagnostics say of them. Who the node is, the node adds itself."""

from __future__ import annotations

from edge_stack_msgs.msg import EventCount, NodeStatus, StageLatency

from edge_stack_core.node_statistics import StatisticsSnapshot
from edge_stack_core.runtime.process import Usage
from edge_stack_core.runtime.progress import WorkState

# Events by which a node says that what it makes is of no use: a result that is not finite or of a wrong shape, and work
# that raises in place of giving one.
WRONG_OUTPUT_EVENTS = ("wrong_output", "work_failed")


def node_status_message(figures: StatisticsSnapshot, usage: Usage, work: WorkState) -> NodeStatus:
    """Return a NodeStatus with the figures filled in."""
    return NodeStatus(
        rate_hz=figures.rate_hz,
        latency_p50_ms=figures.latency.p50_ms,
        latency_p99_ms=figures.latency.p99_ms,
        stages=[StageLatency(name=n, p50_ms=q.p50_ms, p99_ms=q.p99_ms) for n, q in figures.stages.items()],
        processed=figures.processed,
        dropped=figures.dropped,
        deadline_misses=figures.deadline_misses,
        events=[EventCount(topic=t, event=e, count=n) for (t, e), n in sorted(figures.events.items())],
        rss_mb=usage.rss_mb,
        cpu_pct=usage.cpu_pct,
        work=int(work.work),
        work_steps=work.steps,
        work_age_s=work.age_s,
        work_allowed_s=work.allowed_s,
        work_limit_s=work.limit_s,
        work_tid=work.thread_id,
    )


def figure_texts(figures: StatisticsSnapshot) -> dict[str, str]:
    """Return the figures as key and value for diagnostics, events by topic and name."""
    return {
        "rate_hz": f"{figures.rate_hz:.2f}",
        "latency_p50_ms": f"{figures.latency.p50_ms:.1f}",
        "latency_p99_ms": f"{figures.latency.p99_ms:.1f}",
        "processed": str(figures.processed),
        "dropped": str(figures.dropped),
        "deadline_misses": str(figures.deadline_misses),
        **{f"{topic}: {event}": str(n) for (topic, event), n in sorted(figures.events.items())},
    }
