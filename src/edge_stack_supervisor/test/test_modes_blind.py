# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Rules of modes that can never apply are told from those that may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_stack_supervisor.modes import Battery, Detection, Instruction, ModeRule
from edge_stack_supervisor.modes.blind import ABSENT_S, SeenTopic, blind_rules

TOPIC, OTHER = "detect/detections", "wrist/detections"


def rule(name: str) -> ModeRule:
    return ModeRule(Detection(name), "standby", frozenset({"work"}))


def topic(*names: str, came: tuple[str, ...] = ()) -> SeenTopic:
    seen = SeenTopic()
    seen.take_labels(enumerate(names))
    seen.take(came)
    return seen


def test_a_class_that_no_detector_has_is_named_with_its_rule_and_what_to_write() -> None:
    battery = ModeRule(Battery(below=0.1), "standby", frozenset({"work"}))
    (text,) = blind_rules([battery, rule("persons")], {TOPIC: topic("person", "car")}, "work", 0.0)
    assert text == (
        "rules[1].detection.class: 'persons' is no class of detect/detections (2 classes: person, car): write person"
    )


def test_a_class_that_one_of_several_detectors_has_may_come() -> None:
    assert blind_rules([rule("car")], {TOPIC: topic("person"), OTHER: topic("car")}, "work", 0.0) == ()


def test_a_detector_that_does_not_tell_its_classes_is_not_judged() -> None:
    assert blind_rules([rule("car")], {TOPIC: topic("person"), OTHER: topic()}, "work", 0.0) == ()


def test_what_came_may_come_again_until_the_model_is_another_one() -> None:
    seen = topic("person", came=("car",))
    assert blind_rules([rule("car")], {TOPIC: seen}, "work", 0.0) == ()
    seen.take_labels([(0, "cup")])
    assert len(blind_rules([rule("car")], {TOPIC: seen}, "work", 0.0)) == 1


def test_a_topic_that_nobody_publishes_is_named_while_its_rule_could_lead_somewhere() -> None:
    seen = topic()
    seen.take_publishers(0, 10.0)
    assert blind_rules([rule("car")], {TOPIC: seen}, "work", 10.0) == ()
    (text,) = blind_rules([rule("car")], {TOPIC: seen}, "work", 10.0 + ABSENT_S)
    assert text == "rules[0].detection: no publisher on detect/detections"
    assert blind_rules([rule("car")], {TOPIC: seen}, "standby", 10.0 + ABSENT_S) == ()
    seen.take_publishers(1, 20.0)
    assert blind_rules([rule("car")], {TOPIC: seen}, "work", 30.0) == ()


def test_a_rule_on_detections_without_topics_can_never_apply() -> None:
    (text,) = blind_rules([rule("car")], {}, "work", 0.0)
    assert "modes_detections_topics is empty" in text


def test_other_rules_are_not_judged() -> None:
    rules = [ModeRule(Instruction("look"), "work", frozenset({"standby"}))]
    assert blind_rules(rules, {}, "standby", 0.0) == ()


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")), st.sampled_from("abcd"))
def test_a_rule_is_blind_exactly_where_every_model_is_known_and_none_has_its_class(
    first: set[str], second: set[str], name: str
) -> None:
    words = blind_rules([rule(name)], {TOPIC: topic(*first), OTHER: topic(*second)}, "work", 0.0)
    assert bool(words) == (bool(first) and bool(second) and name not in first | second)
