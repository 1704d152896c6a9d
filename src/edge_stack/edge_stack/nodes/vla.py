# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The policy node: turns observations into action chunks, asynchronously and ahead of whoever executes them.

Its unit of work is one prediction, made by a worker thread on a grid of absolute times; callbacks only keep
what came last. Which topics it listens to follows from what its policy says it needs. It never commands the
robot: fusion does, and goes on from the chunks it has if this node is late or gone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from edge_stack_msgs.msg import ActionChunk
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray

from edge_stack.board.stretch import Stretch
from edge_stack.errors import ConfigurationError
from edge_stack.gate import CriticalJob
from edge_stack.nodes import qos
from edge_stack.nodes.base import StackNode
from edge_stack.nodes.frames import Frame, FrameSubscription
from edge_stack.nodes.main import run
from edge_stack.nodes.vla_parameters import PARAMETERS
from edge_stack.policies.base import (
    DETECTION_FIELDS,
    ENVIRONMENT_STATE,
    IMAGES,
    STATE,
    TASK,
    TIME_S,
    Policy,
    PolicySettings,
    make_policy,
)
from edge_stack.robot import load_robot
from edge_stack.share import share_folder

FUTURE_TOLERANCE_S = 0.05  # a stamp may be this far ahead of the node's clock
START_S = 0.5  # after activation, inputs that have not come yet are no problem
SLOW_FAULT_S = 3.0
_NS = 1_000_000_000


class VlaNode(StackNode):
    """Runs one policy."""

    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "vla", **kwargs: Any) -> None:
        """Declare parameters; the policy is made at configure."""
        self._policy: Policy | None = None
        self._worker: threading.Thread | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._instruction_is_new = threading.Event()
        super().__init__(name, **kwargs)
        self._cameras: list[FrameSubscription] = []
        self._job: CriticalJob | None = None

    # ---- lifecycle

    def configure_node(self) -> None:
        """Make and load the policy, and subscribe to what it needs."""
        p = self.params
        robot = load_robot(
            p.robot_file or share_folder("edge_stack") / "config" / "robots" / "so101_sim.yaml"
        )
        settings = PolicySettings(robot, p.camera, 1.0 / p.control_rate_hz, p.horizon, p.policy_path)
        policy = make_policy(p.policy, settings)
        policy.load()
        self._stretch = Stretch(p.board)
        if p.accelerator:
            period_s = 1.0 / p.chunk_rate_hz if p.chunk_rate_hz > 0.0 else 1.0
            try:
                self._job = CriticalJob(p.accelerator, self.get_fully_qualified_name(), period_s)
            except OSError as error:
                raise ConfigurationError(f"accelerator {p.accelerator}: {error}") from error
        self._base_frame = robot.base_frame
        self._joints: tuple[int, NDArray[np.float32]] | None = None
        self._joints_refusal = ""
        self._instruction = ""
        self._detections: dict[str, tuple[int, NDArray[np.float32]]] = {}
        self._images: dict[str, tuple[int, NDArray[np.uint8]]] = {}
        self._class_index = {name: index for index, name in enumerate(policy.class_names)}
        self._expected: list[int] = []
        self._last_names: list[str] | None = None

        self._chunks = self.publisher(ActionChunk, "action_chunk", qos.chunk())
        self.subscription(JointState, "joint_states", self._take_joints, qos.sensor(offered=False))
        self.subscription(String, "instruction", self._take_instruction, qos.state(), always=True)
        if ENVIRONMENT_STATE in policy.input_features:
            for topic in p.detections_topics:
                self._listen_to_detections(topic)
        self._camera_keys = [key for key in policy.input_features if key.startswith(IMAGES)]
        cameras = p.cameras or tuple(robot.cameras)
        topics = dict(zip(cameras, p.image_topics, strict=False))
        for key in self._camera_keys:
            camera = key.removeprefix(IMAGES)
            if camera not in topics:
                raise ConfigurationError(
                    f"policy {policy.name} needs the camera '{camera}'; name it in `cameras` and its topic in"
                    f" `image_topics` (they name: {', '.join(topics) or 'none'})"
                )
            self._listen_to_images(key, topics[camera])
        self._policy = policy

    def activate_node(self) -> None:
        """Start predicting."""
        self._sequence = 0
        self._activated_s = time.monotonic()
        self._joints = None
        self._instruction_is_new.set()  # the policy starts anew
        self._stop.clear()
        self._worker = threading.Thread(target=self._work, name="policy", daemon=True)
        self._worker.start()

    def deactivate_node(self) -> None:
        """Stop predicting and keep the policy. A prediction that has begun is waited for, 5 s at most."""
        self._stop.set()
        self._wake.set()
        if self._worker is not None:
            self._worker.join(5.0)
            self._worker = None
        self.work.ended()

    def cleanup_node(self) -> None:
        """Free the policy."""
        self._policy = None
        job, self._job = self._job, None
        if job is not None:
            job.close()
        for camera in self._cameras:
            camera.close()
        self._cameras.clear()

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take a new rate at once."""
        if "chunk_rate_hz" in changed:
            self._wake.set()

    def target_hz(self) -> float:
        """Rate of chunks."""
        return float(self.params.chunk_rate_hz)

    # ---- from topics (the executor's thread; for frames, any)

    def _take_joints(self, message: JointState) -> None:
        policy = self._policy
        if policy is None:
            return
        if message.name != self._last_names:
            missing = [name for name in policy.action_names if name not in message.name]
            if missing:
                self._refuse("joint_states", f"lacks {', '.join(missing)}")
                return
            self._expected = [message.name.index(name) for name in policy.action_names]
            self._last_names = list(message.name)
        if len(message.position) != len(message.name):
            self._refuse(
                "joint_states", f"has {len(message.name)} names but {len(message.position)} positions"
            )
            return
        positions = np.array(message.position, dtype=np.float32)[self._expected]
        if not np.isfinite(positions).all():
            self._refuse("joint_states", "has a position that is not finite")
            return
        self._joints_refusal = ""
        self._joints = (_nanoseconds(message.header.stamp), positions)

    def _take_instruction(self, message: String) -> None:
        self._instruction = message.data
        self._instruction_is_new.set()
        self._wake.set()

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
                self.stats.event(topic, "not_finite", int((~finite).sum()))
                values = values[finite]
            self._detections[topic] = (_nanoseconds(message.header.stamp), values)

        self.subscription(Detection2DArray, topic, take, qos.result(offered=False))

    def _listen_to_images(self, key: str, topic: str) -> None:
        def take(frame: Frame) -> None:
            self._images[key] = (_nanoseconds(frame.header.stamp), frame.rgb())

        self._cameras.append(FrameSubscription(self, topic, take))

    def _refuse(self, topic: str, reason: str) -> None:
        self._joints_refusal = reason
        self.stats.event(topic, "refused")
        self.report_problem(f"{topic}: {reason}")

    # ---- the worker's thread

    def _work(self) -> None:
        release = time.monotonic()
        while not self._stop.is_set():
            rate_hz = self.params.chunk_rate_hz
            wait_s = max(0.0, release - time.monotonic()) if rate_hz > 0.0 else 1.0
            self.work.waiting(wait_s)
            woken = self._wake.wait(wait_s)
            self._wake.clear()
            if rate_hz <= 0.0:  # paused
                release = time.monotonic()
                continue
            if woken and not self._instruction_is_new.is_set():  # for another rate
                period_s = 1.0 / max(self.params.chunk_rate_hz, 0.01)
                release = min(release, time.monotonic() + period_s)
                continue
            if self._stop.is_set():
                return
            self.work.busy()
            try:
                self._predict()
            except Exception as error:  # noqa: BLE001 (a policy that raises must not end the node)
                self.work_failed(f"policy {self.params.policy}", error)
            late_s = time.monotonic() - release
            if late_s >= 0.0:
                missed = int(late_s * rate_hz)
                if missed:
                    self.stats.deadline_missed(missed)
                release += (missed + 1) / rate_hz
            if self._job is not None:
                self._job.announce(release)

    def _predict(self) -> None:
        policy = self._policy
        if policy is None:
            return
        began = time.perf_counter()
        start_ns = self.get_clock().now().nanoseconds
        observation, captured_ns, trouble = self._observe(policy, start_ns)
        if trouble:
            if time.monotonic() - self._activated_s > START_S:
                self.report_problem(trouble)
            self.stats.dropped()
            return
        if self._instruction_is_new.is_set():
            self._instruction_is_new.clear()
            observation[TASK] = self._instruction
            policy.reset()
        observed = time.perf_counter()
        with self._job or contextlib.nullcontext():
            chunk = np.asarray(policy.predict_action_chunk(observation), dtype=np.float64)
            self._stretch.pad(time.perf_counter() - observed)
            if self.params.fault == "slow":
                self._stop.wait(SLOW_FAULT_S)
        if self.params.fault == "nan":
            chunk = np.full_like(chunk, np.nan)
        predicted = time.perf_counter()
        if chunk.ndim != 2 or chunk.shape[1] != len(policy.action_names) or not np.isfinite(chunk).all():
            self.count_wrong_output(
                "action_chunk",
                f"policy {policy.name} returned a chunk of shape {chunk.shape}"
                + ("" if np.isfinite(chunk).all() else " with values that are not finite")
                + f"; finite [H, {len(policy.action_names)}] is needed",
            )
            return
        if not self.is_active:
            return
        self._publish(policy, chunk, start_ns, captured_ns)
        if policy.problem:
            self.report_problem(policy.problem)
        else:
            self.clear_problem()
        latency_ms = (self.get_clock().now().nanoseconds - captured_ns) * 1e-6
        stages = {"observe": (observed - began) * 1e3, "inference": (predicted - observed) * 1e3}
        self.stats.work_done(latency_ms, stages)

    def _observe(self, policy: Policy, now_ns: int) -> tuple[dict[str, Any], int, str]:
        """Return the observation, the capture time of its oldest fresh part (ns), and what is wrong with it."""
        p = self.params
        joints = self._joints
        if joints is None:
            return {}, now_ns, "joint_states: none has come"
        captured_ns, state = joints
        trouble = _too_old("joint_states", captured_ns, now_ns, p.joint_state_age_max_s)
        if trouble and self._joints_refusal:
            trouble += f"; the last one that came {self._joints_refusal}"
        observation: dict[str, Any] = {STATE: state.copy(), TASK: self._instruction, TIME_S: now_ns / _NS}
        if ENVIRONMENT_STATE in policy.input_features:
            rows = []
            for stamp_ns, values in list(self._detections.values()):
                age_s = (now_ns - stamp_ns) / _NS
                if -FUTURE_TOLERANCE_S <= age_s <= p.detection_age_max_s:
                    aged = values.copy()
                    aged[:, -1] = max(age_s, 0.0)
                    rows.append(aged)
            empty = np.zeros((0, len(DETECTION_FIELDS)), dtype=np.float32)
            observation[ENVIRONMENT_STATE] = np.concatenate(rows) if rows else empty
        for key in self._camera_keys:
            frame = self._images.get(key)
            if frame is None:
                return {}, now_ns, f"{key.removeprefix(IMAGES)}: no image has come"
            trouble = trouble or _too_old(key.removeprefix(IMAGES), frame[0], now_ns, p.image_age_max_s)
            captured_ns = min(captured_ns, frame[0])
            observation[key] = frame[1]
        return observation, captured_ns, trouble

    def _publish(self, policy: Policy, chunk: NDArray[np.float64], start_ns: int, captured_ns: int) -> None:
        self._sequence += 1
        message = ActionChunk(
            policy=policy.name,
            sequence=self._sequence,
            start=_time(start_ns),
            step=_duration(policy.step_s),
            joint_names=list(policy.action_names),
            positions=chunk.ravel().tolist(),
        )
        message.header.stamp = _time(captured_ns)
        message.header.frame_id = self._base_frame
        self._chunks.publish(message)


def _too_old(what: str, stamp_ns: int, now_ns: int, age_max_s: float) -> str:
    """Say what is wrong with the age of an input; empty if nothing is."""
    age_s = (now_ns - stamp_ns) / _NS
    if age_s > age_max_s:
        return f"{what}: the newest is {age_s:.2f} s old, the limit is {age_max_s:g} s"
    if age_s < -FUTURE_TOLERANCE_S:
        return f"{what}: the newest is stamped {-age_s:.2f} s in the future"
    return ""


def _nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def _time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // _NS, nanosec=nanoseconds % _NS)


def _duration(duration_s: float) -> Duration:
    nanoseconds = round(duration_s * _NS)
    return Duration(sec=nanoseconds // _NS, nanosec=nanoseconds % _NS)


def main() -> None:
    """Run the policy node."""
    run(lambda: VlaNode())


if __name__ == "__main__":
    main()
