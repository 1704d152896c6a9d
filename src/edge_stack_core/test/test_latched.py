# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What comes by two subscriptions of a topic is taken once, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.ros.latched import BOTH_WITHIN_S, TakenOnce


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=12))
def test_each_message_is_taken_once_in_its_order_whoever_sent_it(sent: list[tuple[str, bool, bool]]) -> None:
    taken: list[str] = []
    once = TakenOnce(taken.append, lambda: 0.0)
    for text, is_latched, latched_first in sent:
        ways = [once.plain]
        if is_latched:
            ways = [once.latched, once.plain] if latched_first else [once.plain, once.latched]
        for way in ways:
            way(text)
    # A latched message that equals a plain one just before it may pass for it; nothing else is left out, nor taken twice.
    plain = [text for text, _, _ in sent]
    assert len(taken) <= len(plain)
    if not any(is_latched for _, is_latched, _ in sent):
        assert taken == plain
    if len(set(plain)) == len(plain):
        assert taken == plain


def test_what_was_latched_before_is_taken_and_an_old_plain_one_does_not_stand_for_it() -> None:
    taken: list[str] = []
    now_s = 0.0
    once = TakenOnce(taken.append, lambda: now_s)
    once.plain("put the cube away")
    once.plain("stop")
    now_s = BOTH_WITHIN_S + 0.1
    once.latched("put the cube away")
    assert taken == ["put the cube away", "stop", "put the cube away"]


def test_a_late_repetition_by_the_other_way_does_not_undo_what_came_after() -> None:
    taken: list[str] = []
    once = TakenOnce(taken.append)
    once.plain("a")  # latched
    once.plain("b")  # ordinary
    once.latched("a")
    assert taken == ["a", "b"]
