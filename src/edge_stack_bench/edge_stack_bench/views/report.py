# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What one run of the stack did, as figures: kept up to date from statuses while it runs, and written as JSON at the end.

A unit is one status message, given as plain values. Nothing here knows ROS, and nothing is estimated: rates come from
counts over the time between the statuses that carried them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class NodeRecord:
    """One node over the whole run, across restarts of its process. Times: monotonic s."""

    name: str
    priority_class: str = ""
    state: str = "missing"
    message: str = ""
    pid: int = 0
    target_hz: float = 0.0
    rate_hz: float = 0.0
    latency_p50_ms: float = math.nan
    latency_p99_ms: float = math.nan
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    dropped: int = 0
    deadline_misses: int = 0
    rss_mb: float = 0.0
    cpu_pct: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    recoveries_s: list[float] = field(default_factory=list)

    _active_s: float = 0.0
    _done: int = 0
    _last_s: float | None = None
    _last_processed: int = 0
    _last_dropped: int = 0
    _last_misses: int = 0
    _lost_s: float | None = None

    def take(
        self,
        now_s: float,
        *,
        pid: int,
        state: str,
        processed: int,
        dropped: int,
        deadline_misses: int,
        **shown: Any,
    ) -> None:
        """
        Take one status.

        processed, dropped, deadline_misses: the node's counts since its activation; shown: other fields, as they are.
        """
        restarted = self.pid not in (0, pid)
        if restarted:
            self.restarts += 1
            if self._lost_s is None:
                self._lost_s = now_s
        # Counts start anew at each activation, so a smaller one is a new beginning.
        anew = restarted or processed < self._last_processed
        active = state == "active" and self.state == "active" and not anew
        if active and self._last_s is not None:
            self._active_s += now_s - self._last_s
            self._done += processed - self._last_processed
        self.dropped += dropped if anew or dropped < self._last_dropped else dropped - self._last_dropped
        misses_anew = anew or deadline_misses < self._last_misses
        self.deadline_misses += deadline_misses if misses_anew else deadline_misses - self._last_misses
        self._last_s, self._last_processed = now_s, processed
        self._last_dropped, self._last_misses = dropped, deadline_misses
        self.pid, self.state = pid, state
        for name, value in shown.items():
            setattr(self, name, value)
        if state == "active" and self._lost_s is not None:
            self.recoveries_s.append(now_s - self._lost_s)
            self._lost_s = None

    def lost(self, now_s: float) -> None:
        """Take note that the process ended at this time without being asked to."""
        self._lost_s = now_s
        self.state = "missing"

    @property
    def mean_rate_hz(self) -> float:
        """Processed inputs over the time that the node was seen active, Hz."""
        return self._done / self._active_s if self._active_s > 0.0 else 0.0


@dataclass
class ControlRecord:
    """The control loop over the whole run, across restarts of its process."""

    state: str = ""
    reason: str = ""
    detail: str = ""
    speed_scale: float = 0.0
    action_age_s: float = math.nan
    queue_s: float = 0.0
    lateness_ms: dict[str, float] = field(default_factory=dict)
    max_gap_ms: float = 0.0
    first_command_s: float | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    """How many statuses carried each reason."""

    _totals: dict[str, int] = field(default_factory=dict)
    commander: str = ""
    _last: dict[str, int] = field(default_factory=dict)
    _of_others: dict[str, dict[str, int]] = field(default_factory=dict)
    _active_s: float = 0.0
    _counted: int = 0
    _last_s: float | None = None

    COUNTS = (
        "commands",
        "deadline_misses",
        "skipped_ticks",
        "rejected_chunks",
        "limited_commands",
        "underruns",
    )

    def take(
        self,
        command_s: float,
        counts: dict[str, int],
        lateness_ms: dict[str, float],
        commander: str = "",
        **shown: Any,
    ) -> None:
        """
        Take one control status.

        command_s: time of the newest command on any one clock. counts: COUNTS since the activation of the node that commands
        (commander). lateness_ms: p50, p99, p999, max since activation; the worst of several activations is kept.
        """
        another = commander != self.commander
        if another:
            self._of_others[self.commander], self._last = self._last, self._of_others.get(commander, {})
            self.commander, self._last_s = commander, None
        anew = counts["commands"] < self._last.get("commands", 0)
        for name in self.COUNTS:
            before = 0 if anew else self._last.get(name, 0)
            self._totals[name] = self._totals.get(name, 0) + counts[name] - before
        if not anew and self._last_s is not None and counts["commands"] > self._last.get("commands", 0):
            self._counted += counts["commands"] - self._last["commands"]
            self._active_s += command_s - self._last_s
        if counts["commands"] > self._last.get("commands", 0) or anew:
            self._last_s = command_s
        self._last = dict(counts)
        for name, value in lateness_ms.items():
            self.lateness_ms[name] = (
                max(value, self.lateness_ms.get(name, 0.0)) if name == "max" or anew or another else value
            )
        for name, value in shown.items():
            setattr(self, name, value)
        self.reasons[self.reason] = self.reasons.get(self.reason, 0) + 1

    @property
    def rate_hz(self) -> float:
        """Commands over the time between the first and the last of each activation, Hz."""
        return self._counted / self._active_s if self._active_s > 0.0 else 0.0

    def total(self, name: str) -> int:
        """Return one of COUNTS over the whole run."""
        return self._totals.get(name, 0)


@dataclass
class PolicyRecord:
    """How the policy's chunks do: the newest policy_status, its figures since the node's activation."""

    policy: str = ""
    endpoint: str = ""
    merge: str = ""
    chunks: int = 0
    unavailable: int = 0
    underruns: int = 0
    latency_p50_s: float = math.nan
    latency_p99_s: float = math.nan
    inference_delay: int = 0
    action_age_p99_s: float = math.nan
    seam_position_p99: float = math.nan
    seam_velocity_p99: float = math.nan
    rtt_p99_s: float = math.nan
    loss: float = math.nan

    def text(self) -> str:
        """Return the essentials in one line."""
        network = (
            ""
            if math.isnan(self.rtt_p99_s)
            else f"  rtt p99 {self.rtt_p99_s * 1e3:.0f} ms, {self.loss:.0%} lost"
        )
        return (
            f"{self.policy} ({self.endpoint}, {self.merge})  {self.chunks} chunks, {self.underruns} underruns  "
            f"latency p50 {self.latency_p50_s * 1e3:.0f} p99 {self.latency_p99_s * 1e3:.0f} ms, "
            f"{self.inference_delay} steps  age p99 {self.action_age_p99_s * 1e3:.0f} ms  "
            f"seam p99 {self.seam_position_p99:.3f} rad {self.seam_velocity_p99:.2f} rad/s{network}"
        )


@dataclass
class TaskRecord:
    """The robot's task over the whole run, across restarts of the node that judges it."""

    instruction: str = ""
    attempts: int = 0
    successes: int = 0

    _last: tuple[int, int] = (0, 0)

    def take(self, instruction: str, attempts: int, successes: int) -> None:
        """Take one task status: its counts since the judging node's activation."""
        before = (0, 0) if attempts < self._last[0] else self._last
        self.attempts += attempts - before[0]
        self.successes += successes - before[1]
        self.instruction = instruction
        self._last = (attempts, successes)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures."""
        rate = self.successes / self.attempts if self.attempts else None
        return {
            "instruction": self.instruction,
            "attempts": self.attempts,
            "successes": self.successes,
            "success_rate": rate,
        }


@dataclass
class RunRecord:
    """Everything about one run."""

    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    control: ControlRecord = field(default_factory=ControlRecord)
    policy: PolicyRecord = field(default_factory=PolicyRecord)
    task: TaskRecord = field(default_factory=TaskRecord)
    stack_state: str = ""
    started_s: float = 0.0
    """Monotonic time at which the user started the run."""
    first_command_s: float | None = None

    def node(self, name: str) -> NodeRecord:
        """Return the record of a node, made on first use."""
        return self.nodes.setdefault(name, NodeRecord(name))

    def as_dict(self) -> dict[str, Any]:
        """Return the report: plain values, NaN as None."""
        control = self.control
        report = {
            "startup_s": None if self.first_command_s is None else self.first_command_s - self.started_s,
            "control": {
                "rate_hz": control.rate_hz,
                "lateness_ms": control.lateness_ms,
                "max_gap_ms": control.max_gap_ms,
                "reasons": control.reasons,
                **{name: control.total(name) for name in control.COUNTS},
            },
            "models": {
                name: {
                    "class": node.priority_class,
                    "target_hz": node.target_hz,
                    "rate_hz": node.mean_rate_hz,
                    "latency_ms": {"p50": node.latency_p50_ms, "p99": node.latency_p99_ms},
                    "stages_ms": {
                        stage: {"p50": p50, "p99": p99} for stage, (p50, p99) in node.stages.items()
                    },
                    "dropped": node.dropped,
                }
                for name, node in sorted(self.nodes.items())
                if "inference" in node.stages
            },
            "policy": self.policy,
            "task": self.task.as_dict(),
            "nodes": {
                name: {
                    "class": node.priority_class,
                    "state": node.state,
                    "message": node.message,
                    "restarts": node.restarts,
                    "recoveries_s": node.recoveries_s,
                    "deadline_misses": node.deadline_misses,
                    "cpu_pct": node.cpu_pct,
                    "events": node.events,
                }
                for name, node in sorted(self.nodes.items())
            },
            "rss_mb": {name: node.rss_mb for name, node in sorted(self.nodes.items())},
            "rss_total_mb": sum(node.rss_mb for node in self.nodes.values()),
        }
        plain = _plain(report)
        assert isinstance(plain, dict)
        return plain


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON; folders are made, NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(report), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
