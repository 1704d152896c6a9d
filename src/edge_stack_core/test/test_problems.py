# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Problems of inputs: one text a subject, oldest subject first."""

from __future__ import annotations

from edge_stack_core.problems import Problems


def test_each_subject_has_its_own_text_until_it_is_taken_back() -> None:
    problems = Problems()
    for text in ("dark", "bright"):
        problems.set("eye", text)
    problems.set("ear", "deaf")
    assert problems.texts == ("bright", "deaf")
    problems.set("eye", "")
    problems.set("nose", "")
    assert problems.texts == ("deaf",)
    problems.forget()
    assert problems.texts == ()
