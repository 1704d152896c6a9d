# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Problems of inputs: each begins once and ends once, and figures that change make no new one."""

from __future__ import annotations

from edge_stack_core.problems import Problems, same_but_figures


def test_a_problem_is_told_when_it_begins_changes_and_ends() -> None:
    told: list[tuple[str, str]] = []
    problems = Problems(lambda text: told.append(("begins", text)), lambda text: told.append(("ends", text)))
    for text in ("dark", "dark", "bright", "", ""):
        problems.set("eye", text)
    problems.set("ear", "deaf")
    assert told == [("begins", "dark"), ("begins", "bright"), ("ends", "bright"), ("begins", "deaf")]
    assert problems.texts == ("deaf",)
    problems.forget()
    assert problems.texts == () and len(told) == 4


def test_texts_are_the_same_where_figures_alone_differ() -> None:
    assert same_but_figures("stamps are 0.52 s ahead", "stamps are 12 s ahead")
    assert not same_but_figures("stamps are 0.52 s ahead", "stamps are 0.52 s old")
    assert not same_but_figures("", "1")
    for one, other in (
        ("wrist_1", "wrist_2"),
        ("/dev/video0", "/dev/video1"),
        ("10.0.0.1", "10.0.0.2"),
        ("rgb8", "rgb16"),
    ):
        assert not same_but_figures(f"{one}: missing", f"{other}: missing")
