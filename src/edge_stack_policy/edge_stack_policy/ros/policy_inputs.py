# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy sees: topics in, one observation out.

Its unit of work is observe(). Callbacks only keep what came last; which topics there are follows from what the policy says
it needs, and from its contract with the robot. Without a contract, the parameters name the topics, and positions are in rad.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from edge_stack_msgs.msg import FusionStatus
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from vision_msgs.msg import Detection2DArray

from edge_stack_core import stamps
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.image_codec import ImageError
from edge_stack_core.joint_measurement import JointMeasurement
from edge_stack_core.robot import Joint, Robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import Frame, FrameGoneError, FrameSubscription
from edge_stack_core.ros.input_watch import InputWatch
from edge_stack_core.ros.latched import subscribe_to_state
from edge_stack_core.ros.parameters import ParameterValues
from edge_stack_core.ros.stamps import to_nanoseconds
from edge_stack_policy.base import DETECTION_FIELDS, ENVIRONMENT_STATE, IMAGES, STATE, TASK, TIME_S, Policy
from edge_stack_policy.contract import (
    ACTION,
    ActionFeature,
    EnvironmentStateFeature,
    ImageFeature,
    JointScale,
    PolicyContract,
    StateFeature,
    to_units,
)

CONTROL_STATUS_AGE_MAX_S = 1.0  # it comes five times a second
_NS = 1_000_000_000


class _Picture:
    """The newest frame of a camera. Its picture is decoded when it is used: a policy uses one of several that come."""

    def __init__(self, frame: Frame, stamp_ns: int) -> None:
        self.stamp_ns = stamp_ns
        self._frame = frame
        # Another one is overwritten meanwhile, and costs a copy only.
        self._rgb = None if frame.lasting else frame.rgb()

    def rgb(self) -> NDArray[np.uint8]:
        if self._rgb is None:
            self._rgb = self._frame.rgb()
        return self._rgb


class PolicyInputs:
    """
    The newest of everything that one policy needs. Its node's subscriptions end with the node's own.

    instruction: the newest one.
    """

    def __init__(
        self,
        node: StackNode,
        policy: Policy,
        robot: Robot,
        contract: PolicyContract | None,
        on_instruction: Callable[[], None],
    ) -> None:
        """Subscribe. ConfigurationError if the policy needs what nobody names."""
        self._node = node
        contract = contract or _plain_contract(node.params, policy, robot)
        _check(policy, contract)
        needed = policy.input_features
        self.instruction = contract.task_default
        self._state = contract.state if contract.state and contract.state.key in needed else None
        self._images_of = [image for image in contract.images if image.key in needed]
        self._policy_name = policy.name
        self._detections_key = ""
        self._class_index = {name: index for index, name in enumerate(policy.class_names)}
        self._detections: dict[str, tuple[int, NDArray[np.float32]]] = {}
        self._cameras: list[FrameSubscription] = []
        self._watches: list[InputWatch] = []
        self._measured_ns: dict[str, int] = {}
        self._joints_refusal = ""
        self.forget()

        def take_instruction(message: String) -> None:
            self.instruction = message.data
            on_instruction()

        subscribe_to_state(node, String, contract.task_topic, take_instruction)
        node.subscription(FusionStatus, "fusion_status", self._take_fusion_status, qos.status())
        self._measurement = JointMeasurement(_joints_of(robot, self._state) if self._state else ())
        if self._state is not None:
            # Always: measurements are compared for a while before they are used, which is not to delay the first chunk.
            topic, profile = self._state.topic, qos.sensor(offered=False)
            node.subscription(JointState, topic, self._take_joints, profile, always=True)
            self._joints_watch = InputWatch(node, topic, (JointState,), profile, noun="joint state")
            self._watches.append(self._joints_watch)
        environment = contract.environment_state
        if environment is not None and environment.key in needed:
            self._detections_key = environment.key
            for topic in environment.topics:
                self._listen_to_detections(topic)
        for image in self._images_of:
            self._listen_to_images(image)

    def forget(self) -> None:
        """Start with nothing seen, but for the instruction and where the robot is measured."""
        self._images: dict[str, _Picture] = {}
        self._control: tuple[float, int] | None = None
        self._outcome: FusionStatus | None = None

    def close(self) -> None:
        """Stop following cameras, and looking at what is silent."""
        for camera in self._cameras:
            camera.close()
        for watch in self._watches:
            watch.close()
        self._cameras.clear()
        self._watches.clear()

    @property
    def followed(self) -> bool:
        """Whether the robot follows the chunks, as far as is known: fusion says when it holds or stops."""
        control = self._control
        if control is None or time.monotonic() - control[0] > CONTROL_STATUS_AGE_MAX_S:
            return True
        return control[1] < FusionStatus.HOLD

    def refusal(self, sent: int) -> str:
        """
        Return why fusion refused the newest chunk that it tells of, in words; "" where it did not.

        sent: how many chunks were sent, which is the sequence of the last one.
        """
        told = self._outcome
        if told is None or told.refused_policy != self._policy_name:
            return ""
        # A number that this node has not reached yet is that of a process before it.
        accepted = told.accepted_sequence if told.accepted_sequence <= sent else 0
        return told.refusal if accepted < told.refused_sequence <= sent else ""

    def observe(self, now_ns: int) -> tuple[dict[str, Any], int, str]:
        """Return the observation, the capture time of its oldest fresh part (ns), and what is wrong with it."""
        p, tolerance_s = self._node.params, self._node.stamp_tolerance_s
        observation: dict[str, Any] = {TASK: self.instruction, TIME_S: now_ns / _NS}
        captured_ns, trouble = now_ns, ""
        if self._state is not None:
            positions, topic = self._measurement.positions, self._state.topic
            if positions is None:
                return {}, now_ns, f"{topic}: {self._unknown()}{self._refusal()}"
            captured_ns = min(self._measured_ns.values())
            trouble = _too_old(topic, captured_ns, now_ns, p.joint_state_age_max_s, tolerance_s)
            if trouble:
                trouble += f" ({self._measurement.oldest()}){self._refusal()}"
            observation[self._state.key] = to_units(self._state, positions).astype(np.float32)
        if self._detections_key:
            observation[self._detections_key] = self._fresh_detections(now_ns, p.detection_age_max_s)
        for image in self._images_of:
            frame, name = self._images.get(image.key), image.key.removeprefix(IMAGES)
            if frame is None:
                return {}, now_ns, f"{name}: no image has come"
            trouble = trouble or _too_old(name, frame.stamp_ns, now_ns, p.image_age_max_s, tolerance_s)
            captured_ns = min(captured_ns, frame.stamp_ns)
            try:
                observation[image.key] = image.fit(frame.rgb())
            except ImageError as error:
                self._node.stats.event(image.topic, "malformed")
                return {}, now_ns, f"{name}: images are refused: {error}"
        return observation, captured_ns, trouble

    # ---- from topics (the executor's thread; for frames, any)

    def _take_joints(self, message: JointState) -> None:
        assert self._state is not None
        self._joints_watch.arrived()
        node, topic = self._node, self._state.topic
        stamp_ns = self._stamp_ns(message.header)
        try:
            age_s = stamps.age_s(stamp_ns / _NS, node.now_s(), node.stamp_tolerance_s)
        except stamps.StampAheadError as error:
            node.stats.event(topic, "from_future")
            self._joints_refusal = f"its {error}"
            return
        now_s = time.monotonic()
        refused = self._measurement.take(message.name, message.position, now_s - age_s, now_s)
        for one in refused:
            node.stats.event(topic, one.fault.value)
        self._joints_refusal = refused[-1].text if refused else ""
        if not any(one.joint == "" for one in refused):
            values = {one.joint for one in refused}
            taken = {n: stamp_ns for n in message.name if n in self._state.fields and n not in values}
            self._measured_ns = {**self._measured_ns, **taken}  # anew: the worker's thread may be reading it

    def _unknown(self) -> str:
        """Return in words why it is not known where the robot is."""
        missing = self._measurement.missing()
        if not self._measured_ns:
            return "none has come"
        return f"{', '.join(missing)} missing" if missing else "they are compared with each other first"

    def _refusal(self) -> str:
        return (
            f"; of the last one that came was refused: {self._joints_refusal}" if self._joints_refusal else ""
        )

    def _take_fusion_status(self, message: FusionStatus) -> None:
        self._control = (time.monotonic(), message.state)
        self._outcome = message

    def _listen_to_detections(self, topic: str) -> None:
        def take(message: Detection2DArray) -> None:
            rows = []
            for detection in message.detections:
                if not detection.results:
                    continue
                hypothesis = detection.results[0].hypothesis
                index = self._class_index.get(hypothesis.class_id)
                if index is None:
                    continue
                box = detection.bbox
                centre = box.center
                at = centre.position
                rows.append((index, hypothesis.score, at.x, at.y, box.size_x, box.size_y, centre.theta, 0.0))
            values = np.array(rows, dtype=np.float32).reshape(-1, len(DETECTION_FIELDS))
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                self._node.stats.event(topic, "not_finite", int((~finite).sum()))
                values = values[finite]
            self._detections[topic] = (self._stamp_ns(message.header), values)

        self._node.subscription(Detection2DArray, topic, take, qos.result(offered=False))

    def _listen_to_images(self, image: ImageFeature) -> None:
        def take(frame: Frame) -> None:
            with contextlib.suppress(FrameGoneError):  # the next one is there already
                self._images[image.key] = _Picture(frame, self._stamp_ns(frame.header))

        self._cameras.append(FrameSubscription(self._node, image.topic, take, image.rate_hz or 0.0))

    def _stamp_ns(self, header: Header) -> int:
        """Return the time of a header, ns: that of its arrival where it bears none."""
        return to_nanoseconds(header.stamp) or int(self._node.get_clock().now().nanoseconds)

    def _fresh_detections(self, now_ns: int, age_max_s: float) -> NDArray[np.float32]:
        rows = [np.zeros((0, len(DETECTION_FIELDS)), dtype=np.float32)]
        for stamp_ns, values in list(self._detections.values()):
            age_s = (now_ns - stamp_ns) / _NS
            if -self._node.stamp_tolerance_s <= age_s <= age_max_s:
                aged = values.copy()
                aged[:, -1] = max(age_s, 0.0)
                rows.append(aged)
        return np.concatenate(rows)


def _joints_of(robot: Robot, state: StateFeature) -> list[Joint]:
    """Return the joints of a state in its order. ConfigurationError if the robot lacks one."""
    joints = {joint.name: joint for joint in robot.joints}
    lacking = [name for name in state.fields if name not in joints]
    if lacking:
        raise ConfigurationError(
            f"{state.topic}: the robot {robot.name} has no joint {', '.join(lacking)}; it has {', '.join(joints)}"
        )
    return [joints[name] for name in state.fields]


def _plain_contract(p: ParameterValues, policy: Policy, robot: Robot) -> PolicyContract:
    """Return what the parameters say: their topics, the policy's joints in rad."""
    names = policy.action_names
    rad = JointScale(("rad",) * len(names), (0.0,) * len(names), (1.0,) * len(names), limits=())
    cameras = zip(p.cameras or tuple(robot.cameras), p.image_topics, strict=False)
    return PolicyContract(
        action=ActionFeature(ACTION, names, rad),
        images=tuple(ImageFeature(IMAGES + name, topic, name) for name, topic in cameras),
        state=StateFeature(STATE, "joint_states", names, rad),
        environment_state=EnvironmentStateFeature(
            ENVIRONMENT_STATE, p.detections_topics, policy.class_names, rows=0
        ),
    )


def _check(policy: Policy, contract: PolicyContract) -> None:
    """Raise ConfigurationError that names what the policy needs and nobody gives."""
    for key in policy.input_features:
        if key in (*contract.input_features, TASK):
            continue
        given = ", ".join(contract.input_features)
        if contract.path or not key.startswith(IMAGES):
            where = contract.path or "the policy node"
            raise ConfigurationError(f"policy {policy.name} needs {key}; {where} gives: {given}")
        cameras = ", ".join(image.camera for image in contract.images) or "none"
        raise ConfigurationError(
            f"policy {policy.name} needs the camera '{key.removeprefix(IMAGES)}'; name it in `cameras` and its topic in"
            f" `image_topics` (they name: {cameras})"
        )


def _too_old(what: str, stamp_ns: int, now_ns: int, age_max_s: float, ahead_max_s: float) -> str:
    """Say what is wrong with the age of an input; empty if nothing is. ahead_max_s: how far ahead its stamp may be."""
    age_s = (now_ns - stamp_ns) / _NS
    if age_s > age_max_s:
        return f"{what}: the newest is older than {age_max_s:g} s"
    if age_s < -ahead_max_s:
        return f"{what}: its {stamps.ahead_text(-age_s, ahead_max_s)}"
    return ""
