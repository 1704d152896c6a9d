# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The intake of action chunks: right ones pass in the robot's joint order, wrong ones are refused with their reason."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.chunk_intake import (
    ActionChunk,
    ChunkIntake,
    ChunkRefused,
    IntakeLimits,
    Refusal,
    actions_from_flat,
)

JOINTS = ("pan", "lift", "grip")
NOW_S = 1_700_000_000.0


def chunk(**changes: Any) -> ActionChunk:
    values: dict[str, Any] = {
        "stamp_s": NOW_S - 0.1,
        "start_s": NOW_S,
        "step_s": 0.05,
        "joint_names": JOINTS,
        "positions": np.arange(12.0).reshape(4, 3),
        "sequence": 1,
    }
    return ActionChunk(**{**values, **changes})


def refusal_of(wrong: ActionChunk, intake: ChunkIntake | None = None) -> ChunkRefused:
    intake = intake or ChunkIntake(JOINTS)
    with pytest.raises(ChunkRefused) as caught:
        intake.take(wrong, NOW_S)
    assert intake.refused[caught.value.kind] == 1
    return caught.value


def test_a_right_chunk_passes_unchanged() -> None:
    taken = ChunkIntake(JOINTS).take(chunk(), NOW_S)
    assert np.array_equal(taken.positions, chunk().positions)
    assert taken.joint_names == JOINTS


def test_joints_in_another_order_are_mapped() -> None:
    mixed = chunk(joint_names=("grip", "pan", "lift"), positions=np.array([[3.0, 1.0, 2.0]]))
    taken = ChunkIntake(JOINTS).take(mixed, NOW_S)
    assert taken.positions.tolist() == [[1.0, 2.0, 3.0]]


@given(st.permutations(range(3)))
def test_every_order_of_the_same_joints_gives_the_same_actions(order: list[int]) -> None:
    right = chunk()
    mixed = chunk(
        joint_names=tuple(JOINTS[i] for i in order), positions=np.ascontiguousarray(right.positions[:, order])
    )
    assert np.array_equal(ChunkIntake(JOINTS).take(mixed, NOW_S).positions, right.positions)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (
            {"joint_names": ("pan", "lift", "claw")},
            Refusal.WRONG_JOINTS,
            "missing: grip; not of this robot: claw",
        ),
        (
            {"joint_names": ("pan", "pan", "lift", "grip"), "positions": np.zeros((2, 4))},
            Refusal.WRONG_JOINTS,
            "twice",
        ),
        ({"positions": np.zeros((4, 2))}, Refusal.WRONG_SHAPE, "[4, 2]"),
        ({"positions": np.zeros((0, 3))}, Refusal.WRONG_SHAPE, "[0, 3]"),
        ({"positions": np.zeros(3)}, Refusal.WRONG_SHAPE, "[3]"),
        ({"positions": np.zeros((1001, 3))}, Refusal.WRONG_SHAPE, "1001 actions"),
        ({"positions": np.array([[0.0, math.nan, 0.0]])}, Refusal.NOT_FINITE, "action 0, lift: nan"),
        ({"positions": np.array([[0.0, 0.0, math.inf]])}, Refusal.NOT_FINITE, "grip: inf"),
        ({"positions": np.array([[0.0, 1e300, 0.0]])}, Refusal.IMPLAUSIBLE, "1e+300"),
        ({"step_s": 0.0}, Refusal.BAD_STEP, "above 0"),
        ({"step_s": -0.1}, Refusal.BAD_STEP, "above 0"),
        ({"step_s": math.nan}, Refusal.BAD_STEP, "above 0"),
        ({"start_s": math.nan}, Refusal.NOT_FINITE, "not a time"),
        ({"stamp_s": NOW_S + 1.0}, Refusal.FROM_FUTURE, "1.000 s ahead"),
        ({"start_s": NOW_S + 60.0}, Refusal.FROM_FUTURE, "starts in 60.000 s"),
        ({"stamp_s": NOW_S - 10.0}, Refusal.TOO_OLD, "10.000 s old"),
        ({"start_s": NOW_S - 1.0}, Refusal.TOO_OLD, "over 0.800 s ago"),
    ],
)
def test_a_wrong_chunk_is_refused_and_counted(changes: dict[str, Any], kind: Refusal, words: str) -> None:
    refused = refusal_of(chunk(**changes))
    assert refused.kind is kind
    assert words in str(refused)


def test_a_repeated_sequence_is_out_of_order() -> None:
    intake = ChunkIntake(JOINTS)
    intake.take(chunk(sequence=5), NOW_S)
    assert refusal_of(chunk(sequence=5), intake).kind is Refusal.OUT_OF_ORDER


def test_an_older_observation_is_out_of_order_whatever_its_sequence() -> None:
    intake = ChunkIntake(JOINTS)
    intake.take(chunk(sequence=5), NOW_S)
    assert refusal_of(chunk(sequence=6, stamp_s=NOW_S - 0.2), intake).kind is Refusal.OUT_OF_ORDER


def test_a_policy_that_counts_anew_from_a_newer_observation_is_taken() -> None:
    intake = ChunkIntake(JOINTS)
    intake.take(chunk(sequence=50), NOW_S)
    assert intake.take(chunk(sequence=1, stamp_s=NOW_S - 0.05), NOW_S).sequence == 1


def test_after_the_clock_was_set_back_chunks_are_taken_again() -> None:
    intake = ChunkIntake(JOINTS)
    intake.take(chunk(sequence=50), NOW_S)
    earlier = chunk(sequence=51, stamp_s=NOW_S - 3600.1, start_s=NOW_S - 3600.0)
    assert intake.take(earlier, NOW_S - 3600.0).sequence == 51


def test_a_refusal_names_a_few_of_many_strange_joints() -> None:
    strange = tuple(f"joint_{i}" for i in range(10_000))
    text = str(refusal_of(chunk(joint_names=strange, positions=np.zeros((1, 10_000)))))
    assert "joint_0" in text and "9992 more" in text and len(text) < 500


def test_a_refused_chunk_does_not_count_as_the_newest() -> None:
    intake = ChunkIntake(JOINTS)
    refusal_of(chunk(sequence=9, step_s=0.0), intake)
    assert intake.take(chunk(sequence=1), NOW_S).sequence == 1


def test_only_what_is_wrong_in_itself_is_malformed() -> None:
    late = {Refusal.FROM_FUTURE, Refusal.TOO_OLD, Refusal.OUT_OF_ORDER, Refusal.NOT_IN_FORCE}
    assert {kind for kind in Refusal if not kind.malformed} == late


def test_positions_that_do_not_divide_by_the_joints_are_refused() -> None:
    with pytest.raises(ChunkRefused, match="7 positions are not a multiple of 3"):
        actions_from_flat([0.0] * 7, 3)
    with pytest.raises(ChunkRefused, match="0 positions"):
        actions_from_flat([], 3)
    with pytest.raises(ChunkRefused, match="empty"):
        actions_from_flat([1.0], 0)


@given(
    st.floats(),
    st.floats(),
    st.floats(),
    st.lists(st.sampled_from((*JOINTS, "claw", "")), max_size=4),
    st.lists(st.floats(), max_size=12),
    st.integers(0, 2**64 - 1),
)
def test_nothing_that_passes_is_unsafe_and_nothing_raises_but_a_refusal(
    stamp_s: float, start_s: float, step_s: float, names: list[str], values: list[float], sequence: int
) -> None:
    intake = ChunkIntake(JOINTS)
    try:
        wrong = ActionChunk(
            stamp_s, start_s, step_s, tuple(names), actions_from_flat(values, len(names)), sequence
        )
        taken = intake.take(wrong, NOW_S)
    except ChunkRefused:
        return
    assert taken.positions.shape[1] == len(JOINTS)
    assert np.isfinite(taken.positions).all()
    assert taken.step_s > 0.0
    assert taken.end_s > NOW_S


@given(
    st.floats(NOW_S - 1.9, NOW_S + 0.05),
    st.floats(NOW_S - 0.1, NOW_S + 1.9),
    st.floats(0.05, 1.0),
    st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=4, max_size=8),
)
def test_every_chunk_within_the_rules_passes(
    stamp_s: float, start_s: float, step_s: float, rows: list[tuple[float, float, float]]
) -> None:
    right = dataclasses.replace(
        chunk(), stamp_s=stamp_s, start_s=start_s, step_s=step_s, positions=np.array(rows)
    )
    assert ChunkIntake(JOINTS).take(right, NOW_S).positions.tolist() == [list(row) for row in rows]


def test_a_chunk_without_a_stamp_or_a_start_is_taken_as_of_its_arrival() -> None:
    taken = ChunkIntake(JOINTS).take(chunk(stamp_s=0.0, start_s=0.0), NOW_S)
    assert (taken.stamp_s, taken.start_s) == (NOW_S, NOW_S)


def test_the_order_begins_anew_with_a_clock_that_is_set_back_however_much_is_tolerated() -> None:
    intake = ChunkIntake(JOINTS, IntakeLimits(future_s=10.0))
    intake.take(chunk(), NOW_S)
    back_s = NOW_S - 5.0
    assert intake.take(chunk(stamp_s=back_s, start_s=back_s, sequence=2), back_s).stamp_s == back_s
