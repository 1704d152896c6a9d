# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Rules of modes that can never apply: on a class that no detector has, or on topics that nobody publishes.

Its unit of work is one look at all topics of detections that rules look at. What is not known is not judged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_stack_core.class_names import LABELS_MAX, Labels, can_match, no_class
from edge_stack_supervisor.modes.types import Detection, ModeRule

# After this long without any publisher a topic is named.
ABSENT_S = 3.0
# More names than these are not remembered.
CAME_MAX = 1000


@dataclass
class SeenTopic:
    """
    What is known of one topic of detections.

    labels: classes by id; None: not told. came: names that it told of. absent_s: since when nobody publishes it, monotonic;
    NaN: somebody does.
    """

    labels: Labels | None = None
    came: set[str] = field(default_factory=set)
    absent_s: float = math.nan

    def take_labels(self, names: Iterable[tuple[int, str]]) -> None:
        """Take the classes of the model, as id and name; none at all tell nothing of it."""
        labels = dict(itertools.islice(names, LABELS_MAX)) or None
        if labels != self.labels:
            self.came.clear()  # it was another model that told of them
        self.labels = labels

    def take(self, names: Iterable[str]) -> None:
        """Take the names of one message."""
        for name in names:
            if len(self.came) >= CAME_MAX:
                return
            self.came.add(name)

    def take_publishers(self, count: int, now_s: float) -> None:
        """Take how many publish it. now_s: monotonic."""
        if count:
            self.absent_s = math.nan
        elif math.isnan(self.absent_s):
            self.absent_s = now_s

    def is_absent(self, now_s: float) -> bool:
        """Return whether nobody has published it for long."""
        return now_s - self.absent_s >= ABSENT_S  # not so for NaN


def blind_rules(
    rules: Sequence[ModeRule], topics: Mapping[str, SeenTopic], mode: str, now_s: float
) -> tuple[str, ...]:
    """
    Return what is wrong with rules on detections, in words; empty where nothing is.

    mode: the one in force: topics without a publisher count for rules that lead out of it, for another mode may have taken
    the detector down. now_s: monotonic.
    """
    words = []
    for index, rule in enumerate(rules):
        condition = rule.condition
        if not isinstance(condition, Detection):
            continue
        where, name = f"rules[{index}].detection", condition.class_id
        if not topics:
            words.append(f"{where}: modes_detections_topics is empty, and nobody tells of {name}")
        elif not any(can_match(name, seen.labels, seen.came) for seen in topics.values()):
            models = {topic: seen.labels for topic, seen in topics.items() if seen.labels}
            words.append(no_class(f"{where}.class", (name,), models))
        elif mode in rule.sources and all(seen.is_absent(now_s) for seen in topics.values()):
            words.append(f"{where}: no publisher on {' or '.join(topics)}")
    return tuple(words)
