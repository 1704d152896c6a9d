# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""One line when a state begins, one when it ends, whatever figures its text holds."""

from __future__ import annotations

import pytest

from edge_stack_core.state_log import OVER_S, STATES_MAX, StateLog, kind_of


class Log:
    """A log whose clock the test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.states = StateLog(lambda: self.now_s)
        self.lines: list[str] = []

    def tell(self, text: str, *, lasts: bool = True) -> None:
        if self.states.tell(text, lasts=lasts):
            self.lines.append(text)

    def wait(self, duration_s: float, *still: str) -> None:
        self.now_s += duration_s
        self.lines += self.states.tick(still)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "table: the newest is 0.86 s old, the limit is 0.5 s",
            "table: the newest is 0.98 s old, the limit is 0.5 s",
        ),
        ("topic /image: no image for 3 s", "topic /image: no image for 14 s"),
        ("/detect takes 5.5 ms and leaves no slack", "/detect takes 12 ms and leaves no slack"),
        ("the clock jumped by -9.98 s", "the clock jumped by +0.2 s"),
        ("a chunk of shape (3, 6)", "a chunk of shape (40, 6)"),
        ("below 1e-05 m", "below 2.5e+3 m"),
        ("a message of 83838 bytes is refused", "a message of 1 bytes is refused"),
        ("silent for 0.86s. Is it there?", "silent for 12s. Is it there?"),
        ("frames of 640x480 at 12%", "frames of 1280x720 at 7%"),
    ],
)
def test_texts_that_differ_in_figures_are_one_state(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("joint_1 is missing", "joint_2 is missing"),
        ("/dev/video0 is gone", "/dev/video1 is gone"),
        ("encoding rgb8 is refused", "encoding rgb16 is refused"),
        ("cuda:0 is busy", "cuda:1 is busy"),
        ("robot.yaml:12: too low", "robot.yaml:13: too low"),
        ("no answer of 10.0.0.1", "no answer of 10.0.0.2"),
        ("model yolo-26 is lost", "model yolo-11 is lost"),
        ("table: no image", "wrist: no image"),
    ],
)
def test_texts_that_differ_in_names_are_states_of_their_own(one: str, other: str) -> None:
    assert kind_of(one) != kind_of(other)


def test_a_state_that_is_told_again_and_again_has_one_line_when_it_begins_and_one_when_it_ends() -> None:
    log = Log()
    for tenth in range(300):
        log.tell(f"the newest is {tenth / 10:.1f} s old")
        log.wait(0.1)
    assert log.lines == ["the newest is 0.0 s old"]
    log.wait(2 * OVER_S)
    log.wait(2 * OVER_S)
    assert log.lines == ["the newest is 0.0 s old", "over after 30 s: the newest is 0.0 s old"]


def test_a_state_that_is_told_once_lasts_as_long_as_it_is_said_to_hold() -> None:
    log = Log()
    log.tell("the board stands still")
    for _ in range(10):
        log.wait(OVER_S, "the board stands still", "another one that nobody told")
    assert log.lines == ["the board stands still"]
    log.wait(1.0)
    log.wait(OVER_S)
    assert log.lines[1:] == ["over after 100 s: the board stands still"]


def test_a_state_that_comes_and_goes_is_one() -> None:
    log = Log()
    for _ in range(20):
        log.tell("hold: actions are stale")
        log.wait(0.5 * OVER_S)
    assert log.lines == ["hold: actions are stale"]


def test_two_states_that_take_turns_have_their_own_lines() -> None:
    log = Log()
    for tenth in range(100):
        log.tell(f"a: {tenth} s")
        log.tell(f"b: {tenth} s")
        log.wait(0.1)
    assert log.lines == ["a: 0 s", "b: 0 s"]
    log.wait(2 * OVER_S)
    assert len(log.lines) == 4


def test_a_state_that_has_ended_begins_anew() -> None:
    log = Log()
    for _ in range(2):
        log.tell("hold")
        log.wait(2 * OVER_S)
    assert log.lines == ["hold", "over after 0 s: hold"] * 2


def test_an_event_has_a_last_line_only_where_there_were_several() -> None:
    log = Log()
    log.tell("the clock jumped by +3 s", lasts=False)
    log.wait(2 * OVER_S)
    assert log.lines == ["the clock jumped by +3 s"]
    for _ in range(5):
        log.tell("the clock jumped by -1 s", lasts=False)
        log.wait(1.0)
    log.wait(2 * OVER_S)
    assert log.lines[1:] == ["the clock jumped by -1 s", "5 times within 4 s: the clock jumped by -1 s"]


def test_texts_without_end_do_not_fill_the_memory() -> None:
    log = Log()
    for number in range(10 * STATES_MAX):
        log.tell(f"no topic is called t_{number}")
    log.wait(2 * OVER_S)
    assert len(log.lines) == 11 * STATES_MAX
