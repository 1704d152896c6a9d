# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Episodes and steps cut out of a running robot's time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_record.episodes import Ended, Episodes, Steps


def test_a_judged_task_says_how_its_episode_went() -> None:
    episodes = Episodes()
    assert episodes.take_status("waiting", "put it there", 0) is None
    assert episodes.task == ""
    assert episodes.take_status("running", "put it there", 0) is None
    assert episodes.task == "put it there"
    assert episodes.take_status("running", "put it there", 0) is None
    assert episodes.take_status("succeeded", "put it there", 1) == Ended("put it there", True, "succeeded")
    assert episodes.task == ""
    assert episodes.take_status("running", "another", 1) is None
    assert episodes.take_status("timed_out", "another", 2) == Ended("another", False, "timed_out")


def test_the_next_episode_may_begin_with_the_same_status() -> None:
    episodes = Episodes()
    episodes.take_status("waiting", "a", 0)
    episodes.take_status("running", "a", 0)
    # The status of the end was lost: a state topic keeps the last one only.
    assert episodes.take_status("running", "a", 1) == Ended("a", False, "broken off", whole=False)
    assert episodes.task == "a"


def test_another_instruction_breaks_a_judged_episode_off() -> None:
    episodes = Episodes()
    episodes.take_status("waiting", "a", 0)
    episodes.take_status("running", "a", 0)
    assert episodes.take_status("waiting", "b", 0) == Ended("a", False, "broken off", whole=False)
    assert episodes.task == ""


def test_an_episode_whose_beginning_was_not_seen_is_left_out() -> None:
    episodes = Episodes()
    episodes.take_instruction("a")
    assert episodes.take_status("running", "a", 3) == Ended(
        "a", False, "its beginning was not seen", whole=False
    )
    assert episodes.task == ""
    episodes.take_status("running", "a", 3)
    assert episodes.task == ""
    episodes.take_status("succeeded", "a", 4)
    episodes.take_status("running", "b", 4)
    assert episodes.task == "b"


def test_where_nobody_judges_the_next_instruction_ends_the_episode() -> None:
    episodes = Episodes()
    assert episodes.take_instruction("a") is None
    assert episodes.take_instruction("a") is None
    assert episodes.task == "a"
    assert episodes.take_instruction("b") == Ended("a", None, "the next instruction")
    assert episodes.take_instruction("") == Ended("b", None, "the next instruction")
    assert episodes.task == ""


def test_the_end_of_a_recording_ends_what_nobody_judges_and_breaks_off_what_is_judged() -> None:
    episodes = Episodes()
    assert episodes.end() is None
    episodes.take_instruction("a")
    assert episodes.end() == Ended("a", None, "the end of the recording")
    episodes.take_status("waiting", "b", 0)
    episodes.take_status("running", "b", 0)
    assert episodes.end() == Ended("b", False, "the end of the recording", whole=False)
    assert episodes.task == ""


def test_a_dataset_wants_whole_episodes_and_successes() -> None:
    assert Ended("a", True, "").is_wanted(False)
    assert Ended("a", None, "").is_wanted(False)
    assert not Ended("a", False, "").is_wanted(False)
    assert Ended("a", False, "").is_wanted(True)
    assert not Ended("a", False, "", whole=False).is_wanted(True)


STATES = st.sampled_from(["waiting", "running", "succeeded", "timed_out", "nonsense", ""])


@given(st.lists(st.tuples(STATES, st.sampled_from(["", "a", "b"]), st.integers(0, 2)), max_size=30))
def test_every_episode_ends_once_and_only_a_success_succeeds(statuses: list[tuple[str, str, int]]) -> None:
    episodes = Episodes()
    running = ""
    for state, instruction, attempts in statuses:
        ended = episodes.take_status(state, instruction, attempts)
        assert (ended is None) == (not running or episodes.task == running and ended is None)
        if ended is not None:
            assert ended.task == running
            assert ended.succeeded == (state == "succeeded" and instruction == running)
        running = episodes.task


@pytest.mark.parametrize(
    ("rate_hz", "fps", "count"), [(24, 24, 240), (100, 24, 240), (50, 10, 100), (12, 24, 120)]
)
def test_steps_have_the_datasets_rate(rate_hz: int, fps: int, count: int) -> None:
    steps = Steps(fps)
    taken = sum(steps.take(1000.0 + i / rate_hz) for i in range(10 * rate_hz))
    assert abs(taken - count) <= 1


@given(st.lists(st.floats(-0.004, 0.004), min_size=50, max_size=50))
def test_jitter_loses_no_step(jitter: list[float]) -> None:
    steps = Steps(24)
    assert all(steps.take(i / 24 + late) for i, late in enumerate(jitter))
    assert steps.hole_s < 0.06


def test_a_hole_is_measured_and_forgotten_with_its_episode() -> None:
    steps = Steps(24)
    for time_s in (0.0, 1 / 24, 1.0, 1.0 + 1 / 24):
        assert steps.take(time_s)
    assert steps.hole_s == pytest.approx(1.0 - 1 / 24)
    steps.begin()
    assert steps.take(9.0)
    assert steps.hole_s == 0.0
