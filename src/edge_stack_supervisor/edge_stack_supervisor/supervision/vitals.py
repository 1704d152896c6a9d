# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a node hangs, from what it says and what is seen of its process.

A unit of work is one report, one look at a thread, or one judgement. Two things are watched: the executor, which sends a
status about five times a second, and the working thread, whose progress the status tells. One that is overdue is looked
at. If it sleeps through, or computes without end, it hangs; if it waits for a core or a disk, the machine is crowded, and
it gets far more time. Time is monotonic, s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_stack_core.runtime.local_process import ThreadLook
from edge_stack_core.runtime.progress import Work
from edge_stack_supervisor.supervision.lifecycle import NodeState
from edge_stack_supervisor.supervision.types import Report, SupervisionLimits

# An overdue thread is looked at from this share of its time on, so that the judgement is ready when the time is over.
SUSPECT_SHARE = 0.5
# It sleeps through if it had no processor time for so long. A healthy executor wakes ten times a second by itself.
ASLEEP_S = 0.19
# It is ended only if it sleeps on: a lock whose holder waits for a core can keep a healthy one asleep for a moment.
ENDED_S = 0.35
# With less than this share of a core, a thread that could run is short of processor time.
STARVED_SHARE = 0.5
# One that is excused, or that nobody can look at, gets so many times its limit, and at least so long.
EXCUSED_FACTOR = 4.0
EXCUSED_S = 10.0
# A silent executor that is not asleep, s.
SILENT_S = 5.0


@dataclass
class _Watched:
    """A thread that is looked at: since when it had no processor time, and since when it has no excuse."""

    cpu_s: float
    looked_s: float
    asleep_since_s: float
    guilty_since_s: float


@dataclass(frozen=True)
class HangReport:
    """How a node hangs. kill: whether its process should be ended."""

    text: str
    kill: bool


class Vitals:
    """The signs of life of one node's process."""

    def __init__(self, limits: SupervisionLimits) -> None:
        """Have seen nothing."""
        self._limits = limits
        self._report: Report | None = None
        self._seen_s = -math.inf
        self._watched: dict[int, _Watched] = {}  # by thread id
        self.hang: HangReport | None = None  # the last judgement
        self.slow = False

    def observe(self, report: Report, now_s: float) -> None:
        """Take a report."""
        before, self._report, self._seen_s = self._report, report, now_s
        self._watched.pop(report.pid, None)
        if before is None or before.work_steps != report.work_steps:
            self._watched.clear()
        self.hang, self.slow = None, False

    def excuse(self, duration_s: float) -> None:
        """Count no time in which the supervisor itself was held up."""
        self._seen_s += duration_s
        self._watched.clear()

    def suspects(self, now_s: float) -> list[int]:
        """Return the threads to look at: those that are overdue, or soon will be."""
        report = self._report
        if report is None or not report.state.is_primary:  # loading a model may take long
            return []
        suspects = []
        if now_s - self._seen_s > SUSPECT_SHARE * self._limits.silence_s:
            suspects.append(report.pid)
        if report.work is not Work.NONE and report.work_age_s > SUSPECT_SHARE * report.work_allowed_s:
            suspects.append(report.work_tid)
        return suspects

    def look(self, thread_id: int, look: ThreadLook | None, now_s: float) -> None:
        """Take a look at a thread that is suspect."""
        if look is None:
            self._watched.pop(thread_id, None)
            return
        before = self._watched.get(thread_id)
        if before is None:
            self._watched[thread_id] = _Watched(look.cpu_s, now_s, now_s, now_s)
            return
        share = (look.cpu_s - before.cpu_s) / max(now_s - before.looked_s, 1e-3)
        crowded = look.state in "RD" and share < STARVED_SHARE
        if look.state in "RD" or share > 0.0:
            before.asleep_since_s = math.inf if look.state in "RD" else now_s
        elif math.isinf(before.asleep_since_s):
            before.asleep_since_s = now_s
        if crowded or look.others_run or look.state == "t":  # t: somebody debugs it
            before.guilty_since_s = before.asleep_since_s = math.inf
        elif math.isinf(before.guilty_since_s):
            before.guilty_since_s = now_s
        before.cpu_s, before.looked_s = look.cpu_s, now_s

    def judge(self, now_s: float, deaf: bool) -> HangReport | None:
        """
        Say whether the node hangs now.

        deaf: no other node is heard either, so it may be the supervisor that hears nothing.
        """
        report = self._report
        self.hang, self.slow = None, False
        if report is None or not report.state.is_primary:
            return None
        silent_s = now_s - self._seen_s
        if silent_s > self._limits.silence_s:
            self.slow = True
            self.hang = self._judge_silence(report, silent_s, now_s, deaf)
        elif report.work is not Work.NONE and report.work_age_s > report.work_allowed_s:
            self.slow = True
            self.hang = self._judge_work(report, now_s)
        return self.hang

    def _judge_silence(self, report: Report, silent_s: float, now_s: float, deaf: bool) -> HangReport | None:
        watched = self._watched.get(report.pid)
        if watched is not None and now_s - watched.asleep_since_s >= ASLEEP_S:
            sleeps_on = now_s - watched.asleep_since_s >= ENDED_S
            # A process that has just begun has not settled yet: others start beside it.
            begins = report.state is NodeState.UNCONFIGURED and silent_s <= self._limits.heartbeat_timeout_s
            text = f"silent for {silent_s:.2f} s, and its executor does not wake"
            return None if begins else HangReport(text, sleeps_on)
        excused = watched is not None and math.isinf(watched.guilty_since_s)
        limit_s = max(SILENT_S, self._limits.heartbeat_timeout_s)
        if watched is None or deaf or silent_s <= (EXCUSED_FACTOR * limit_s if excused else limit_s):
            return None
        return HangReport(f"silent for {silent_s:.2f} s", True)

    def _judge_work(self, report: Report, now_s: float) -> HangReport | None:
        what = "waits" if report.work is Work.WAITING else "is busy"
        text = f"its working thread {what} for {report.work_age_s:.2f} s (allowed: {report.work_allowed_s:.2f} s)"
        watched = self._watched.get(report.work_tid)
        if watched is not None and now_s - watched.guilty_since_s >= ASLEEP_S:
            return HangReport(text, report.work_age_s > report.work_limit_s)
        if report.work_age_s > max(EXCUSED_S, EXCUSED_FACTOR * report.work_limit_s):
            return HangReport(text, True)
        return None
