# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The task of the simulated robot: put a named object on the mark, over and over.

Its unit of work is one episode: it begins with an instruction and freshly placed objects, and ends with success (the
object rests on the mark, nothing holds it, and the arm is out of the way) or with the time-out. It judges by the
simulator's truth and tells the robot nothing but the instruction.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from edge_stack_sim.scene import OBJECTS
from edge_stack_sim.world import World

TIMEOUT_S = 20.0
REST_S = 0.3  # how long the object must rest
REST_SPEED = 0.01  # m/s
WITHDRAWN_HEIGHT = 0.05  # m; the tool is out of the way from here


class TaskState(Enum):
    """How the present episode stands."""

    WAITING = "waiting"  # for a first command
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    TIMED_OUT = "timed_out"


class PlaceTask:
    """Episodes of "put the <object> on the mark" in a world.

    Args:
        world: judged, and set up anew for each episode.
        seed: of the sequence of objects and places.
        timeout_s: an episode that takes longer has failed.
    """

    def __init__(self, world: World, seed: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        self._world = world
        self._rng = np.random.default_rng(seed)
        self.timeout_s = timeout_s
        self.target = ""
        self.instruction = ""
        self.state = TaskState.WAITING
        self.attempts = 0
        self.successes = 0
        self.last_success_s = float("nan")
        self._began_s = 0.0
        self._rests_since_s: float | None = None

    @property
    def episode_s(self) -> float:
        """Time since the episode began."""
        return self._world.time_s - self._began_s if self.state is not TaskState.WAITING else 0.0

    def prepare(self) -> None:
        """Place everything anew and choose an object; the clock of the episode starts with `start`."""
        self._world.place_objects(self._rng)
        self.target = str(self._rng.choice(OBJECTS))
        self.instruction = f"put the {self.target.replace('_', ' ')} on the mark"
        self.state = TaskState.WAITING

    def adopt(self, instruction: str) -> bool:
        """Judge somebody else's instruction from now on, with things where they are; whether it names one object."""
        words = instruction.lower().replace("_", " ")
        named = [name for name in OBJECTS if name.replace("_", " ") in words]
        if len(named) != 1:
            return False
        self.target, self.instruction = named[0], instruction
        self.state = TaskState.WAITING
        return True

    def start(self) -> None:
        """Start the clock of a waiting episode."""
        if self.state is TaskState.WAITING and self.target:
            self.state = TaskState.RUNNING
            self._began_s = self._world.time_s
            self._rests_since_s = None

    def update(self) -> bool:
        """Judge the running episode; whether it has just ended (`state` says how)."""
        if self.state is not TaskState.RUNNING:
            return False
        now_s = self._world.time_s
        if not self._is_placed():
            self._rests_since_s = None
        elif self._rests_since_s is None:
            self._rests_since_s = now_s
        if self._rests_since_s is not None and now_s - self._rests_since_s >= REST_S:
            self.attempts += 1
            self.successes += 1
            self.last_success_s = self.episode_s
            self.state = TaskState.SUCCEEDED
        elif self.episode_s >= self.timeout_s:
            self.attempts += 1
            self.state = TaskState.TIMED_OUT
        return self.state is not TaskState.RUNNING

    def _is_placed(self) -> bool:
        world = self._world
        position = world.object_pose(self.target)[:3]
        return bool(
            np.linalg.norm(position[:2] - world.mark_position) <= world.style.mark_radius
            and position[2] <= world.style.object_sizes[self.target] * 0.6
            and world.object_speed(self.target) < REST_SPEED
            and not world.is_touched(self.target)
            and world.tool_position[2] >= WITHDRAWN_HEIGHT
        )
