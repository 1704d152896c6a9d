# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A name that no model has is told from one that may come, and what to write instead is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.class_names import can_match, label_topic, no_class, spellings

COCO = dict(
    enumerate(
        (
            "person",
            "bicycle",
            "car",
            "motorcycle",
            "airplane",
            "bus",
            "train",
            "truck",
            "boat",
            "traffic light",
        )
    )
)
NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)
LABELS = st.dictionaries(st.integers(0, 99), NAMES, max_size=8)


@pytest.mark.parametrize(
    ("topic", "beside"),
    [("detect/detections", "detect/label_info"), ("/a/b/c", "/a/b/label_info"), ("detections", "label_info")],
)
def test_labels_are_beside_the_detections(topic: str, beside: str) -> None:
    assert label_topic(topic) == beside


def test_a_name_of_another_spelling_cannot_match_and_the_nearest_is_named() -> None:
    assert not can_match("Persons", COCO)
    text = no_class("person_classes", ("Persons",), {"detect/detections": COCO})
    assert text == (
        "person_classes: 'Persons' is no class of detect/detections (10 classes, for example person, bicycle, car):"
        " write person"
    )


def test_a_name_that_is_like_none_is_answered_with_the_likely_one() -> None:
    text = no_class("person_classes", ("mensch", "human"), {"detect/detections": COCO}, ("hand", "person"))
    assert text.startswith(
        "person_classes: none of 'mensch', 'human' is a class of detect/detections (10 classes,"
    )
    assert text.endswith(": write person")


def test_a_name_that_is_like_none_at_all_is_answered_with_the_classes() -> None:
    text = no_class(
        "object_classes", ("xyz",), {"a/detections": {0: "arm"}, "b/detections": {0: "cup", 1: "cap"}}
    )
    assert text == (
        "object_classes: 'xyz' is no class of a/detections (1 class: arm) or b/detections (2 classes: cup, cap):"
        " write one of its classes"
    )


def test_a_class_that_came_can_match_whatever_the_labels_say() -> None:
    assert can_match("human", COCO, {"human"})


def test_without_labels_nothing_is_judged() -> None:
    assert can_match("human", None) and can_match("human", {})


def test_numbers_stand_for_names_and_names_for_numbers() -> None:
    assert spellings(("0", "car", "human"), COCO) == {"0", "person", "2", "car", "human"}
    assert can_match("7", COCO) and not can_match("12", COCO)


def test_where_classes_are_named_by_numbers_a_number_is_no_id() -> None:
    assert spellings(("3",), {0: "3", 3: "person"}) == {"3"}
    assert spellings(("person",), {0: "3", 3: "person"}) == {"person"}


@given(NAMES, LABELS, st.sets(NAMES, max_size=4))
def test_what_can_match_is_what_a_detector_of_these_labels_may_tell(
    name: str, labels: dict[int, str], came: set[str]
) -> None:
    by_number = not any(text.isdecimal() for text in labels.values())
    may_tell = set(labels.values()) | came | ({str(number) for number in labels} if by_number else set())
    matched = bool(spellings((name,), labels) & may_tell)
    assert can_match(name, labels, came) == (matched or not labels)
    assert name in spellings((name,), labels)


@given(
    st.lists(NAMES, min_size=1, max_size=4),
    st.dictionaries(NAMES, LABELS.filter(bool), min_size=1, max_size=3),
)
def test_words_name_every_name_and_every_topic(names: list[str], models: dict[str, dict[int, str]]) -> None:
    text = no_class("person_classes", names, models)
    assert all(f"'{name}'" in text for name in names)
    assert all(topic in text for topic in models)
    written = text.rsplit(": write ", 1)[1].split(" or ")
    assert written == ["one of its classes"] or set(written) <= {
        n for m in models.values() for n in m.values()
    }
