# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What fusion hears of the robot, the scene and the supervisor, and how long ago.

Its unit is one message. The executor's thread writes, the control thread reads; each value is stored as a whole object.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from edge_stack_msgs.msg import StackState
from sensor_msgs.msg import JointState

from edge_stack_control.chunk_intake import FloatArray
from edge_stack_control.controller import Surroundings
from edge_stack_control.perception_watch import WatchSettings
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_sight import FusionSight
from edge_stack_control.rules import Reason
from edge_stack_core import stamps
from edge_stack_core.joint_measurement import JointMeasurement, MeasurementFault, MeasurementRefused
from edge_stack_core.robot import Robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.input_watch import InputWatch
from edge_stack_core.ros.stamps import to_seconds

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode


class FusionInputs:
    """The newest of everything that the rules look at. scene: what perception sees."""

    def __init__(
        self, node: StackNode, robot: Robot, watch: WatchSettings, camera_info_topics: tuple[str, ...]
    ) -> None:
        """Subscribe."""
        self._node = node
        self._robot = robot
        self._measurement = JointMeasurement(robot.joints)
        self._named: set[MeasurementFault] = set()
        self._supervisor_seen_s = -math.inf
        self._stack_stopping = False
        self.refused: dict[Reason, str] = {}
        """Why the newest message was refused, in words, by the reason that its absence makes; none where it was taken."""
        profile = qos.sensor(offered=False)
        self._joints_watch = InputWatch(node, "joint_states", (JointState,), profile, noun="joint state")
        node.subscription(
            JointState,
            "joint_states",
            self._take_joints,
            profile,
            max_bytes=fusion_bounds.joint_states_bytes(len(robot.joint_names)),
            too_large=self._refuse_joints,
        )
        node.subscription(
            StackState,
            "stack_state",
            self._take_stack_state,
            qos.state(),
            always=True,
            max_bytes=fusion_bounds.STACK_STATE_BYTES,
            too_large=partial(self._refuse, Reason.SUPERVISOR_LOST),
        )
        refuse = partial(self._refuse, Reason.STALE_PERCEPTION)
        seen_s = partial(self._seen_s, Reason.STALE_PERCEPTION)
        self.scene = FusionSight(node, watch, camera_info_topics, seen_s, refuse)

    def close(self) -> None:
        """Look no more who publishes. The subscriptions end with the node's own."""
        self._joints_watch.close()

    def forget_robot(self) -> None:
        """Wait for a new measurement of the robot: it may be anywhere by now."""
        self._measurement.reset()
        self._named.clear()
        self.refused.pop(Reason.JOINT_STATE_STALE, None)

    def measurement_text(self) -> str:
        """Return in words why the robot's position is not known; "" where it is."""
        if self._measurement.positions is not None:
            return ""
        missing = self._measurement.missing()
        if len(missing) == len(self._robot.joint_names):
            return "no joint state has come yet"
        if missing:
            return f"joint_states: {', '.join(missing[:8])} missing"
        return "joint states are compared before motion begins"

    def surroundings(
        self, now_s: float, *, stop_requested: bool, stop_unknown: bool, second_commander: str
    ) -> Surroundings:
        """Return all of it for one tick. now_s: monotonic. second_commander: who else commands, in words."""
        measurement = self._measurement
        measured: FloatArray | None = measurement.positions
        return Surroundings(
            measured=measured,
            joint_state_age_s=math.inf if measured is None else now_s - measurement.seen_s,
            contradiction=measurement.contradiction(now_s),
            perception_age_s=self.scene.age_s(now_s),
            sight=self.scene.glance.sight,
            supervisor_age_s=now_s - self._supervisor_seen_s,
            stack_stopping=self._stack_stopping,
            stop_requested=stop_requested,
            stop_unknown=stop_unknown,
            second_commander=second_commander,
            cannot_fire=self.scene.cannot_fire,
        )

    def _take_joints(self, message: JointState) -> None:
        self._joints_watch.arrived()
        seen_s = self._seen_s(Reason.JOINT_STATE_STALE, "joint_states", message.header.stamp)
        if seen_s is None:
            return
        if len(message.name) > fusion_bounds.joint_names_max(len(self._robot.joint_names)):
            self._node.stats.event("joint_states", "too_many")
            self._refuse(Reason.JOINT_STATE_STALE, f"they name {len(message.name)} joints")
            return
        refused = self._measurement.take(message.name, message.position, seen_s, time.monotonic())
        if not refused:
            self.refused.pop(Reason.JOINT_STATE_STALE, None)
        for one in refused:
            self._name(one)

    def _refuse_joints(self, text: str) -> None:
        self._joints_watch.refused(text)
        self._refuse(Reason.JOINT_STATE_STALE, text)

    def _name(self, refused: MeasurementRefused) -> None:
        """Count a refused measurement, and name topic, joint, value and publishers the first time of its kind."""
        self._node.stats.event("joint_states", refused.fault.value)
        self._refuse(Reason.JOINT_STATE_STALE, refused.text)
        if refused.fault not in self._named:
            self._named.add(refused.fault)
            publishers = ", ".join(self._node.publishers_of("joint_states")) or "nobody that is known"
            self._node.get_logger().warning(
                f"joint_states refused: {refused.text}; published by {publishers}"
                f" ({refused.fault.value}: counted from now on, not logged again)"
            )

    def _take_stack_state(self, message: StackState) -> None:
        seen_s = self._seen_s(Reason.SUPERVISOR_LOST, "stack_state", message.header.stamp)
        if seen_s is not None:
            self._stack_stopping = message.state == StackState.STOPPING
            self._supervisor_seen_s = seen_s
            self.refused.pop(Reason.SUPERVISOR_LOST, None)

    def _refuse(self, reason: Reason, text: str) -> None:
        self.refused[reason] = text

    def _seen_s(self, reason: Reason, topic: str, stamp: Time) -> float | None:
        """Return the monotonic time of a stamp (0: now), s; None, counted, if it lies too far ahead."""
        try:
            age_s = stamps.age_s(to_seconds(stamp), self._node.now_s(), self._node.stamp_tolerance_s)
        except stamps.StampAheadError as error:
            self._node.stats.event(topic, "from_future")
            self._refuse(reason, f"their {error}")
            return None
        return time.monotonic() - age_s
