# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What fusion hears of the robot, the scene and the supervisor, and how long ago.

Its unit is one message. The executor's thread writes, the control thread reads; each value is stored as a whole object.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from edge_stack_msgs.msg import StackState
from sensor_msgs.msg import JointState
from vision_msgs.msg import Detection2DArray

from edge_stack_control.chunk_intake import FloatArray
from edge_stack_control.controller import Surroundings, joint_positions
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_messages import read_boxes
from edge_stack_control.rules import Reason
from edge_stack_control.workspace import NOTHING, Sight, WorkspaceWatch
from edge_stack_core import stamps
from edge_stack_core.robot import Robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.stamps import to_seconds

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode


class FusionInputs:
    """The newest of everything that the rules look at. watch: what of the scene counts; may be replaced at any time."""

    def __init__(self, node: StackNode, robot: Robot, watch: WorkspaceWatch, detections_topic: str) -> None:
        """Subscribe. detections_topic: empty where there is no perception to wait for."""
        self._node = node
        self._robot = robot
        self._detections_topic = detections_topic
        self.watch = watch
        self._measured: FloatArray | None = None
        self._joints_seen_s = self._perception_seen_s = self._supervisor_seen_s = -math.inf
        self._sight = NOTHING
        self._stack_stopping = False
        self.refused: dict[Reason, str] = {}
        """Why the newest message was refused, in words, by the reason that its absence makes; none where it was taken."""
        node.subscription(
            JointState,
            "joint_states",
            self._take_joints,
            qos.sensor(offered=False),
            max_bytes=fusion_bounds.joint_states_bytes(len(robot.joint_names)),
            too_large=lambda text: self._refuse(Reason.JOINT_STATE_STALE, text),
        )
        node.subscription(
            StackState,
            "stack_state",
            self._take_stack_state,
            qos.state(),
            always=True,
            max_bytes=fusion_bounds.STACK_STATE_BYTES,
            too_large=lambda text: self._refuse(Reason.SUPERVISOR_LOST, text),
        )
        if detections_topic:
            node.subscription(
                Detection2DArray,
                detections_topic,
                self._take_detections,
                qos.result(offered=False),
                always=True,
                max_bytes=fusion_bounds.DETECTIONS_BYTES,
                too_large=lambda text: self._refuse(Reason.STALE_PERCEPTION, text),
            )

    @property
    def sight(self) -> Sight:
        """What of the scene counts, as it was seen last."""
        return self._sight

    def forget_robot(self) -> None:
        """Wait for a new measurement of the robot: it may be anywhere by now."""
        self._measured, self._joints_seen_s = None, -math.inf

    def surroundings(self, now_s: float, *, stop_requested: bool, second_commander: str = "") -> Surroundings:
        """Return all of it for one tick. now_s: monotonic. second_commander: who else commands, in words."""
        return Surroundings(
            measured=self._measured,
            joint_state_age_s=now_s - self._joints_seen_s,
            perception_age_s=now_s - self._perception_seen_s if self._detections_topic else 0.0,
            sight=self._sight,
            supervisor_age_s=now_s - self._supervisor_seen_s,
            stack_stopping=self._stack_stopping,
            stop_requested=stop_requested,
            second_commander=second_commander,
        )

    def _take_joints(self, message: JointState) -> None:
        seen_s = self._seen_s("joint_states", Reason.JOINT_STATE_STALE, message.header.stamp)
        if seen_s is None:
            return
        if len(message.name) > fusion_bounds.joint_names_max(len(self._robot.joint_names)):
            self._node.stats.event("joint_states", "too_many")
            self._refuse(Reason.JOINT_STATE_STALE, f"they name {len(message.name)} joints")
            return
        measured = joint_positions(self._robot.joint_names, message.name, message.position)
        if measured is None:
            self._node.stats.event("joint_states", "incomplete")
            self._refuse(Reason.JOINT_STATE_STALE, self._lacks(message.name))
            return
        self._measured = measured
        self.refused.pop(Reason.JOINT_STATE_STALE, None)
        self._joints_seen_s = seen_s

    def _take_detections(self, message: Detection2DArray) -> None:
        seen_s = self._seen_s(self._detections_topic, Reason.STALE_PERCEPTION, message.header.stamp)
        if seen_s is None:
            return
        if len(message.detections) > fusion_bounds.DETECTIONS_MAX:
            self._node.stats.event(self._detections_topic, "too_many")
            self._refuse(Reason.STALE_PERCEPTION, f"a message holds {len(message.detections)} boxes")
            return
        if seen_s < self._perception_seen_s:
            self._node.stats.event(self._detections_topic, "out_of_order")
            return
        self._sight = self.watch.look(read_boxes(message))
        self._perception_seen_s = seen_s
        self.refused.pop(Reason.STALE_PERCEPTION, None)

    def _take_stack_state(self, message: StackState) -> None:
        seen_s = self._seen_s("stack_state", Reason.SUPERVISOR_LOST, message.header.stamp)
        if seen_s is not None:
            self._stack_stopping = message.state == StackState.STOPPING
            self._supervisor_seen_s = seen_s
            self.refused.pop(Reason.SUPERVISOR_LOST, None)

    def _lacks(self, names: Sequence[str]) -> str:
        missing = [name for name in self._robot.joint_names if name not in names]
        return f"they lack {', '.join(missing[:8])}" if missing else "a position is missing or not finite"

    def _refuse(self, reason: Reason, text: str) -> None:
        self.refused[reason] = text

    def _seen_s(self, topic: str, reason: Reason, stamp: Time) -> float | None:
        """Return the monotonic time of a stamp (0: now), s; None, counted, if it lies too far ahead."""
        try:
            age_s = stamps.age_s(to_seconds(stamp), self._node.now_s(), self._node.params.stamp_tolerance_s)
        except stamps.StampAheadError as error:
            self._node.stats.event(topic, "from_future")
            self._refuse(reason, f"their {error}")
            return None
        return time.monotonic() - age_s
