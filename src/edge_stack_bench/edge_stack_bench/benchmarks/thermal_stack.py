# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A stack on a simulated board, as discrete events: a policy at 24 Hz, models in its slack, heat, clocks, a governor.

Its unit of work is one event: a release, or the end of an inference. Admission's decisions and learned durations, the
governor and the board are the real code; what is simulated is the device, which runs one inference at a time and
never interrupts it, and time. The same seed gives the same run.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge_stack_core.admission.decision import Critical, PageView, Waiting, decide
from edge_stack_core.admission.estimate import DurationEstimate
from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor.interface import BACKGROUND, CRITICAL, ESSENTIAL, Governor, NodeDemand

CONTROL_RATE_HZ = 24.0
CONTROL_DEADLINE_S = 0.6 / CONTROL_RATE_HZ  # the rest of the period is for fusion, the command and the motors
GOVERNOR_PERIOD_S = 1.0
BOARD_PERIOD_S = 0.25
GUARD_NS = 500_000  # that admission keeps before a release
JITTER = 0.02  # standard deviation of one inference's duration, relative
WINDOW_S = 10.0  # over which a node's rate is measured, as in node_status
_NS = 1_000_000_000


@dataclass(frozen=True)
class ThermalModel:
    """A model node. nominal_s: one inference at the board's highest clocks."""

    name: str
    priority_class: str
    wanted_hz: float
    nominal_s: float
    floor_hz: float = 0.0


class Board(Protocol):
    """What the simulation needs of a board."""

    def step(self, dt_s: float, use: float, inferences_per_s: float) -> tuple[BoardState, float]:
        """
        Go on by dt_s.

        use: of the device, 0..1. Returns the state, and how many times longer an inference lasts than at the
        highest clocks.
        """


@dataclass
class Record:
    """One run over time: a value each sampling period, by name; and counts over the whole run."""

    series: dict[str, list[float]] = field(default_factory=dict)
    inferences: dict[str, int] = field(default_factory=dict)
    control_misses: int = 0
    control_jobs: int = 0
    throttled_s: float = 0.0
    max_temp_c: float = -273.0
    energy_j: float = 0.0
    rate_changes: int = 0
    lowered_from_c: float = math.inf
    """Lowest temperature at which a rate was lowered."""
    most_changes_per_minute: int = 0
    reasons: list[tuple[float, str]] = field(default_factory=list)


class _Job:
    """One model node at run time."""

    def __init__(self, model: ThermalModel, index: int) -> None:
        self.model = model
        self.index = index
        self.rate_hz = model.wanted_hz
        self.durations = DurationEstimate(prior_ns=round(model.nominal_s * _NS))
        self.release = 0
        self.waiting_since = -1
        self.deadline = 0  # by which admission orders
        self.late_after = 0  # from which it counts as missed
        self.done = 0
        self.missed = 0
        self.delay_s = 0.0
        self.times: deque[int] = deque()
        self.epoch = 0  # releases of an earlier rate do not count


class StackSimulation:
    """One run of the stack under one governor."""

    def __init__(
        self,
        models: tuple[ThermalModel, ...],
        board: Board,
        governor: Governor | None,
        seed: int = 0,
        sample_s: float = 20.0,
    ) -> None:
        """governor: None leaves every node at its wanted rate."""
        self._board = board
        self._governor = governor
        self._random = np.random.default_rng(seed)
        self._noise: list[float] = []
        self._jobs = [_Job(model, index) for index, model in enumerate(models)]
        self._critical = next(job for job in self._jobs if job.model.priority_class == CRITICAL)
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = itertools.count()
        self._slow = 1.0
        self._busy: _Job | None = None
        self._busy_from = 0
        self._busy_in_step = 0
        self._done_before = 0
        self._critical_due: deque[int] = deque()  # releases whose inference has not begun
        self._next_release = 0
        self._state: BoardState | None = None
        self._sample_s = sample_s
        self._clock_mhz: list[float] = []  # since the last sample
        self._changes: deque[float] = deque()
        self.record = Record()

    def run(self, duration_s: float) -> Record:
        """Let time pass and return what happened."""
        self._at(0, self._release_critical)
        self._at(0, self._step_board)
        for job in self._jobs:
            if job is not self._critical:
                self._restart(job, 0)
        end = round(duration_s * _NS)
        while self._events[0][0] <= end:
            now, _, action = heapq.heappop(self._events)
            action(now)
        record = self.record
        record.inferences = {job.model.name: job.done for job in self._jobs}
        return record

    # ---- the device --------------------------------------------------------------------------------------------

    def _release_critical(self, now: int) -> None:
        self._critical_due.append(now)
        self.record.control_jobs += 1
        self._next_release = now + round(_NS / CONTROL_RATE_HZ)
        self._at(self._next_release, self._release_critical)
        self._dispatch(now)

    def _release(self, job: _Job, epoch: int, now: int) -> None:
        if epoch != job.epoch:
            return
        period = round(_NS / job.rate_hz)
        job.release = now
        self._at(now + period, lambda t: self._release(job, epoch, t))
        if job.waiting_since >= 0 or self._busy is job:
            return  # the frame is dropped
        job.waiting_since = now
        share = 0.5 if job.model.priority_class == ESSENTIAL else 1.0
        job.deadline, job.late_after = now + round(share * period), now + period
        self._dispatch(now)

    def _dispatch(self, now: int) -> None:
        """Begin what may begin now: the policy at once, a model as admission decides."""
        if self._busy is not None:
            return
        if self._critical_due:
            self._begin(self._critical, now)
            return
        waiting = [
            Waiting(job.index, job.deadline, job.durations.value, job.durations.value)
            for job in self._jobs
            if job.waiting_since >= 0
        ]
        if not waiting:
            return
        period = round(_NS / CONTROL_RATE_HZ)
        budget = self._critical.durations.value
        lease = max(period, 2 * budget)
        critical = Critical(self._critical.index, self._next_release, period, budget, lease, 0)
        view = PageView(1, GUARD_NS, 0, (critical,), (), waiting)
        winner = decide(view, waiting[0].slot, now).winner
        if winner >= 0:
            job = self._jobs[winner]
            waited_s = (now - job.waiting_since) / _NS
            job.delay_s += 0.05 * (waited_s - job.delay_s)
            job.waiting_since = -1
            self._begin(job, now)

    def _begin(self, job: _Job, now: int) -> None:
        self._busy, self._busy_from = job, now
        duration = max(1, round(job.model.nominal_s * self._slow * self._jitter() * _NS))
        self._at(now + duration, lambda t: self._end(job, duration, t))

    def _end(self, job: _Job, duration: int, now: int) -> None:
        self._busy_in_step += now - self._busy_from
        self._busy = None
        job.done += 1
        job.times.append(now)
        job.durations.add(duration)
        if job is self._critical:
            release = self._critical_due.popleft()
            late = now > release + CONTROL_DEADLINE_S * _NS
            self.record.control_misses += late
            job.missed += late
        elif now > job.late_after:
            job.missed += 1
        self._dispatch(now)

    def _jitter(self) -> float:
        if not self._noise:
            self._noise = np.exp(JITTER * self._random.standard_normal(4096)).tolist()
        return self._noise.pop()

    # ---- board and governor -----------------------------------------------------------------------------------------

    def _step_board(self, now: int) -> None:
        record, step = self.record, round(BOARD_PERIOD_S * _NS)
        if self._busy is not None:
            self._busy_in_step += now - self._busy_from
            self._busy_from = now
        use = min(1.0, self._busy_in_step / step)
        self._busy_in_step = 0
        done = sum(job.done for job in self._jobs)
        per_s, self._done_before = (done - self._done_before) / BOARD_PERIOD_S, done
        self._state, self._slow = self._board.step(BOARD_PERIOD_S, use, per_s)
        state = self._state
        record.throttled_s += BOARD_PERIOD_S * bool(state.throttling)
        record.max_temp_c = max(record.max_temp_c, state.max_temperature_c or -273.0)
        record.energy_j += BOARD_PERIOD_S * (state.total_power_w or 0.0)
        self._clock_mhz.append((state.gpu_frequency_hz or 0.0) / 1e6)
        ticks = now // step
        if ticks % round(GOVERNOR_PERIOD_S / BOARD_PERIOD_S) == 0:
            self._govern(now)
        if ticks % round(self._sample_s / BOARD_PERIOD_S) == 0:
            self._sample(now)
        self._at(now + step, self._step_board)

    def _govern(self, now: int) -> None:
        if self._governor is None or self._state is None:
            return
        demands = [
            NodeDemand(
                job.model.name,
                job.model.priority_class,
                job.model.wanted_hz,
                job.model.floor_hz,
                self._rate(job, now),
                job.durations.value / _NS,
                job.missed,
                job.delay_s,
            )
            for job in self._jobs
        ]
        now_s = now / _NS
        allocation = self._governor.update(self._state, demands, now_s)
        for job in self._jobs:
            rate_hz = allocation.rate_hz[job.model.name]
            if job is not self._critical and rate_hz != job.rate_hz:
                if rate_hz < job.rate_hz:
                    hottest_c = self._state.max_temperature_c or math.inf
                    self.record.lowered_from_c = min(self.record.lowered_from_c, hottest_c)
                job.rate_hz = rate_hz
                self.record.rate_changes += 1
                self._changes.append(now_s)
                self._restart(job, now)
        while self._changes and now_s - self._changes[0] >= 60.0:
            self._changes.popleft()
        self.record.most_changes_per_minute = max(self.record.most_changes_per_minute, len(self._changes))
        if not self.record.reasons or self.record.reasons[-1][1] != allocation.summary:
            self.record.reasons.append((now_s, allocation.summary))

    def _restart(self, job: _Job, now: int) -> None:
        """Begin a new grid of releases at the job's rate; 0 pauses it."""
        job.epoch += 1
        epoch = job.epoch
        if job.rate_hz > 0.0:
            period = round(_NS / job.rate_hz)
            first = max(now, job.release + period) if job.release else now
            self._at(first, lambda t: self._release(job, epoch, t))

    def _rate(self, job: _Job, now: int) -> float:
        while job.times and now - job.times[0] > WINDOW_S * _NS:
            job.times.popleft()
        return len(job.times) / WINDOW_S

    def _sample(self, now: int) -> None:
        state = self._state
        assert state is not None
        values: Mapping[str, float] = {
            "time_s": now / _NS,
            "temperature_c": state.max_temperature_c or 0.0,
            "power_w": state.total_power_w or 0.0,
            "gpu_mhz": sum(self._clock_mhz) / len(self._clock_mhz),
            "control_misses": float(self.record.control_misses),
            **{
                f"{c}_hz": sum(self._rate(j, now) for j in self._jobs if j.model.priority_class == c)
                for c in (ESSENTIAL, BACKGROUND)
            },
        }
        self._clock_mhz.clear()
        for name, value in values.items():
            self.record.series.setdefault(name, []).append(round(value, 2))

    def _at(self, when: int, action: Callable[[int], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))
