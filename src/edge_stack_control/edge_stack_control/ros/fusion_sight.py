# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What fusion hears of the scene: detections, the classes of their models, the sizes of images, and who publishes at all.

Its unit is one message. The executor's thread writes, the control thread reads `glance` and `cannot_fire`, which are whole
objects. What is found wrong with rules is logged when it begins and when it has ended. Nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray, LabelInfo

from edge_stack_control.perception_watch import ABSENT_S, Glance, PerceptionWatch, WatchSettings
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_messages import read_boxes
from edge_stack_core.class_names import label_topic
from edge_stack_core.ros import qos
from edge_stack_core.ros.latched import subscribe_to_state

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

# How often it is looked who publishes, s.
LOOK_PERIOD_S = 1.0
# Cameras that publish on one topic may be several.
_CAMERAS_AT_ONCE = 4


class FusionSight:
    """The watch over the scene, fed by topics."""

    def __init__(
        self,
        node: StackNode,
        settings: WatchSettings,
        camera_info_topics: tuple[str, ...],
        seen_s: Callable[[str, Time], float | None],
        refuse: Callable[[str], None],
    ) -> None:
        """
        Subscribe.

        seen_s: returns the monotonic time of a stamp on a topic, s, or None where it is refused. refuse: is told in words
        why detections were refused.
        """
        self._node = node
        self._seen_s, self._refuse = seen_s, refuse
        self._watch = PerceptionWatch(settings)
        self._said: tuple[str, ...] = ()
        self._untold_s: dict[str, float] = {}  # since when each topic comes without labels; inf: it was said
        self._looked_s = -math.inf
        # As remapped: the labels are beside what is really heard.
        self._resolved = [node.resolve_topic_name(topic) for topic in settings.topics]
        detections = qos.result(offered=False)
        for index, topic in enumerate(settings.topics):
            node.subscription(
                Detection2DArray,
                topic,
                partial(self._take, index),
                detections,
                always=True,
                max_bytes=fusion_bounds.DETECTIONS_BYTES,
                too_large=refuse,
            )
            subscribe_to_state(
                node,
                LabelInfo,
                label_topic(self._resolved[index]),
                partial(self._take_labels, index),
                max_bytes=fusion_bounds.LABELS_BYTES,
            )
        # Polled: the size of images hardly ever changes, and each message that wakes the executor costs a millisecond.
        self._cameras = [
            node.subscription(
                CameraInfo,
                topic,
                self._take_camera,
                qos.frame(offered=False),
                always=True,
                max_bytes=fusion_bounds.CAMERA_INFO_BYTES,
                polled=True,
            )
            for topic in (camera_info_topics if settings.topics else ())
        ]

    @property
    def glance(self) -> Glance:
        """What all topics say."""
        return self._watch.glance

    @property
    def cannot_fire(self) -> str:
        """Rules about persons that can never hold and keep the robot from moving, in words; empty where there are none."""
        return self._watch.cannot_fire

    @property
    def problem(self) -> str:
        """What is wrong with the rules, in words; empty where nothing is."""
        return "; ".join(self._watch.problems)

    def age_s(self, now_s: float) -> float:
        """Return the age of the oldest topic, s; 0 where none is watched. now_s: monotonic."""
        return now_s - self._watch.glance.seen_s if self._watch.topics else 0.0

    def stale_words(self, now_s: float, timeout_s: float) -> str:
        """Return which topics are stale and why, in words; empty where none is. now_s: monotonic."""
        return self._watch.stale_words(now_s, timeout_s)

    def configure(self, settings: WatchSettings) -> None:
        """Take other classes, scores and workspaces."""
        self._watch.configure(settings)
        self._tell()

    def look_around(self, now_s: float) -> None:
        """See, at most once a second, which topics anybody publishes, and say what cannot be told. now_s: monotonic."""
        node = self._node
        if now_s - self._looked_s < LOOK_PERIOD_S:
            return
        self._looked_s = now_s
        for camera in self._cameras:
            node.poll(camera, _CAMERAS_AT_ONCE)
        if node.is_active:
            self._watch.take_publishers([node.count_publishers(topic) for topic in self._resolved], now_s)
        else:
            self._watch.forget_publishers()
        self._said = ()  # what still holds is told again, so that its end is known
        self._tell()
        for topic in self._watch.untold():
            if now_s - self._untold_s.setdefault(topic, now_s) >= ABSENT_S:
                self._untold_s[topic] = math.inf
                node.get_logger().info(
                    f"{topic}: no {label_topic(topic)} (vision_msgs/LabelInfo, latched) has come, so that it cannot be told"
                    " whether its model knows the classes of the rules"
                )

    def _take(self, index: int, message: Detection2DArray) -> None:
        topic = self._watch.topics[index]
        seen_s = self._seen_s(topic, message.header.stamp)
        if seen_s is None:
            return
        if len(message.detections) > fusion_bounds.DETECTIONS_MAX:
            self._node.stats.event(topic, "too_many")
            self._refuse(f"a message holds {len(message.detections)} boxes")
            return
        if not self._watch.take(index, read_boxes(message), seen_s, message.header.frame_id):
            self._node.stats.event(topic, "out_of_order")
        self._tell()

    def _take_labels(self, index: int, message: LabelInfo) -> None:
        self._watch.take_labels(index, ((one.class_id, one.class_name) for one in message.class_map))
        self._tell()

    def _take_camera(self, message: CameraInfo) -> None:
        self._watch.take_image(message.header.frame_id, message.width, message.height)
        self._tell()

    def _tell(self) -> None:
        """Log each problem when it begins, and when it has ended."""
        problems = self._watch.problems
        if problems is self._said:
            return
        self._said = problems
        for problem in problems:
            self._node.log_state(problem)
