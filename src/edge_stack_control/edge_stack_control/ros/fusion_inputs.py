# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What fusion hears of the robot and the supervisor, and how long ago; the scene is in fusion_sight.py.

Its unit is one message. The executor's thread writes, the control thread reads; each value is stored as a whole object.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from edge_stack_msgs.msg import StackState
from sensor_msgs.msg import JointState

from edge_stack_control.chunk_intake import FloatArray
from edge_stack_control.controller import Surroundings, joint_positions
from edge_stack_control.perception_watch import WatchSettings
from edge_stack_control.ros.fusion_sight import FusionSight
from edge_stack_core.robot import Robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.stamps import to_seconds

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

# Clocks of two machines may differ by this much before a stamp counts as one from the future.
FUTURE_TOLERANCE_S = 0.1


class FusionInputs:
    """The newest of everything that the rules look at. scene: what perception sees."""

    def __init__(
        self, node: StackNode, robot: Robot, watch: WatchSettings, camera_info_topics: tuple[str, ...]
    ) -> None:
        """Subscribe."""
        self._node = node
        self._robot = robot
        self._measured: FloatArray | None = None
        self._joints_seen_s = self._supervisor_seen_s = -math.inf
        self._stack_stopping = False
        node.subscription(JointState, "joint_states", self._take_joints, qos.sensor(offered=False))
        node.subscription(StackState, "stack_state", self._take_stack_state, qos.state(), always=True)
        self.scene = FusionSight(node, watch, camera_info_topics, self._seen_s)

    def forget_robot(self) -> None:
        """Wait for a new measurement of the robot: it may be anywhere by now."""
        self._measured, self._joints_seen_s = None, -math.inf

    def surroundings(self, now_s: float, *, stop_requested: bool) -> Surroundings:
        """Return all of it for one tick. now_s: monotonic."""
        return Surroundings(
            measured=self._measured,
            joint_state_age_s=now_s - self._joints_seen_s,
            perception_age_s=self.scene.age_s(now_s),
            sight=self.scene.glance.sight,
            supervisor_age_s=now_s - self._supervisor_seen_s,
            stack_stopping=self._stack_stopping,
            stop_requested=stop_requested,
            cannot_fire=self.scene.cannot_fire,
        )

    def _take_joints(self, message: JointState) -> None:
        seen_s = self._seen_s("joint_states", message.header.stamp)
        if seen_s is None:
            return
        measured = joint_positions(self._robot.joint_names, message.name, message.position)
        if measured is None:
            self._node.stats.event("joint_states", "incomplete")
            return
        self._measured = measured
        self._joints_seen_s = seen_s

    def _take_stack_state(self, message: StackState) -> None:
        seen_s = self._seen_s("stack_state", message.header.stamp)
        if seen_s is not None:
            self._stack_stopping = message.state == StackState.STOPPING
            self._supervisor_seen_s = seen_s

    def _seen_s(self, topic: str, stamp: Time) -> float | None:
        """Return the monotonic time of a stamp (0: now), s; None, counted, if it lies in the future."""
        arrival_s = time.monotonic()
        stamp_s = to_seconds(stamp)
        if stamp_s == 0.0:
            return arrival_s
        age_s = self._node.now_s() - stamp_s
        if age_s < -FUTURE_TOLERANCE_S:
            self._node.stats.event(topic, "from_future")
            return None
        return arrival_s - max(age_s, 0.0)
