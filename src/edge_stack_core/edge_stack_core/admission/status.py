# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What admission has decided, for anyone of its user to read: every job with its counts, delays and figures.

Its unit of work is one look at one device. It takes no lock and writes nothing; a figure may be one decision older
than the next.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from typing import Any

from edge_stack_core.admission import layout
from edge_stack_core.admission.decision import REASONS, largest_slack
from edge_stack_core.admission.layout import Words
from edge_stack_core.admission.oversize import POLICIES
from edge_stack_core.admission.page import AdmissionPage, path_of
from edge_stack_core.admission.protocol import view_of
from edge_stack_core.errors import ConfigurationError

_STATES = {layout.IDLE: "idle", layout.WAITING: "waiting", layout.RUNNING: "running"}


@dataclasses.dataclass(frozen=True)
class CriticalStatus:
    """
    One critical job. Durations ms; NaN where there is none.

    state: "running", "announced", "silent" (no live announcement). overruns: inferences longer than the budget.
    disturbed: begun while a background job ran. skipped: releases passed over. late: begun later than one guard.
    apart: background jobs that may not run beside it; all of them where nobody may.
    """

    name: str
    pid: int
    state: str
    period_ms: float
    budget_ms: float
    jobs: int
    p50_ms: float
    p99_ms: float
    overruns: int
    disturbed: int
    skipped: int
    late: int
    apart: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class BackgroundStatus:
    """
    One background job. Durations ms; NaN where there is none.

    expected_ms, shared_ms: learned, alone and beside others. refused: by reason. delayed: by the reason of the first wait.
    overlapped: runs that a critical inference began beside. fits_ms: if above 0, the job is longer than any slack and this
    is the longest that would fit. long_runs: runs all the same, by the policy.
    """

    name: str
    pid: int
    state: str
    policy: str
    expected_ms: float
    shared_ms: float
    asked: int
    admitted: int
    at_once: int
    delay_p50_ms: float
    delay_p99_ms: float
    delay_max_ms: float
    delayed: dict[str, int]
    refused: dict[str, int]
    overran: int
    overlapped: int
    oversize_runs: int
    passed_over: int
    fits_ms: float


@dataclasses.dataclass(frozen=True)
class AdmissionStatus:
    """A device's admission. slack_ms: the largest slack that recurs; infinite without critical jobs."""

    device: str
    limit: int
    guard_ms: float
    co_run: int
    slack_ms: float
    critical: tuple[CriticalStatus, ...]
    background: tuple[BackgroundStatus, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


def devices() -> list[str]:
    """Return the names of all devices that this user has admission for."""
    start = path_of("x")
    prefix = start.name[:-1]
    try:
        return sorted(name[len(prefix) :] for name in os.listdir(start.parent) if name.startswith(prefix))
    except OSError:
        return []


def read_status(device: str, now_ns: int | None = None) -> AdmissionStatus:
    """
    Return what admission says now. Jobs whose process ended are left out.

    Raises:
        ConfigurationError: there is no such admission.
    """
    if device not in devices():
        raise ConfigurationError(
            f"{path_of(device)}: no admission of this name; there are: {', '.join(devices()) or 'none'}"
        )
    page = AdmissionPage.open(device, 1, 0, 0)
    words = page.words
    now_ns = time.monotonic_ns() if now_ns is None else now_ns
    critical, background, dead = [], [], set()
    allowed, slots = [], []
    for slot in range(words[layout.H_USED]):
        state = words[layout.STATES + slot]
        if state == layout.FREE:
            continue
        if not page.alive(slot):
            dead.add(slot)
        elif state == layout.CRITICAL:
            critical.append(_critical(words, layout.base_of(slot), now_ns))
            allowed.append(words[layout.base_of(slot) + layout.C_CO_RUN])
        else:
            background.append(_background(words, layout.base_of(slot), state))
            slots.append(slot)
    for index, mask in enumerate(allowed):
        apart = tuple(job.name for job, slot in zip(background, slots, strict=True) if not mask >> slot & 1)
        critical[index] = dataclasses.replace(critical[index], apart=apart)
    room_ns = largest_slack([job for job in view_of(words).criticals if job.slot not in dead], now_ns)
    return AdmissionStatus(
        device=device,
        limit=words[layout.H_LIMIT],
        guard_ms=words[layout.H_GUARD] * 1e-6,
        co_run=words[layout.H_CO_RUN],
        slack_ms=float("inf") if room_ns < 0 else room_ns * 1e-6,
        critical=tuple(critical),
        background=tuple(background),
    )


def quantile_ms(counts: Sequence[int], q: float) -> float:
    """Return the bound that a share q of the counted durations does not exceed, ms; NaN if there is none."""
    total = sum(counts)
    rank = max(1, math.ceil(total * q))
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return layout.bucket_upper_ns(index) * 1e-6
    return float("nan")


def _critical(words: Words, base: int, now_ns: int) -> CriticalStatus:
    counts = _histogram(words, base)
    release_ns, lease_ns, active_ns = (
        words[base + index] for index in (layout.C_RELEASE, layout.C_LEASE, layout.C_ACTIVE)
    )
    announced = release_ns and now_ns < release_ns + lease_ns
    return CriticalStatus(
        name=layout.read_name(words, base),
        pid=words[base + layout.S_PID],
        state="running"
        if active_ns and now_ns < active_ns + lease_ns
        else "announced"
        if announced
        else "silent",
        period_ms=words[base + layout.C_PERIOD] * 1e-6,
        budget_ms=words[base + layout.C_BUDGET] * 1e-6,
        jobs=words[base + layout.C_JOBS],
        p50_ms=quantile_ms(counts, 0.5),
        p99_ms=quantile_ms(counts, 0.99),
        overruns=words[base + layout.C_OVERRUNS],
        disturbed=words[base + layout.C_DISTURBED],
        skipped=words[base + layout.C_SKIPPED],
        late=words[base + layout.C_LATE],
        apart=(),
    )


def _background(words: Words, base: int, state: int) -> BackgroundStatus:
    counts = _histogram(words, base)
    return BackgroundStatus(
        name=layout.read_name(words, base),
        pid=words[base + layout.S_PID],
        state=_STATES.get(state, "?"),
        policy=POLICIES[words[base + layout.B_POLICY] % len(POLICIES)],
        expected_ms=words[base + layout.S_LEARNED] * 1e-6 or float("nan"),
        shared_ms=words[base + layout.S_LEARNED_SHARED] * 1e-6 or float("nan"),
        asked=words[base + layout.B_ASKED],
        admitted=words[base + layout.B_ADMITTED],
        at_once=words[base + layout.B_AT_ONCE],
        delay_p50_ms=quantile_ms(counts, 0.5),
        delay_p99_ms=quantile_ms(counts, 0.99),
        delay_max_ms=words[base + layout.B_DELAY_MAX] * 1e-6,
        delayed={
            REASONS[reason]: words[base + layout.B_DELAYED_BY + reason] for reason in range(1, len(REASONS))
        },
        refused={
            "never fits": words[base + layout.B_NEVER_FITS],
            "must be split": words[base + layout.B_MUST_SPLIT],
            "timed out": words[base + layout.B_TIMED_OUT],
            "admission stuck": words[base + layout.B_STUCK],
        },
        overran=words[base + layout.B_OVERRAN],
        overlapped=words[base + layout.B_OVERLAPPED],
        oversize_runs=words[base + layout.B_OVERSIZE_RUNS],
        passed_over=words[base + layout.B_PASSED_OVER],
        fits_ms=words[base + layout.B_FITS] * 1e-6,
    )


def _histogram(words: Words, base: int) -> list[int]:
    return list(words[base + layout.HISTOGRAM : base + layout.HISTOGRAM + layout.BUCKETS])
