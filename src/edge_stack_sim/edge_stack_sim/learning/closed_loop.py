# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""One policy, one simulated table, no ROS: frames go in, chunks come out late, commands go out at 24 Hz.

Its unit of work is one episode. Chunks are executed as fusion executes them (its queue, its blends, the robot's speed
limits), so that what succeeds here succeeds there. Time is the simulator's: an episode takes as long as it takes to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_stack_control.chunk_intake import ActionChunk
from edge_stack_control.chunk_queue import ChunkQueue
from edge_stack_core.robot import Robot
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World

Predict = Callable[[NDArray[np.uint8], NDArray[np.float64], str, float], NDArray[np.float64]]
"""Frame as the camera gives it [240, 320, 3], joint positions [6] (rad), instruction, time (s) -> chunk [H, 6] (rad)."""
Observer = Callable[[NDArray[np.uint8], NDArray[np.float64], PlaceTask], None]
"""Is told each frame and joint positions from which a chunk was asked for."""


@dataclass(frozen=True)
class PhysicsPace:
    """Control steps in physics steps: 24 Hz is 10 1/3 of them."""

    step_s: float = 1.0 / 24.0

    def physics_steps(self, number: int) -> int:
        """Physics steps of a control step, counted from 0."""
        return 11 if number % 3 == 0 else 10


EPISODE = PhysicsPace()


class ClosedLoop:
    """
    Runs episodes.

    latency_s: from asking to the chunk. period_s: between two chunks. frame_age_s: of the frame when a chunk is asked for,
    at least. All may be changed any time. frame_s: when the newest frame was taken.
    """

    def __init__(
        self,
        world: World,
        robot: Robot,
        predict: Predict,
        latency_s: float = 0.06,
        period_s: float = 0.2,
        frame_age_s: float = 0.06,
    ) -> None:
        self.world, self.robot, self.predict = world, robot, predict
        self.latency_s, self.period_s, self.frame_age_s = latency_s, period_s, frame_age_s
        self.observer: Observer | None = None
        self.command = self.last_command = world.joint_positions
        self.frame_s = world.time_s

    def run(self, task: PlaceTask) -> TaskState:
        """Run a prepared task to its end."""
        self._begin()
        task.start()
        while not task.update():
            self._step(task)
        return task.state

    def go_on(self, task: PlaceTask, duration_s: float) -> None:
        """Go on for a time after the task has ended."""
        end_s = self.world.time_s + duration_s
        while self.world.time_s < end_s:
            self._step(task)

    def _begin(self) -> None:
        self._queue = ChunkQueue(len(self.robot.joints))
        self.command = self.last_command = self.world.joint_positions
        self._next_s, self._number = self.world.time_s, 0
        self._frame: NDArray[np.uint8] | None = None
        self._pending: tuple[float, ActionChunk] | None = None

    def _step(self, task: PlaceTask) -> None:
        now_s = self.world.time_s
        if self._frame is None and now_s >= self._next_s - self.frame_age_s:
            self._frame, self.frame_s = self.world.render(), now_s
        if self._frame is not None and now_s >= self._next_s - 1e-9:
            frame, state = self._frame, self.world.joint_positions
            self._frame = None
            chunk = np.asarray(self.predict(frame, state, task.instruction, now_s), dtype=np.float64)
            if self.observer is not None:
                self.observer(frame, state, task)
            positions = ActionChunk(now_s, now_s, EPISODE.step_s, self.robot.joint_names, chunk)
            self._pending = (now_s + self.latency_s, positions)
            self._next_s += self.period_s
        if self._pending is not None and now_s >= self._pending[0]:
            self._queue.push(self._pending[1], now_s)
            self._pending = None
        if self._queue.has_actions:
            self.last_command = self.command
            reach = self.robot.velocity_max * EPISODE.step_s
            wanted = self._queue.sample(now_s)
            self.command = np.clip(wanted, self.last_command - reach, self.last_command + reach)
        self.world.step(self.command, EPISODE.physics_steps(self._number))
        self._number += 1
