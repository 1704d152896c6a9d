# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Of several topics the nearest counts and the oldest is the age; rules that can never fire are found, others are not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_control.perception_watch import ABSENT_S, Glance, PerceptionWatch, WatchSettings, nearest
from edge_stack_control.workspace import NOTHING, Box, Sight

SQUARE = (100.0, 100.0, 200.0, 100.0, 200.0, 200.0, 100.0, 200.0)
ONE = WatchSettings(("detect/detections",), ("person",))
TWO = WatchSettings(
    ("detect/detections", "wrist/detections"),
    ("person", "hand"),
    ("cup",),
    workspaces_px=(SQUARE, ()),
    slow_zone_px=100.0,
)
COCO = dict(enumerate(("person", "bicycle", "car", *(f"class {n}" for n in range(77)))))
FLOATS = st.floats(0.0, 100.0)


def box(name: str, x: float = 50.0, y: float = 150.0) -> Box:
    return Box(name, 0.9, x, y, 10.0, 10.0)


def watch_with(settings: WatchSettings, *labels: dict[int, str] | None) -> PerceptionWatch:
    watch = PerceptionWatch(settings)
    for index, names in enumerate(labels):
        if names is not None:
            watch.take_labels(index, names.items())
    return watch


# ---- several topics


def test_the_age_is_that_of_the_oldest_topic_and_infinite_until_all_have_come() -> None:
    watch = PerceptionWatch(TWO)
    assert watch.glance == Glance()
    watch.take(0, [], 5.0)
    assert watch.glance.seen_s == -math.inf
    watch.take(1, [], 4.0)
    assert watch.glance.seen_s == 4.0


def test_a_person_on_any_topic_counts_and_the_topic_is_named() -> None:
    watch = PerceptionWatch(TWO)
    watch.take(0, [], 1.0)
    watch.take(1, [box("person")], 1.0)
    assert watch.glance.sight.person_inside
    assert watch.glance.sight.person == "person (score 0.90) on wrist/detections"
    watch.take(1, [], 2.0)
    assert not watch.glance.sight.person_inside


def test_each_topic_has_its_own_workspace() -> None:
    watch = PerceptionWatch(TWO)
    watch.take(0, [box("hand")], 1.0)
    assert watch.glance.sight.person_distance == pytest.approx(0.45)
    watch.take(1, [box("cup")], 1.0)
    assert watch.glance.sight.object_distance == 0.0


def test_an_older_message_changes_nothing() -> None:
    watch = PerceptionWatch(ONE)
    assert watch.take(0, [], 2.0)
    assert not watch.take(0, [box("person")], 1.0)
    assert watch.glance == Glance(2.0, NOTHING)


def test_one_topic_is_not_named() -> None:
    watch = PerceptionWatch(ONE)
    watch.take(0, [box("person")], 1.0)
    assert watch.glance.sight.person == "person (score 0.90)"


def test_words_name_the_topic_that_is_stale_and_no_other() -> None:
    watch = PerceptionWatch(TWO)
    watch.take(0, [], 9.5)
    assert watch.stale_words(10.0, 1.0) == "the newest detection of wrist/detections has never come"
    watch.take(1, [], 7.0)
    assert watch.stale_words(10.0, 1.0) == (
        "the newest detection of wrist/detections is 3.00 s old, at most 1 s is allowed"
    )
    watch.take(1, [], 9.9)
    assert watch.stale_words(10.0, 1.0) == ""


def test_a_topic_without_publisher_is_named_after_a_while() -> None:
    watch = PerceptionWatch(TWO)
    watch.take(0, [], 0.0)
    watch.take_publishers([1, 0], 1.0)
    assert "has never come" in watch.stale_words(1.0, 1.0)
    watch.take_publishers([1, 0], 1.0 + ABSENT_S)
    assert "no publisher on wrist/detections" in watch.stale_words(1.0 + ABSENT_S, 1.0)
    assert watch.problems == ("no publisher on wrist/detections",)
    assert watch.cannot_fire == ""
    watch.take_publishers([1, 1], 9.0)
    assert watch.problems == ()


def test_a_pause_of_the_node_is_no_absence() -> None:
    watch = PerceptionWatch(ONE)
    watch.take_publishers([0], 0.0)
    watch.forget_publishers()
    watch.take_publishers([0], ABSENT_S + 1.0)
    assert watch.problems == ()


def test_settings_of_other_topics_change_nothing() -> None:
    watch = PerceptionWatch(ONE)
    watch.configure(TWO)
    assert watch.topics == ONE.topics


SIGHTS = st.builds(
    lambda p, t: Sight(p == 0.0, p, t, "p" if p < math.inf else "", "t" if t < math.inf else ""),
    st.one_of(FLOATS, st.just(math.inf)),
    st.one_of(FLOATS, st.just(math.inf)),
)


@given(st.lists(SIGHTS, max_size=4))
def test_one_more_topic_never_makes_anything_further_away(sights: list[Sight]) -> None:
    named = [(str(index), sight) for index, sight in enumerate(sights)]
    for count in range(len(named)):
        fewer, more = nearest(named[:count]), nearest(named[: count + 1])
        assert more.person_distance <= fewer.person_distance
        assert more.object_distance <= fewer.object_distance
        assert more.person_inside >= fewer.person_inside
    merged = nearest(named)
    assert merged.person_inside == any(sight.person_inside for sight in sights)
    assert merged.person_distance == min((s.person_distance for s in sights), default=math.inf)


@given(st.lists(st.tuples(st.integers(0, 1), FLOATS), max_size=12))
def test_the_age_is_never_younger_than_any_topic(messages: list[tuple[int, float]]) -> None:
    watch, newest = PerceptionWatch(TWO), [-math.inf, -math.inf]
    for index, seen_s in messages:
        taken = watch.take(index, [], seen_s)
        assert taken == (seen_s >= newest[index])
        newest[index] = max(newest[index], seen_s)
        assert watch.glance.seen_s == min(newest)


# ---- rules that can never fire


def test_a_person_rule_on_a_class_that_the_model_does_not_have_holds_and_says_what_to_write() -> None:
    watch = watch_with(replace(ONE, person_classes=("human",)), COCO)
    assert watch.cannot_fire == (
        "person_classes: 'human' is no class of detect/detections (80 classes, for example person, bicycle, car):"
        " write person"
    )
    assert watch.problems == (watch.cannot_fire,)


def test_told_to_run_all_the_same_it_is_only_shown() -> None:
    watch = watch_with(replace(ONE, person_classes=("human",), hold=False), COCO)
    assert watch.cannot_fire == ""
    assert len(watch.problems) == 1


def test_a_model_that_does_not_tell_its_classes_is_not_judged() -> None:
    for labels in (None, {}):
        watch = watch_with(replace(ONE, person_classes=("human",)), labels)
        assert watch.problems == ()
    watch.take(0, [box("cup")], 1.0)
    assert watch.problems == ()
    assert watch.untold() == ["detect/detections"]


def test_one_name_that_matches_is_enough_and_the_other_is_shown() -> None:
    watch = watch_with(replace(ONE, person_classes=("person", "hand")), COCO)
    assert watch.cannot_fire == ""
    (problem,) = watch.problems
    assert "'hand' is no class of detect/detections" in problem


def test_every_topic_needs_a_class_that_counts_as_a_person() -> None:
    watch = watch_with(TWO, COCO, {0: "bolt", 1: "cup"})
    assert "wrist/detections" in watch.cannot_fire and "detect/detections" not in watch.cannot_fire


def test_names_for_different_topics_are_no_problem() -> None:
    watch = watch_with(TWO, {0: "person", 1: "cup"}, {0: "hand"})
    assert watch.problems == ()


def test_an_object_that_no_model_has_is_shown_without_a_hold() -> None:
    watch = watch_with(replace(ONE, object_classes=("bycicle",)), COCO)
    assert watch.cannot_fire == ""
    (problem,) = watch.problems
    assert problem.startswith("object_classes: 'bycicle'") and problem.endswith("write bicycle")


def test_while_one_model_is_not_known_an_object_may_still_come() -> None:
    watch = watch_with(replace(TWO, object_classes=("bolt",)), {0: "person"}, None)
    assert watch.problems == ()


def test_no_person_class_is_no_rule() -> None:
    assert watch_with(replace(ONE, person_classes=()), COCO).problems == ()


def test_what_comes_wins_over_what_labels_say() -> None:
    watch = watch_with(replace(ONE, person_classes=("human",)), COCO)
    watch.take(0, [box("human")], 1.0)
    assert watch.problems == ()
    assert watch.glance.sight.person_inside


def test_other_classes_mend_it_while_it_runs() -> None:
    settings = replace(ONE, person_classes=("human",))
    watch = watch_with(settings, COCO)
    watch.configure(replace(settings, person_classes=("person",)))
    assert watch.cannot_fire == ""
    watch.take_labels(0, [(0, "human")])
    assert watch.cannot_fire


@pytest.mark.parametrize(
    ("rule", "told"), [("person", "0"), ("0", "person"), ("0", "0"), ("person", "person")]
)
def test_a_class_is_known_by_its_number_and_by_its_name(rule: str, told: str) -> None:
    watch = watch_with(replace(ONE, person_classes=(rule,)), COCO)
    watch.take(0, [box(told)], 1.0)
    assert watch.problems == ()
    assert watch.glance.sight.person_inside


def test_a_workspace_outside_the_image_can_never_be_entered() -> None:
    watch = PerceptionWatch(replace(ONE, workspaces_px=(tuple(v + 900.0 for v in SQUARE),)))
    watch.take(0, [], 1.0, "cam")
    watch.take_image("other", 640, 480)
    assert watch.problems == ()
    watch.take_image("cam", 640, 480)
    assert watch.cannot_fire.startswith("workspace_px: lies outside the image of detect/detections")
    watch.take_image("cam", 1920, 1080)
    assert watch.problems == ()


def test_without_the_name_of_a_camera_no_image_is_known() -> None:
    watch = PerceptionWatch(replace(ONE, workspaces_px=(tuple(v + 900.0 for v in SQUARE),)))
    watch.take_image("", 640, 480)
    watch.take(0, [], 1.0, "")
    assert watch.problems == ()


@given(
    st.lists(FLOATS.map(lambda v: v * 20.0 - 500.0), min_size=6, max_size=10).filter(
        lambda v: len(v) % 2 == 0
    )
)
def test_a_workspace_in_which_a_box_of_the_image_counts_is_never_called_outside(corners: list[float]) -> None:
    settings = replace(ONE, workspaces_px=(tuple(corners),))
    watch = PerceptionWatch(settings)
    watch.take_image("cam", 640, 480)
    watch.take(0, [Box("person", 0.9, 320.0, 240.0, 640.0, 480.0)], 1.0, "cam")
    if watch.glance.sight.person_inside:
        assert watch.cannot_fire == ""
    else:
        assert watch.cannot_fire != ""


@given(
    st.lists(st.sampled_from(("person", "hand", "human", "0", "2")), max_size=3, unique=True),
    st.dictionaries(st.integers(0, 3), st.sampled_from(("person", "hand", "cup")), max_size=3),
)
def test_it_holds_exactly_where_no_class_of_the_model_can_stop_the_robot(
    names: list[str], labels: dict[int, str]
) -> None:
    watch = watch_with(replace(ONE, person_classes=tuple(names)), labels)
    holds = bool(watch.cannot_fire)
    stops = []
    for told in (*labels.values(), *map(str, labels)):
        one = watch_with(replace(ONE, person_classes=tuple(names)), labels)
        one.take(0, [box(told)], 1.0)
        stops.append(one.glance.sight.person_inside)
    assert holds == (bool(names) and bool(labels) and not any(stops))


def test_a_workspace_that_is_no_polygon_is_refused_with_its_parameter() -> None:
    with pytest.raises(ValueError, match=r"workspaces_px\[1\]: workspace polygon"):
        replace(
            TWO, workspaces_px=(SQUARE, (1.0, 2.0)), workspace_names=("workspaces_px[0]", "workspaces_px[1]")
        )
