# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Learning how long a job takes, and what happens to one that never fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.admission import layout
from edge_stack_core.admission.estimate import DurationEstimate, JobDurations
from edge_stack_core.admission.oversize import OversizeRuns, refusal
from edge_stack_core.errors import ConfigurationError

S = 1_000_000_000


def learned(durations: list[int], **settings) -> DurationEstimate:
    estimate = DurationEstimate(**settings)
    for duration in durations:
        estimate.add(duration)
    return estimate


@given(st.lists(st.integers(1000, 1400), min_size=8, max_size=200))
def test_the_estimate_is_a_recent_duration_and_few_recent_ones_exceed_it(durations: list[int]) -> None:
    estimate = learned(durations)
    recent = durations[-64:]
    assert estimate.value in recent
    assert sum(duration > estimate.value for duration in recent) <= 0.05 * len(recent) + 1


def test_nothing_is_expected_of_a_job_that_never_ran() -> None:
    assert DurationEstimate().value == 0


def test_the_first_run_of_all_is_forgotten_if_it_warmed_up() -> None:
    assert learned([500, 100, 101, 99, 100, 102]).value < 110


def test_a_slower_machine_is_noticed_within_five_runs() -> None:
    assert learned([100] * 64 + [150] * 5).value == 150


def test_a_faster_machine_is_noticed_within_a_window() -> None:
    assert learned([150] * 64 + [100] * 64).value == 100


def test_one_outlier_in_a_full_window_does_not_count() -> None:
    assert learned([100] * 40 + [900] + [100] * 23).value == 100


def test_a_prior_stands_until_there_are_a_few_runs() -> None:
    assert learned([10], prior_ns=200).value == 200
    assert learned([10, 10, 10, 10], prior_ns=200).value == 10


def test_forgetting_the_slowest_leaves_a_few() -> None:
    estimate = learned([10, 20, 30, 40, 50])
    for _ in range(10):
        estimate.forget_slowest()
    assert len(estimate) == 3
    assert estimate.value < 20


def test_runs_co_run_others_are_learned_apart() -> None:
    durations = JobDurations(0.95)
    for _ in range(8):
        durations.add("slice", 10, together=False)
    assert durations.of("slice") == (10, 10)
    for _ in range(8):
        durations.add("slice", 17, together=True)
    assert durations.of("slice") == (10, 17)
    assert durations.of("other slice") == (0, 0)


def test_a_refused_job_is_tried_again_ever_more_rarely() -> None:
    rule = OversizeRuns("refuse", 0)
    now = first = 100 * S
    tries = []
    for _ in range(4):
        assert rule.may_run_at(now) > now
        now = rule.may_run_at(now)
        tries.append((now - first) // S)
        rule.ran(now)
    assert tries == [5, 15, 35, 75]


def test_a_lower_rate_is_kept() -> None:
    rule = OversizeRuns("lower_rate", S)
    assert rule.may_run_at(50 * S) <= 50 * S
    rule.ran(50 * S)
    assert rule.may_run_at(50 * S + 1) == 51 * S


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'sometimes' is not one of refuse, lower_rate, split"):
        OversizeRuns("sometimes", 0)


def test_a_refusal_says_what_would_fit() -> None:
    refused = refusal("segment", "cpu", "refuse", 60_000_000, 27_000_000)
    assert (refused.reason, refused.slices) == ("never_fits", 3)
    assert refused.fits_s == pytest.approx(0.027)
    text = "segment takes 60.0 ms and the largest slack on cpu is 27.0 ms: it would fit in 3 slices, or if it took 27.0 ms"
    assert text in str(refused)


@given(st.integers(0, 2 * S))
def test_a_histogram_bucket_holds_its_durations_within_a_quarter(duration: int) -> None:
    index = layout.bucket_of(duration)
    assert duration <= layout.bucket_upper_ns(index)
    assert index == 0 or layout.bucket_upper_ns(index - 1) <= duration
    if duration > 8000:
        assert layout.bucket_upper_ns(index) <= 1.26 * duration


@given(st.text(max_size=60))
def test_a_name_is_read_back_as_far_as_it_fits(name: str) -> None:
    words = [0] * 32
    layout.write_name(words, 0, name)
    raw = name.encode("utf-8")[: layout.NAME_BYTES]
    assert layout.read_name(words, 0) == raw.rstrip(b"\0").decode("utf-8", "replace")
