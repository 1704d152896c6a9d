# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The chunk queue: interpolation by time stamps, smooth seams, a bound, and slowed execution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.chunk_intake import ActionChunk
from edge_stack_control.chunk_queue import MAX_CHUNKS, ChunkQueue
from edge_stack_core.easing import easing_s

BLEND_S = 0.1


def chunk(
    rows: list[list[float]] | np.ndarray, start_s: float, step_s: float = 0.1, stamp_s: float | None = None
) -> ActionChunk:
    positions = np.array(rows, dtype=np.float64)
    names = tuple(f"j{i}" for i in range(positions.shape[1]))
    return ActionChunk(start_s if stamp_s is None else stamp_s, start_s, step_s, names, positions)


def queue_of(*chunks: tuple[ActionChunk, float]) -> ChunkQueue:
    queue = ChunkQueue(chunks[0][0].positions.shape[1], BLEND_S)
    for one, now_s in chunks:
        queue.push(one, now_s)
    return queue


def test_an_action_applies_exactly_at_its_time() -> None:
    queue = queue_of((chunk([[0.0], [2.0], [3.0]], 10.0), 10.0))
    assert [queue.sample(10.0 + t)[0] for t in (0.0, 0.1, 0.2)] == pytest.approx([0.0, 2.0, 3.0])


def test_between_actions_the_position_is_interpolated() -> None:
    queue = queue_of((chunk([[0.0], [2.0]], 10.0), 10.0))
    assert queue.sample(10.05)[0] == pytest.approx(1.0)


def test_before_the_first_and_after_the_last_action_the_position_stays() -> None:
    queue = queue_of((chunk([[1.0], [2.0]], 10.0), 9.0))
    assert queue.sample(9.5)[0] == 1.0
    assert queue.sample(99.0)[0] == 2.0


def test_the_last_action_lasts_for_one_step() -> None:
    queue = queue_of((chunk([[1.0], [2.0]], 10.0), 10.0))
    assert queue.cover_s(10.0) == pytest.approx(0.2)
    assert queue.cover_s(10.15) == pytest.approx(0.05)
    assert queue.cover_s(10.3) == 0.0


def test_a_newer_chunk_begins_at_the_older_ones_position_and_takes_over_within_the_blend() -> None:
    queue = queue_of((chunk([[0.0]] * 20, 10.0), 10.0), (chunk([[1.0]] * 20, 10.5), 10.5))
    assert queue.sample(10.5)[0] == 0.0
    assert queue.sample(10.5 + BLEND_S / 2)[0] == pytest.approx(0.5)
    assert queue.sample(10.5 + BLEND_S)[0] == 1.0
    assert len(queue) == 1, "the older chunk is dropped once the blend is over"


def test_a_chunk_that_starts_later_takes_over_at_its_start() -> None:
    queue = queue_of((chunk([[0.0]] * 20, 10.0), 10.0), (chunk([[1.0]] * 20, 11.0), 10.2))
    assert queue.sample(10.9)[0] == 0.0
    assert queue.sample(11.2)[0] == 1.0


def test_the_age_of_the_action_is_that_of_the_chunk_that_weighs_more() -> None:
    queue = queue_of(
        (chunk([[0.0]] * 20, 10.0, stamp_s=9.8), 10.0), (chunk([[1.0]] * 20, 10.5, stamp_s=10.4), 10.5)
    )
    assert queue.action_age_s(10.51) == pytest.approx(0.71)
    assert queue.action_age_s(10.59) == pytest.approx(0.19)


def test_an_empty_queue_has_no_actions_no_cover_and_no_age() -> None:
    queue = ChunkQueue(1)
    assert not queue.has_actions
    assert queue.cover_s(1.0) == 0.0
    assert math.isnan(queue.action_age_s(1.0))
    assert queue.newest_at(1.0) is None


def test_rejoining_begins_at_the_given_position_and_ends_at_the_actions() -> None:
    queue = queue_of((chunk([[1.0]] * 50, 10.0), 10.0))
    queue.rejoin(np.array([5.0]), 11.0, 2.0)
    assert queue.sample(11.0)[0] == 5.0
    assert queue.sample(12.0)[0] == pytest.approx(3.0)
    assert queue.sample(13.0)[0] == 1.0


def test_a_chunk_that_arrives_on_the_way_back_does_not_hasten_it() -> None:
    queue = queue_of((chunk([[1.0]] * 50, 10.0), 10.0))
    queue.rejoin(np.array([0.0]), 11.0, 2.0)
    queue.push(chunk([[1.0]] * 50, 11.1), 11.1)
    assert queue.sample(11.5)[0] < 0.5
    assert queue.sample(13.0)[0] == 1.0


def test_rejoining_without_actions_stays_at_the_position() -> None:
    queue = ChunkQueue(1)
    queue.rejoin(np.array([5.0]), 11.0, 1.0)
    assert queue.sample(20.0)[0] == 5.0
    assert not queue.has_actions


def test_delayed_execution_reads_the_actions_later_and_covers_longer() -> None:
    queue = queue_of((chunk([[0.0], [1.0], [2.0]], 10.0), 10.0))
    queue.delay(0.1)
    assert queue.sample(10.2)[0] == pytest.approx(1.0)
    assert queue.cover_s(10.2) == pytest.approx(0.2)


def test_a_single_target_lasts_no_longer_however_slowly_it_is_approached() -> None:
    queue = queue_of((chunk([[1.0]], 10.0), 10.0))
    now_s = 10.0
    while now_s < 10.1:
        assert queue.cover_s(now_s) == pytest.approx(10.1 - now_s)
        queue.delay(0.015)
        queue.ease(now_s, 0.005)
        now_s += 0.02
    assert queue.cover_s(now_s) == 0.0 and queue.is_dry(now_s)


def test_the_queue_is_bounded_and_does_not_jump_at_the_bound() -> None:
    queue = ChunkQueue(1, blend_s=1.0)
    now_s = 10.0
    for index in range(20):
        before = queue.sample(now_s)[0] if len(queue) else None
        queue.push(chunk([[float(index)]] * 50, now_s), now_s)
        assert len(queue) <= MAX_CHUNKS
        if before is not None:
            assert queue.sample(now_s)[0] == pytest.approx(before)
        now_s += 0.01


rows = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=10)


@given(st.lists(st.tuples(rows, st.floats(0.0, 0.5)), min_size=2, max_size=8))
def test_a_chunk_never_makes_the_position_jump(
    arrivals: list[tuple[list[tuple[float, float]], float]],
) -> None:
    queue = ChunkQueue(2, BLEND_S)
    now_s = 100.0
    for positions, wait_s in arrivals:
        now_s += wait_s
        before = queue.sample(now_s).copy() if len(queue) else None
        queue.push(chunk([list(p) for p in positions], now_s), now_s)
        if before is not None:
            assert queue.sample(now_s) == pytest.approx(before, abs=1e-9)


@given(st.lists(st.tuples(rows, st.floats(0.0, 0.5)), min_size=1, max_size=8), st.floats(0.0, 2.0))
def test_a_position_never_leaves_the_range_of_the_actions(
    arrivals: list[tuple[list[tuple[float, float]], float]], then_s: float
) -> None:
    queue = ChunkQueue(2, BLEND_S)
    now_s = 100.0
    seen = []
    for positions, wait_s in arrivals:
        now_s += wait_s
        queue.push(chunk([list(p) for p in positions], now_s), now_s)
        seen += [list(p) for p in positions]
    position = queue.sample(now_s + then_s)
    assert (position >= np.min(seen, axis=0) - 1e-9).all()
    assert (position <= np.max(seen, axis=0) + 1e-9).all()


@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_at_a_seam_neither_position_nor_speed_jumps(slope: float, other: float) -> None:
    times = np.arange(40) * 0.1
    queue = queue_of(
        (chunk((slope * times)[:, None], 10.0), 10.0), (chunk((0.3 + other * times)[:, None], 11.0), 11.0)
    )
    step_s = 1e-5
    at = [queue.sample(11.0 + k * step_s)[0] for k in range(3)]
    speed = (at[1] - at[0]) / step_s
    assert speed == pytest.approx(slope, abs=0.05)


# ---- the end of the actions

TICK_S = 1.0 / 24.0


def played(queue: ChunkQueue, begin_s: float, ticks: int, tick_s: float = TICK_S) -> np.ndarray:
    """Return the positions of so many ticks, as the controller asks for them."""
    positions = []
    for k in range(ticks):
        now_s = begin_s + k * tick_s
        queue.ease(now_s, tick_s)
        positions.append(queue.sample(now_s).copy())
    return np.array(positions)


slopes = st.floats(-3.0, 3.0, allow_subnormal=False)


@given(slopes, st.integers(2, 60), st.sampled_from([1 / 50, 1 / 24, 0.1]), st.sampled_from([1 / 100, 1 / 24]))
def test_when_actions_run_out_the_position_comes_to_rest_at_the_last_one_with_bounded_deceleration(
    slope: float, horizon: int, step_s: float, tick_s: float
) -> None:
    begin_s = 1.7e9  # as a clock gives it
    rows = slope * step_s * np.arange(horizon)[:, None]
    queue = queue_of((chunk(rows, begin_s, step_s), begin_s))
    zone_s = easing_s(horizon, step_s)
    ticks = int(((horizon + 1) * step_s + zone_s) / tick_s) + 3
    positions = played(queue, begin_s, ticks, tick_s)
    assert positions[-1] == pytest.approx(rows[-1], abs=1e-6)
    speeds = np.diff(positions, axis=0) / tick_s
    assert (np.abs(speeds) <= abs(slope) + 1e-4).all()
    assert (np.sign(slope) * speeds >= -1e-4).all(), "it never goes back"
    # Constant deceleration: from full speed to rest within twice the zone.
    assert np.abs(np.diff(speeds, axis=0)).max() <= abs(slope) * tick_s / (2.0 * zone_s) + 1e-3
    assert queue.cover_s(begin_s + ticks * tick_s) == 0.0


@given(st.integers(0, 2**31), st.integers(8, 40), st.floats(0.0, 0.3))
def test_chunks_that_come_before_the_end_is_near_are_executed_as_if_there_were_no_easing(
    seed: int, horizon: int, early_s: float
) -> None:
    random = np.random.default_rng(seed)
    easing, plain = ChunkQueue(1, BLEND_S), ChunkQueue(1, BLEND_S)
    begin_s = now_s = 1000.0
    every_s = (horizon - 1) * TICK_S - easing_s(horizon, TICK_S) - early_s
    next_s = begin_s
    for _ in range(100):
        if now_s >= next_s:
            one = chunk(random.uniform(-1, 1, (horizon, 1)), now_s, TICK_S)
            easing.push(one, now_s)
            plain.push(one, now_s)
            next_s = now_s + max(every_s - TICK_S, 0.0)
        easing.ease(now_s, TICK_S)
        assert easing.sample(now_s).tolist() == plain.sample(now_s).tolist()
        assert not easing.is_easing and not easing.is_dry(now_s)
        now_s += TICK_S


def test_an_eased_chunk_is_dry_when_its_own_time_is_over() -> None:
    queue = queue_of((chunk(np.arange(30.0)[:, None], 10.0, TICK_S), 10.0))
    played(queue, 10.0, 30)
    assert queue.is_easing and not queue.is_dry(10.0 + 29 * TICK_S)
    played(queue, 10.0 + 30 * TICK_S, 1)
    assert queue.is_dry(10.0 + 30 * TICK_S + 1e-6)
    assert queue.cover_s(10.0 + 30 * TICK_S) > 0.0, "slowed down, the actions last longer"


def test_a_queue_without_actions_neither_eases_nor_runs_dry() -> None:
    queue = ChunkQueue(1)
    queue.rejoin(np.array([1.0]), 10.0, 1.0)
    assert played(queue, 10.0, 50).tolist() == [[1.0]] * 50
    assert not queue.is_easing and not queue.is_dry(99.0)
