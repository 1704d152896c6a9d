# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A second commander is whoever sends what was not sent here; one's own commands never are, however late they are heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.second_commander import (
    HOLD_S,
    RING,
    DigestRing,
    SecondCommander,
    digest,
    private_words,
    words_for,
)

PERIOD_S = 1.0 / 24.0


def command(number: int, sender: str = "a") -> bytes:
    return b"\x00\x01\x00\x00" + f"{sender}{number}".encode()


def pair() -> tuple[SecondCommander, SecondCommander]:
    """Return two processes that share a page, each with a ring of its own too."""
    page = DigestRing(private_words())
    first, second = (SecondCommander(PERIOD_S, [DigestRing(private_words()), page]) for _ in range(2))
    first.begin(0.0)
    second.begin(0.0)
    return first, second


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), min_size=1, max_size=300))
def test_what_either_process_sent_is_never_a_strangers_in_whatever_order_and_however_often_it_is_heard(
    steps: list[tuple[bool, int]],
) -> None:
    processes = pair()
    sent: list[bytes] = []
    for number, (who, late) in enumerate(steps):
        now_s = number * PERIOD_S
        data = command(number)
        processes[who].sent(data)
        sent.append(data)
        heard = sent[max(0, number - late)]
        for process in processes:
            assert not process.heard(heard, now_s)
            assert not process.present(now_s)


@given(st.lists(st.binary(min_size=4, max_size=40), max_size=20), st.binary(min_size=4, max_size=40))
def test_what_was_not_sent_here_is_a_strangers(ours: list[bytes], other: bytes) -> None:
    first, second = pair()
    for data in ours:
        first.sent(data)
    foreign = other[4:] not in {data[4:] for data in ours}
    assert second.heard(other, 1.0) is foreign
    assert second.present(1.0) is foreign


def test_a_strangers_command_counts_for_a_while_so_that_a_slow_one_does_not_flicker() -> None:
    first, _ = pair()
    for second in range(5):
        assert first.heard(command(second, "b"), 0.9 * second)
        first.awake(0.9 * second + 0.45)
        assert first.present(0.9 * second + 0.89)
    assert not first.present(0.9 * 4 + HOLD_S + 0.01)


def test_a_process_that_stood_still_hears_old_commands_of_its_own_side_and_takes_nobody_for_a_stranger() -> (
    None
):
    first, second = pair()
    old = [command(number) for number in range(10)]
    for data in old:
        first.sent(data)
    second.heard(old[0], 0.0)
    for number in range(10, 10 + 2 * RING):  # while the other one stood still
        first.sent(command(number))
    now_s = 2 * RING * PERIOD_S
    for data in old[1:]:
        assert not second.heard(data, now_s)
    assert not second.present(now_s)
    # It has caught up, and hears as before.
    for step in range(8):
        second.awake(now_s + 0.2 * step)
    assert second.heard(command(1, "b"), now_s + 1.5)


def test_a_process_that_catches_up_when_it_is_activated_still_does_so() -> None:
    watch = SecondCommander(PERIOD_S, [DigestRing(private_words())])
    watch.catch_up(0.0)
    watch.begin(0.1)
    assert not watch.heard(command(1), 0.2)


def test_a_process_that_was_killed_leaves_what_it_sent_to_the_one_that_takes_its_page() -> None:
    words = private_words()
    SecondCommander(PERIOD_S, [DigestRing(words)]).sent(command(1))
    after = SecondCommander(PERIOD_S, [DigestRing(private_words()), DigestRing(words)])
    after.begin(0.0)
    assert not after.heard(command(1), 0.1)


def test_what_is_too_large_to_be_read_is_a_strangers() -> None:
    first, _ = pair()
    first.heard_other(0.5)
    assert first.present(0.6)


def test_the_ring_keeps_the_newest_ones() -> None:
    ring = DigestRing(private_words())
    for number in range(3 * RING):
        ring.note(digest(command(number)))
    known = [number for number in range(3 * RING) if ring.knows(digest(command(number)))]
    assert known == list(range(2 * RING, 3 * RING))


def test_bits_about_the_encoding_are_no_part_of_a_command() -> None:
    assert digest(b"\x00\x01\x00\x00abc") == digest(b"\x00\x01\x00\x03abc")
    assert digest(b"\x00\x01\x00\x00abc") != digest(b"\x00\x01\x00\x00abd")


@pytest.mark.parametrize(
    ("publishers", "words"),
    [
        ([], "somebody else publishes joint_command too; nobody tells who"),
        ([("/x", "on host h")], "node /x on host h also publishes joint_command"),
        (
            [("/x", "on host h"), ("/y", "on host g")],
            "node /x on host h and node /y on host g also publish joint_command",
        ),
    ],
)
def test_who_it_is_is_said_in_words(publishers: list[tuple[str, str]], words: str) -> None:
    assert words_for(publishers, "joint_command") == words


def test_of_many_a_few_are_named() -> None:
    words = words_for([(f"/n{i}", "on host h") for i in range(40)], "joint_command")
    assert "36 more" in words
    assert len(words) < 200
