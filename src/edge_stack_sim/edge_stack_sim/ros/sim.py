# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot as a node: joint commands in, joint states and camera frames out, and a task to do.

Its units of work are a physics step and a camera frame, both made by one thread on a grid of absolute times. What it
cannot do in time it skips, so that simulated time falls behind rather than running faster later. It judges the task by
the simulator's truth but publishes none of it, except as markers for people and as the task's score.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from edge_stack_msgs.msg import TaskStatus
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import CameraModel, Robot, find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.command_messages import FORMATS, read_command
from edge_stack_core.ros.frames import FramePublisher
from edge_stack_core.ros.latched import subscribe_to_state
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter
from edge_stack_core.ros.robot_frames import FRAME_PREFIX, TOPIC, camera_frames
from edge_stack_sim import gl
from edge_stack_sim.faults import Faults
from edge_stack_sim.ros.markers import scene_markers
from edge_stack_sim.scene import CAMERA, HEIGHT, JOINTS, ROBOT, TIMESTEP_S, WIDTH
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.urdf import robot_description
from edge_stack_sim.world import World

PAUSE_S = 0.5  # between the end of an episode and the next
STATUS_PERIOD_S = 0.5
MARKER_PERIOD_S = 0.1


class SimNode(StackNode):
    """A table-top arm with a camera."""

    PARAMETERS = (
        Parameter("robot_file", "", "Robot description (YAML); empty: so101_sim, which is simulated."),
        FRAME_PREFIX,
        Parameter("seed", 0, "Seed of places, instructions and noise.", minimum=0, maximum=2**31 - 1),
        Parameter(
            "joint_state_rate_hz", 50.0, "Rate of joint_states and of physics.", minimum=10.0, maximum=250.0
        ),
        Parameter("camera_rate_hz", 15.0, "Rate of camera frames.", minimum=1.0, maximum=60.0),
        Parameter("command_format", "joint_state", "Message type of joint_command.", choices=tuple(FORMATS)),
        Parameter(
            "task",
            "random",
            "Who gives instructions: the simulator at random, somebody else on the topic, or nobody.",
            choices=("random", "external", "none"),
        ),
        Parameter("timeout_s", 20.0, "Time after which an attempt has failed.", minimum=1.0, maximum=3600.0),
        Parameter("camera_stall", False, "Fault: no frames come.", live=True),
        Parameter(
            "camera_noise", 0.0, "Fault: noise on pixels, grey levels.", minimum=0.0, maximum=128.0, live=True
        ),
        Parameter(
            "frame_flood", 0, "Fault: further copies of each frame.", minimum=0, maximum=100, live=True
        ),
        Parameter("arm_stuck", False, "Fault: the arm does not follow its commands.", live=True),
        Parameter(
            "arm_sag",
            0.0,
            "Fault: how far below its command each joint but the gripper rests, rad.",
            minimum=0.0,
            maximum=0.5,
            live=True,
        ),
        Parameter("hand", False, "Fault: a person's hand reaches over the table.", live=True),
    )

    def __init__(self, name: str = "sim", **kwargs: Any) -> None:
        self._world: World | None = None
        self._frames: FramePublisher | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        super().__init__(name, **kwargs)

    # ---- lifecycle

    def configure_node(self) -> None:
        """Build the scene, see that it can be drawn, and set up topics."""
        p = self.params
        path = p.robot_file or find_robot(ROBOT)
        self._robot = load_robot(path)
        self._camera = _check_robot(self._robot, str(path))
        self._world = World(seed=p.seed)
        try:
            self._world.render()
        except gl.RenderingUnavailableError as error:
            raise ConfigurationError(str(error)) from error
        finally:
            self._world.close()  # drawing is up to the thread of activate
        self._task = PlaceTask(self._world, p.seed, p.timeout_s)
        self._faults = Faults(p.camera_stall, p.camera_noise, p.hand, p.frame_flood, p.arm_stuck, p.arm_sag)
        self._rng = np.random.default_rng(p.seed)
        self._command: NDArray[np.float64] = self._world.joint_positions
        self._commanded = False
        self._instruction_in: str | None = None

        self._frames = FramePublisher(self, "image_raw", p.camera_rate_hz)
        self._infos = self.publisher(CameraInfo, "camera_info", qos.frame(p.camera_rate_hz))
        self._states = self.publisher(JointState, "joint_states", qos.sensor(p.joint_state_rate_hz))
        self._statuses = self.publisher(TaskStatus, "task_status", qos.state())
        self._markers = self.publisher(MarkerArray, "~/markers", qos.result())
        self._descriptions = self.publisher(String, "robot_description", qos.state())
        self._frames_of_cameras = self.publisher(TFMessage, TOPIC, qos.state())
        self.subscription(FORMATS[p.command_format], "joint_command", self._take_command, qos.command(0.0))
        if p.task == "random":
            self._instructions = self.publisher(String, "instruction", qos.state())
        elif p.task == "external":
            subscribe_to_state(self, String, "instruction", self._take_instruction)
        self._base_frame = p.frame_prefix + self._robot.base_frame
        self._info = _camera_info(self._camera, p.frame_prefix + self._camera.frame_id)
        self._state = JointState(name=list(JOINTS))
        self._state.header.frame_id = self._base_frame

    def activate_node(self) -> None:
        """Start time."""
        self._descriptions.publish(String(data=_description(self._robot)))
        stamp = self.get_clock().now().to_msg()
        self._frames_of_cameras.publish(camera_frames(self._robot, self.params.frame_prefix, stamp))
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)
        self._thread.start()

    def deactivate_node(self) -> None:
        """Stop time. The scene stays as it is."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def cleanup_node(self) -> None:
        """Forget the scene."""
        self._world = None
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Switch faults."""
        if self._world is not None:
            for name, value in changed.items():
                setattr(self._faults, name, value)

    def target_hz(self) -> float:
        """Rate of camera frames."""
        return float(self.params.camera_rate_hz)

    # ---- from topics (the executor's thread)

    def _take_command(self, message: Any) -> None:
        try:
            self._command = read_command(message, JOINTS, self._command)
        except ValueError as error:
            self.stats.event("joint_command", "refused")
            self.report_problem(f"joint_command: {error}")
            return
        self._commanded = True
        self.clear_problem()

    def _take_instruction(self, message: String) -> None:
        self._instruction_in = message.data

    # ---- the thread of physics and camera

    def _run(self) -> None:
        try:
            self._simulate()
        except Exception as error:  # noqa: BLE001 (a defect here must show in the node's status, not vanish in a thread)
            self.count_raised("physics", error)
            self.report_problem(f"the simulation stopped: {type(error).__name__}: {error}")
        finally:
            self.work.ended()
            if self._world is not None:
                self._world.close()

    def _simulate(self) -> None:
        world = self._world
        assert world is not None
        steps = max(1, round(1.0 / (self.params.joint_state_rate_hz * TIMESTEP_S)))
        step_s, frame_s = steps * TIMESTEP_S, 1.0 / self.params.camera_rate_hz
        world.render()
        if self.params.task == "random" and not self._task.instruction:
            self._begin_episode()
        next_step = next_frame = time.monotonic()
        next_status = next_markers = next_step
        ended_s: float | None = None
        while not self._stop.is_set():
            now = time.monotonic()
            due = min(next_step, next_frame)
            if now < due:
                self.work.waiting(due - now)
                time.sleep(min(due - now, 0.05))
                continue
            self.work.busy()
            if now >= next_step:
                next_step = self._next(next_step, step_s, now)
                self._faults.step(world, step_s)
                world.step(self._faults.command(self._command) if self._commanded else None, steps)
                self._publish_joints(world)
                ended_s = self._run_task(world, ended_s)
            if now >= next_frame:
                next_frame = self._next(next_frame, frame_s, now)
                self._publish_frame(world)
            if now >= next_status:
                next_status = now + STATUS_PERIOD_S
                self._publish_status()
            if now >= next_markers:
                next_markers = now + MARKER_PERIOD_S
                if self._markers.get_subscription_count() > 0:
                    stamp = self.get_clock().now().to_msg()
                    self._markers.publish(scene_markers(world, self._base_frame, stamp))

    def _next(self, due: float, period_s: float, now: float) -> float:
        """The release after this one on the same grid; those that have passed already are skipped and counted."""
        missed = int((now - due) / period_s)
        if missed:
            self.stats.deadline_missed(missed)
        return due + (missed + 1) * period_s

    def _run_task(self, world: World, ended_s: float | None) -> float | None:
        """Judge the episode, begin the next after a pause; returns when the last one ended (s), None while one runs."""
        task = self._task
        if self._instruction_in is not None:
            text, self._instruction_in = self._instruction_in, None
            if task.adopt(text):
                ended_s = None
                self._publish_status()
        if self._commanded:
            task.start()
        if task.update():
            self.get_logger().info(
                f"{task.instruction}: {task.state.value} after {task.episode_s:.1f} s"
                f" ({task.successes} of {task.attempts})"
            )
            self._publish_status()
            return world.time_s
        if ended_s is not None and self.params.task == "random" and world.time_s - ended_s >= PAUSE_S:
            self._begin_episode()
            return None
        return ended_s

    def _begin_episode(self) -> None:
        self._task.prepare()
        if self._commanded:
            self._task.start()
        self._instructions.publish(String(data=self._task.instruction))
        self._publish_status()

    def _publish_joints(self, world: World) -> None:
        self._state.header.stamp = self.get_clock().now().to_msg()
        self._state.position = world.joint_positions.tolist()
        self._state.velocity = world.joint_velocities.tolist()
        self._states.publish(self._state)

    def _publish_frame(self, world: World) -> None:
        began = time.perf_counter()
        stamp = self.get_clock().now().to_msg()
        image = self._faults.frame(world.render(), self._rng)
        rendered = time.perf_counter()
        if image is None:
            self.stats.dropped()
            return
        self._info.header.stamp = stamp
        if self._frames is not None:
            for _ in range(1 + self._faults.frame_flood):
                self._frames.publish(image, "rgb8", self._info.header)
        self._infos.publish(self._info)
        ended = time.perf_counter()
        stages = {"render": (rendered - began) * 1e3, "publish": (ended - rendered) * 1e3}
        self.stats.work_done((ended - began) * 1e3, stages)

    def _publish_status(self) -> None:
        task = self._task
        status = TaskStatus(
            instruction=task.instruction,
            state=task.state.value,
            episode_s=task.episode_s if task.state is TaskState.RUNNING else 0.0,
            timeout_s=task.timeout_s,
            attempts=task.attempts,
            successes=task.successes,
            last_success_s=task.last_success_s,
        )
        status.header.stamp = self.get_clock().now().to_msg()
        self._statuses.publish(status)


def _check_robot(robot: Robot, path: str) -> CameraModel:
    """The robot's camera; ConfigurationError if the file describes another robot than the one simulated here."""
    if robot.joint_names != JOINTS:
        raise ConfigurationError(
            f"robot_file: {path} has the joints {', '.join(robot.joint_names)}; simulated are {', '.join(JOINTS)}"
        )
    camera = robot.cameras.get(CAMERA)
    if camera is None or (camera.width, camera.height) != (WIDTH, HEIGHT):
        raise ConfigurationError(
            f"robot_file: {path} lacks the simulated camera '{CAMERA}' of {WIDTH}x{HEIGHT} pixels"
        )
    return camera


def _description(robot: Robot) -> str:
    if robot.urdf is not None:
        return robot.urdf.read_text(encoding="utf-8")
    return robot_description(robot.base_frame, robot.name)


def _camera_info(camera: CameraModel, frame_id: str) -> CameraInfo:
    info = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.frame_id = frame_id
    matrix = camera.intrinsics()
    info.k = matrix.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack((matrix, np.zeros((3, 1)))).ravel().tolist()
    return info


def main() -> None:
    """Run the simulated robot."""
    run(lambda: SimNode())


if __name__ == "__main__":
    main()
