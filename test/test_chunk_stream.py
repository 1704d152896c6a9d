# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Chunks on time: learned latency, what is left over, how chunks join, when the next is asked for, and what is measured."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.chunk_intake import ActionChunk
from edge_stack_control.chunk_queue import ChunkQueue
from edge_stack_core.easing import easing_s
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, TIME_S, Policy
from edge_stack_policy.chunking.chunk_stream import GUIDED, ChunkStream
from edge_stack_policy.chunking.latency import LearnedLatency
from edge_stack_policy.chunking.merging import BLEND, MERGES, WEIGHTS, merge
from edge_stack_policy.chunking.timeline import ChunkTimeline, SentChunk

STEP_S = 1.0 / 24.0
T0 = 1.7e9  # as a clock gives it


def policy(**members: Any) -> Policy:
    return cast(Policy, SimpleNamespace(**{"step_s": STEP_S, "guides_chunks": False, **members}))


def line(horizon: int = 30, first: float = 0.0, speed: float = 1.0) -> np.ndarray:
    """Return one joint at a constant speed, [H, 1]."""
    return first + speed * STEP_S * np.arange(horizon, dtype=np.float64)[:, None]


def sent(start_s: float, positions: np.ndarray | None = None, captured_s: float | None = None) -> SentChunk:
    return SentChunk(
        line() if positions is None else positions, start_s, STEP_S, captured_s or start_s - 0.01
    )


# ---- latency


def test_before_the_first_chunk_nothing_is_expected() -> None:
    latency = LearnedLatency()
    assert (latency.expected_s, latency.steps(STEP_S)) == (0.0, 0)
    assert math.isnan(latency.quantile_s(0.5))


def test_the_first_inference_counts_only_until_the_second() -> None:
    latency = LearnedLatency()
    latency.add(30.0)
    assert latency.expected_s == 30.0
    latency.add(0.2)
    assert latency.expected_s == pytest.approx(0.2)


@given(st.lists(st.floats(0.0, 10.0), min_size=2, max_size=300))
def test_what_is_expected_is_exceeded_by_few_of_the_newest(durations_s: list[float]) -> None:
    latency = LearnedLatency()
    for one in durations_s:
        latency.add(one)
    newest = durations_s[1:][-100:]
    assert sum(one > latency.expected_s + 1e-9 for one in newest) <= 0.05 * len(newest) + 1
    assert min(newest) - 1e-9 <= latency.expected_s <= max(newest) + 1e-9


@pytest.mark.parametrize(("duration_s", "steps"), [(0.001, 1), (STEP_S, 1), (STEP_S + 1e-3, 2), (2.0, 48)])
def test_delay_in_steps_is_rounded_up(duration_s: float, steps: int) -> None:
    latency = LearnedLatency()
    latency.add(duration_s)
    assert latency.steps(STEP_S) == steps


def test_a_clock_that_is_set_teaches_no_latency() -> None:
    latency = LearnedLatency()
    for one in (0.1, 0.1, -5.0, math.nan, math.inf):
        latency.add(one)
    assert latency.quantile_s(1.0) == pytest.approx(0.1)


# ---- the timeline


@given(st.integers(2, 40), st.floats(0.0, 2.5), st.integers(0, 2**31))
def test_what_is_left_over_is_what_fusion_will_execute(horizon: int, later_s: float, seed: int) -> None:
    positions = np.random.default_rng(seed).uniform(-1, 1, (horizon, 2))
    timeline, queue = ChunkTimeline(), ChunkQueue(2)
    timeline.add(sent(T0, positions), T0)
    queue.push(ActionChunk(T0, T0, STEP_S, ("a", "b"), positions), T0)
    leftover = timeline.leftover(T0 + later_s, STEP_S)
    last_s = (horizon - 1) * STEP_S
    if later_s > last_s + 1e-5:
        assert leftover is None
    elif later_s < last_s - 1e-5:
        assert leftover is not None
        assert len(leftover) == pytest.approx((last_s - later_s) / STEP_S + 0.5, abs=0.51)
        for i, position in enumerate(leftover):
            assert position == pytest.approx(queue.sample(T0 + later_s + i * STEP_S), abs=1e-5)


def test_nothing_is_left_over_before_the_first_chunk_after_forgetting_and_after_the_clock_was_set_back() -> (
    None
):
    timeline = ChunkTimeline()
    assert timeline.leftover(T0, STEP_S) is None
    timeline.add(sent(T0), T0)
    assert timeline.leftover(T0 - 100.0, STEP_S) is None
    assert timeline.cover_s(T0 - 100.0) == 0.0
    timeline.forget()
    assert timeline.leftover(T0, STEP_S) is None
    assert timeline.count == 1


def test_a_seam_is_measured_where_the_newer_chunk_takes_over() -> None:
    timeline = ChunkTimeline()
    timeline.add(sent(T0, line(speed=1.0)), T0)
    timeline.add(sent(T0 + 0.2, line(first=0.5, speed=-1.0)), T0 + 0.3)
    # At 0.3 s the older is at 0.3 and rising, the newer at 0.5 - 0.1 and falling.
    assert timeline.seam_position.max == pytest.approx(0.1, abs=1e-5)
    assert timeline.seam_velocity.max == pytest.approx(2.0, abs=1e-5)
    assert timeline.age_s.max == pytest.approx(0.31)


def test_seam_quantiles_are_of_all_seams_and_the_largest_stays() -> None:
    timeline = ChunkTimeline()
    rng = np.random.default_rng(1)
    for i in range(600):
        timeline.add(sent(T0 + i * 0.2, np.full((30, 1), rng.normal() if i else 9.0)), T0 + i * 0.2)
    spread = timeline.seam_position
    assert spread.quantile(0.5) < spread.quantile(0.99) < 5.0 < spread.max


def test_an_underrun_is_counted_once_while_it_lasts_and_after_the_next_chunk() -> None:
    timeline = ChunkTimeline()
    assert timeline.underruns(T0) == 0
    timeline.add(sent(T0), T0)
    end_s = T0 + 30 * STEP_S
    assert timeline.underruns(end_s - 0.01) == 0
    assert timeline.underruns(end_s + 0.01) == timeline.underruns(end_s + 9.0) == 1
    timeline.add(sent(end_s + 1.0), end_s + 1.0)
    assert timeline.underruns(end_s + 1.0) == 1
    timeline.forget()
    assert timeline.underruns(end_s + 99.0) == 1, "what ends on purpose is no underrun"


# ---- joining


@pytest.mark.parametrize(
    ("name", "expected"),
    [("weighted_average", 0.7), ("latest_only", 1.0), ("average", 0.5), ("conservative", 0.3), (BLEND, 1.0)],
)
def test_actions_for_the_same_time_are_weighted_and_the_rest_is_the_newer_chunk(
    name: str, expected: float
) -> None:
    merged = merge(name, np.zeros((4, 1)), np.ones((10, 1)))
    assert merged[:, 0] == pytest.approx([expected] * 4 + [1.0] * 6)


@given(st.sampled_from(MERGES), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_a_merged_chunk_keeps_its_length_and_lies_between_the_two(
    name: str, left: int, horizon: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    leftover, chunk = random.uniform(-1, 1, (left, 2)), random.uniform(-1, 1, (horizon, 2))
    before = chunk.copy()
    merged = merge(name, leftover, chunk)
    assert np.array_equal(chunk, before), "the policy's own array is left alone"
    shared = min(left, horizon)
    low, high = np.minimum(leftover[:shared], chunk[:shared]), np.maximum(leftover[:shared], chunk[:shared])
    assert (merged[:shared] >= low - 1e-12).all() and (merged[:shared] <= high + 1e-12).all()
    assert np.array_equal(merged[shared:], chunk[shared:])
    assert np.array_equal(merge(name, None, chunk), chunk)


def test_names_and_weights_are_those_of_lerobot() -> None:
    configs = pytest.importorskip("lerobot.async_inference.configs")
    assert set(configs.AGGREGATE_FUNCTIONS) == set(WEIGHTS)
    for name, aggregate in configs.AGGREGATE_FUNCTIONS.items():
        assert merge(name, np.full((1, 1), 2.0), np.full((1, 1), 5.0))[0, 0] == pytest.approx(
            aggregate(2.0, 5.0)
        )


# ---- the stream


def step(
    stream: ChunkStream, at_s: float, latency_s: float, chunk: np.ndarray | None = None, **how: Any
) -> dict:
    """Ask for a chunk at a time, get it after a latency, send it; return the observation."""
    observation: dict[str, Any] = {TIME_S: at_s}
    stream.prepare(observation, at_s, **how)
    joined = stream.join(line() if chunk is None else chunk, observation, **how)
    stream.sent(joined, observation, at_s - 0.01, at_s + latency_s)
    return observation


def test_a_policy_that_guides_is_told_what_is_left_over_and_for_how_long_it_will_be_executed() -> None:
    stream = ChunkStream(policy(guides_chunks=True))
    assert LEFTOVER not in step(stream, T0, 0.1)
    observation = step(stream, T0 + 0.5, 0.1)
    assert observation[DELAY_STEPS] == 3  # 0.1 s at 24 Hz
    assert observation[LEFTOVER][0] == pytest.approx(0.5, abs=1e-5)
    assert stream.merged == GUIDED
    assert LEFTOVER not in step(stream, T0 + 1.0, 0.1, followed=False), "while the robot holds nothing runs"


def test_a_delay_is_never_longer_than_what_is_left() -> None:
    stream = ChunkStream(policy(guides_chunks=True))
    step(stream, T0, 1.0)
    observation = step(stream, T0 + 1.0, 1.0)
    assert observation[DELAY_STEPS] == len(observation[LEFTOVER]) == 6


def test_a_chunk_that_was_not_guided_after_all_is_merged_like_any_other() -> None:
    placed = policy(guides_chunks=True, guided=False)
    stream = ChunkStream(placed, "average")
    step(stream, T0, 0.1)
    step(stream, T0 + 0.5, 0.1, line(first=1.5))
    assert stream.merged == "average"
    newest = stream.timeline.newest
    assert newest is not None and newest.positions[0, 0] == pytest.approx(1.0, abs=1e-5)


def test_blend_sends_what_the_policy_returns_as_it_is() -> None:
    stream = ChunkStream(policy())
    step(stream, T0, 0.1)
    chunk = line(first=3.0)
    observation: dict[str, Any] = {TIME_S: T0 + 0.5}
    stream.prepare(observation, T0 + 0.5)
    assert set(observation) == {TIME_S}
    assert stream.join(chunk, observation) is chunk


def test_a_policy_with_a_time_limit_gets_the_time_until_the_actions_are_over() -> None:
    limited = policy(time_limit_s=9.0)
    stream = ChunkStream(limited)
    step(stream, T0, 0.1)
    assert limited.time_limit_s is None  # type: ignore[attr-defined]
    stream.prepare({TIME_S: T0 + 1.0}, T0 + 1.0)
    assert limited.time_limit_s == pytest.approx(0.25, abs=1e-5)  # type: ignore[attr-defined]
    stream.prepare({TIME_S: T0 + 9.0}, T0 + 9.0)
    assert limited.time_limit_s is None  # type: ignore[attr-defined]


class Loop:
    """Plays requests, latencies and the clock: what the policy node's worker does."""

    def __init__(self, stream: ChunkStream, rate_hz: float) -> None:
        self.stream, self.rate_hz = stream, rate_hz
        self.now_s = 0.0
        self.requests: list[float] = []
        self.least_cover_s = math.inf

    def run(self, latencies_s: list[float], horizon: int = 30, *, got_one: bool = True) -> None:
        for latency_s in latencies_s:
            self.requests.append(self.now_s)
            end_s = self.now_s + latency_s
            if self.stream.timeline.count:
                self.least_cover_s = min(self.least_cover_s, self.stream.timeline.cover_s(T0 + end_s))
            if got_one:
                step(self.stream, T0 + self.now_s, latency_s, line(horizon))
            planned_s = self.now_s + 1.0 / self.rate_hz
            self.now_s = self.stream.next_request_s(planned_s, end_s, T0 + end_s, got_one=got_one)

    @property
    def periods_s(self) -> list[float]:
        return np.diff(self.requests).tolist()


def test_chunks_are_asked_for_at_the_wanted_rate_while_that_is_soon_enough() -> None:
    loop = Loop(ChunkStream(policy()), 5.0)
    loop.run([0.02] * 20)
    assert loop.periods_s == pytest.approx([0.2] * 19)


def test_a_policy_slower_than_the_wanted_rate_runs_back_to_back() -> None:
    loop = Loop(ChunkStream(policy()), 5.0)
    loop.run([0.7] * 5)
    assert loop.periods_s == pytest.approx([0.7] * 4)


@given(st.floats(0.01, 0.5), st.integers(24, 60), st.integers(0, 2**31))
def test_at_too_low_a_rate_chunks_are_asked_for_so_that_each_comes_before_fusion_slows_down(
    latency_s: float, horizon: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    loop = Loop(ChunkStream(policy()), 0.1)
    loop.run((latency_s * random.uniform(0.9, 1.0, 30)).tolist(), horizon)
    if horizon * STEP_S - 2.0 * latency_s > easing_s(horizon, STEP_S) + 2.0 * STEP_S:
        # No sooner than needed, and in time but for what the quantile leaves out.
        assert loop.least_cover_s >= easing_s(horizon, STEP_S) + STEP_S - 0.1 * latency_s - 1e-4
        assert loop.stream.timeline.underruns(T0 + loop.now_s) == 0
        assert min(loop.periods_s[2:]) > 0.2 * (horizon * STEP_S - latency_s) - easing_s(horizon, STEP_S)


def test_a_place_that_needs_a_longer_lead_is_asked_sooner() -> None:
    loop = Loop(ChunkStream(policy(lead_s=0.6)), 0.1)
    loop.run([0.05] * 5)
    assert loop.periods_s[-1] == pytest.approx(1.25 - 0.6 - STEP_S - easing_s(30, STEP_S), abs=1e-4)


def test_requests_that_bring_no_chunk_are_not_hurried() -> None:
    stream = ChunkStream(policy())
    loop = Loop(stream, 5.0)
    loop.run([0.02] * 3)
    loop.now_s += 10.0  # all actions are over
    loop.requests.clear()
    loop.run([0.001] * 5, got_one=False)
    assert loop.periods_s == pytest.approx([0.2] * 4)


def test_chunks_of_one_action_come_no_faster_than_actions() -> None:
    loop = Loop(ChunkStream(policy()), 1.0)
    loop.run([0.001] * 10, horizon=1)
    assert min(loop.periods_s[1:]) == pytest.approx(STEP_S, abs=2e-3)
