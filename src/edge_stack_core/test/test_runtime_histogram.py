# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Histogram of durations: exact counts, bounded relative error, merging."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.runtime.histogram import BUCKETS, Histogram, bucket_of, bucket_upper_ns

durations = st.integers(min_value=0, max_value=2**44)


@given(durations)
def test_a_duration_lies_within_its_bucket(value: int) -> None:
    index = bucket_of(value)
    assert value <= bucket_upper_ns(index)
    assert index == 0 or value > bucket_upper_ns(index - 1)


@given(durations)
def test_a_bucket_is_at_most_one_thirty_second_wide(value: int) -> None:
    assert bucket_upper_ns(bucket_of(value)) <= value * (1 + 1 / 32)


@given(st.integers(min_value=-(2**63), max_value=2**70))
def test_any_number_has_a_bucket(value: int) -> None:
    assert 0 <= bucket_of(value) < BUCKETS


@given(st.lists(durations, min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.99, 0.999, 1.0]))
def test_a_quantile_is_never_too_low_and_at_most_a_bucket_too_high(values: list[int], q: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    got_ns = histogram.quantile_ms(q) * 1e6
    assert exact - 1e-3 <= got_ns + exact * 1e-9
    assert got_ns <= exact * (1 + 1 / 32) + 1e-3


@given(st.lists(durations, max_size=50), st.lists(durations, max_size=50))
def test_merging_counts_as_if_one_histogram_had_seen_all(first: list[int], second: list[int]) -> None:
    one, two, both = Histogram(), Histogram(), Histogram()
    for value in first:
        one.add(value)
        both.add(value)
    for value in second:
        two.add(value)
        both.add(value)
    one.merge(two)
    assert one.summary() == both.summary() or (math.isnan(both.max_ms) and len(one) == 0)


def test_an_empty_histogram_has_no_quantiles() -> None:
    summary = Histogram().summary()
    assert summary.n == 0
    assert all(math.isnan(value) for value in summary.as_dict().values())


def test_clear_forgets_everything() -> None:
    histogram = Histogram()
    histogram.add(1000)
    histogram.clear()
    assert len(histogram) == 0
    assert math.isnan(histogram.max_ms)


def test_the_largest_duration_is_kept_exactly() -> None:
    histogram = Histogram()
    for value in (1_234_567, 12):
        histogram.add(value)
    assert histogram.max_ms == 1.234567
