# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the supervisor hears of detections for the rules of modes, and which of these rules can never apply.

Its unit is one message. What is found is logged when it begins and when it has ended. Nothing is decided here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vision_msgs.msg import Detection2DArray, LabelInfo

from edge_stack_core.class_names import label_topic, spellings
from edge_stack_core.ros import qos
from edge_stack_core.ros.latched import subscribe_to_state
from edge_stack_supervisor.modes import ModeRule, RuleBook
from edge_stack_supervisor.modes.blind import SeenTopic, blind_rules

if TYPE_CHECKING:
    from edge_stack_supervisor.ros.supervisor_part import SupervisingNode

# How often it is looked who publishes, s.
LOOK_PERIOD_S = 1.0


class ModeSight:
    """Feeds the rule book with detections. problems: rules that can never apply, in words."""

    def __init__(
        self, node: SupervisingNode, rules: Sequence[ModeRule], book: RuleBook, topics: Sequence[str]
    ) -> None:
        """Subscribe."""
        self._node = node
        self._rules = rules
        self._book = book
        self._topics = {topic: SeenTopic() for topic in topics}
        # As remapped: the labels are beside what is really heard.
        self._resolved = {topic: node.resolve_topic_name(topic) for topic in topics}
        self._looked_s = -math.inf
        self.problems: tuple[str, ...] = ()
        profile = qos.result(offered=False)
        for topic, seen in self._topics.items():
            node.subscription(Detection2DArray, topic, partial(self._take, seen), profile)
            beside = label_topic(self._resolved[topic])
            subscribe_to_state(node, LabelInfo, beside, partial(self._take_labels, seen))
        self._judge(time.monotonic())

    def step(self, now_s: float, *, is_up: bool) -> None:
        """See, at most once a second, who publishes. is_up: whether nodes are expected to. now_s: monotonic."""
        if now_s - self._looked_s < LOOK_PERIOD_S:
            return
        self._looked_s = now_s
        for topic, seen in self._topics.items():
            seen.take_publishers(
                1 if not is_up else self._node.count_publishers(self._resolved[topic]), now_s
            )
        self._judge(now_s)

    def _take(self, seen: SeenTopic, message: Detection2DArray) -> None:
        scores: dict[str, list[float]] = {}
        for detection in message.detections:
            if detection.results:
                best = max((result.hypothesis for result in detection.results), key=lambda h: h.score)
                for name in spellings((best.class_id,), seen.labels):
                    scores.setdefault(name, []).append(best.score)
        seen.take(scores)
        self._book.take_detections(scores, time.monotonic())

    def _take_labels(self, seen: SeenTopic, message: LabelInfo) -> None:
        seen.take_labels((one.class_id, one.class_name) for one in message.class_map)
        self._judge(time.monotonic())

    def _judge(self, now_s: float) -> None:
        self.problems = blind_rules(self._rules, self._topics, self._node.mode, now_s)
        for problem in self.problems:
            self._node.log_state(f"modes: {problem}")
