# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Records what a running stack sees and commands as a LeRobot dataset: demonstrations, from whoever drives the robot.

Its unit of work is one command: with it go the newest image of each camera and the newest joint states, under the keys and
in the units of a policy contract. Callbacks only put steps into a bounded queue; a thread of its own writes them. It sends
nothing. An episode with a hole (steps that were lost or came without fresh inputs) is thrown away, and that is said.

    ./edge record-dataset --contract so101_sim --out DIR --episodes 50
"""

from __future__ import annotations

import argparse
import math
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from edge_stack_msgs.msg import TaskStatus
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.image_codec import ImageError
from edge_stack_core.robot import Robot, find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.command_messages import FORMATS, read_command
from edge_stack_core.ros.image_messages import read_rgb
from edge_stack_core.ros.latched import TakenOnce
from edge_stack_core.ros.stamps import to_seconds
from edge_stack_policy.contract import ImageFeature, PolicyContract, load_contract, to_units
from edge_stack_policy.lerobot.dataset import DatasetWriter
from edge_stack_record.episodes import Ended, Episodes, Steps

__all__ = ["DatasetRecorder", "main"]

QUEUE_STEPS = 480
"""Steps that may wait for the writer: 20 s at 24 Hz, an episode's writing."""
COMMANDS_UNREAD = 20
AGE_MAX_S = 0.5
"""Older images and joint states make no step."""
SAY_S = 2.0
"""What is missing for so long is worth a word, once."""
HOLE_MAX_S = 0.2
"""Time without a step that an episode may have; the dataset says that there is none."""
WRITER_THREADS = 2

Step = tuple[dict[str, Any], NDArray[np.float64], str]


class DatasetRecorder:
    """
    Records through a node that somebody else spins, until it is closed.

    kept, thrown_away: episodes. problem: why nothing is written any more, empty while all is well.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        contract: PolicyContract,
        writer: DatasetWriter,
        *,
        keep_all: bool = False,
        episodes: int = 0,
        command_format: str = "joint_state",
    ) -> None:
        """
        Listen and write.

        keep_all: failed episodes too. episodes: that are kept at most; 0: any number. command_format: of joint_command, as
        fusion sends it.
        """
        self.kept = self.thrown_away = 0
        self.problem = ""
        self._node, self._robot, self._contract, self._writer = node, robot, contract, writer
        self._keep_all, self._limit = keep_all, episodes or math.inf
        self._episodes = Episodes()
        self._steps = Steps(writer.fps)
        self._spoiled = ""
        self._images: dict[str, tuple[float, Image]] = {}
        self._joints: tuple[float, JointState] | None = None
        self._command = robot.home
        self._commanded = False
        self._queue: queue.Queue[Step | tuple[Ended, str] | None] = queue.Queue(QUEUE_STEPS)
        self._thread = threading.Thread(target=self._write, name="dataset", daemon=True)
        self._thread.start()
        for image in contract.images:
            self._listen(image)
        if contract.state is not None:
            profile = qos.sensor(offered=False)
            node.create_subscription(JointState, contract.state.topic, self._take_joints, profile)
        commands = qos.command(0.0, offered=False)
        commands.depth = COMMANDS_UNREAD
        node.create_subscription(FORMATS[command_format], "joint_command", self._take_command, commands)
        once = TakenOnce(self._take_instruction)
        node.create_subscription(String, contract.task_topic, once.latched, qos.state())
        node.create_subscription(String, contract.task_topic, once.plain, qos.request())
        node.create_subscription(TaskStatus, "task_status", self._take_status, qos.state())

    def close(self) -> None:
        """End the last episode, write what is waiting, and complete the dataset. The node must not spin any more."""
        self._end(self._episodes.end())
        self._queue.put(None)
        self._thread.join()
        self._writer.close()

    @property
    def complete(self) -> bool:
        """Whether there are as many episodes as were wanted."""
        return self.kept >= self._limit

    def waits_for(self) -> str:
        """Return what has not come that an episode needs, in words; empty where nothing is missing."""
        missing = [image.topic for image in self._contract.images if image.key not in self._images]
        if self._contract.state is not None and self._joints is None:
            missing.append(self._contract.state.topic)
        if not self._commanded:
            missing.append("joint_command")
        if not self._episodes.task:
            missing.append(f"a task on {self._contract.task_topic}")
        return ", ".join(missing)

    # ---- from topics (the node's thread)

    def _listen(self, image: ImageFeature) -> None:
        def take(message: Image) -> None:
            self._images[image.key] = (to_seconds(message.header.stamp), message)

        self._node.create_subscription(Image, image.topic, take, qos.frame(offered=False))

    def _take_joints(self, message: JointState) -> None:
        self._joints = (to_seconds(message.header.stamp), message)

    def _take_instruction(self, message: String) -> None:
        self._end(self._episodes.take_instruction(message.data))

    def _take_status(self, message: TaskStatus) -> None:
        self._end(self._episodes.take_status(message.state, message.instruction, message.attempts))

    def _take_command(self, message: Any) -> None:
        self._commanded = True
        try:
            self._command = read_command(message, self._robot.joint_names, self._command)
        except ValueError as error:
            if self._episodes.task:
                self._spoiled = f"joint_command: {error}"
            return
        now_s = self._node.get_clock().now().nanoseconds * 1e-9
        stamp = getattr(getattr(message, "header", None), "stamp", None)
        at_s = (to_seconds(stamp) if stamp is not None else 0.0) or now_s
        if not self._episodes.task or self._spoiled or not self._steps.take(at_s):
            return
        if self._steps.hole_s > HOLE_MAX_S:
            self._spoiled = f"{self._steps.hole_s:.2f} s without a command"
            return
        try:
            step = (self._observation(at_s), self._action(), self._episodes.task)
            self._queue.put_nowait(step)
        except (ValueError, ImageError) as error:
            self._spoiled = str(error)
        except queue.Full:
            self._spoiled = f"writing takes too long; {QUEUE_STEPS} steps wait"

    def _observation(self, at_s: float) -> dict[str, Any]:
        """Return what a policy would see now; ValueError if a part is missing or old."""
        observation: dict[str, Any] = {}
        for image in self._contract.images:
            kept = self._images.get(image.key)
            if kept is None or at_s - kept[0] > AGE_MAX_S:
                raise ValueError(f"{image.topic}: no image for {AGE_MAX_S:g} s")
            observation[image.key] = image.fit(read_rgb(kept[1]))
        state = self._contract.state
        if state is not None:
            if self._joints is None or at_s - self._joints[0] > AGE_MAX_S:
                raise ValueError(f"{state.topic}: no joint states for {AGE_MAX_S:g} s")
            positions = dict(zip(self._joints[1].name, self._joints[1].position))
            missing = [name for name in state.fields if name not in positions]
            if missing:
                raise ValueError(f"{state.topic}: lacks {', '.join(missing)}")
            observation[state.key] = to_units(state, [positions[name] for name in state.fields])
        return observation

    def _action(self) -> NDArray[np.float64]:
        names = self._robot.joint_names
        return self._command[[names.index(name) for name in self._contract.action.joints]]

    def _end(self, ended: Ended | None) -> None:
        """Send the end of an episode after its steps, and begin the next."""
        if ended is None:
            return
        self._queue.put((ended, self._spoiled))
        self._spoiled = ""
        self._steps.begin()

    # ---- the writer's thread

    def _write(self) -> None:
        refused = ""
        while (item := self._queue.get()) is not None:
            if self.problem:
                continue  # nobody may wait for a full queue
            try:
                if len(item) == 2:
                    self._end_episode(item[0], item[1] or refused)
                    refused = ""
                elif not refused:
                    self._writer.add(*item)
            except ValueError as error:
                refused = str(error)
            except Exception as error:  # noqa: BLE001 (a full disk must not end the spinning; the caller looks at problem)
                self.problem = f"writing ended: {type(error).__name__}: {error}"
                self._say(self.problem)

    def _end_episode(self, ended: Ended, spoiled: str) -> None:
        frames = self._writer.pending
        wanted = ended.is_wanted(self._keep_all) and not self.complete
        if self._writer.end_episode(keep=wanted and not spoiled):
            self.kept += 1
            how = {True: "succeeded", False: "failed", None: "ended"}[ended.succeeded]
            self._say(f"episode {self.kept}: {ended.task}: {how}, {frames} frames")
        elif frames or spoiled:
            self.thrown_away += 1
            self._say(f"thrown away: {ended.task}: {spoiled or ended.why}")

    def _say(self, text: str) -> None:
        self._node.get_logger().info(text)


# ---- as a program


def main(argv: Sequence[str] | None = None) -> int:
    """Record a stack that runs already; return 0 when an episode was kept."""
    parser = argparse.ArgumentParser(
        prog="edge record-dataset", description="Record a running stack as a LeRobot dataset."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new dataset")
    parser.add_argument("--contract", required=True, help="policy contract: a file, or a shipped one's name")
    parser.add_argument(
        "--robot", required=True, help="its description: a .yaml file, or a shipped robot's name"
    )
    parser.add_argument("--episodes", type=int, default=0, help="end after so many kept ones; 0: no limit")
    parser.add_argument("--duration", type=float, default=0.0, help="end after so many seconds; 0: no limit")
    parser.add_argument(
        "--keep", choices=("succeeded", "all"), default="succeeded", help="where a task is judged"
    )
    parser.add_argument("--videos", action="store_true", help="cameras as video files instead of images")
    parser.add_argument("--command-format", choices=tuple(FORMATS), default="joint_state")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    options = parser.parse_args(argv)
    try:
        robot = load_robot(find_robot(options.robot))
        contract = load_contract(options.contract, robot)
        if contract.environment_state is not None:
            raise ConfigurationError(f"{contract.path}: environment_state: detections are not recorded")
        writer = DatasetWriter(
            options.out, contract, robot_type=robot.name, videos=options.videos, writer_threads=WRITER_THREADS
        )
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    context = Context()
    rclpy.init(context=context)
    node = Node("record_dataset", context=context, namespace=options.namespace or None)
    recorder = DatasetRecorder(
        node,
        robot,
        contract,
        writer,
        keep_all=options.keep == "all",
        episodes=options.episodes,
        command_format=options.command_format,
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the dataset is completed
    begin_s = time.monotonic()
    end_s, said = begin_s + (options.duration or float("inf")), {""}
    print(f"{writer.folder}: records until {_until(options)}", file=sys.stderr, flush=True)
    try:
        while (now_s := time.monotonic()) < end_s and not recorder.problem and not recorder.complete:
            executor.spin_once(timeout_sec=0.1)
            missing = recorder.waits_for() if now_s - begin_s >= SAY_S else ""
            if missing not in said:
                said.add(missing)
                print(f"waits for {missing}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        recorder.close()
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    print(
        f"{writer.folder}: {writer.episodes} episodes, {writer.frames} frames; {recorder.thrown_away} thrown away"
    )
    return 0 if writer.episodes and not recorder.problem else 1


def _until(options: argparse.Namespace) -> str:
    """Return what ends a recording, in words."""
    ends = [f"{options.episodes} episodes are kept"] * bool(options.episodes)
    ends += [f"{options.duration:g} s are over"] * bool(options.duration)
    return " or ".join([*ends, "Ctrl-C"])


if __name__ == "__main__":
    sys.exit(main())
