# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Puts the named object on the mark, from detections and joint positions alone.

Its unit of work is one prediction: it brings its state machine (`ServoPhase`, `TRANSITIONS`) up to date with what the camera
and the joints say, then plays the coming second ahead, assuming that all goes well, and returns that as the chunk. The
next prediction starts where the last chunk would be by then, so that chunks join without a jump. It never sees the
simulator's truth, and it never gives up: what fails is looked at again and tried again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.device import CPU
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import FixedCamera
from edge_stack_policy.base import ENVIRONMENT_STATE, STATE, TASK, TIME_S, Observation
from edge_stack_policy.settings import PolicySettings
from edge_stack_policy.visual_servo.kinematics import ArmKinematics, ToolPose, tool_above
from edge_stack_policy.visual_servo.motion import Goal, Motion, MotionLimits, sideways_distance, step
from edge_stack_policy.visual_servo.scene_memory import SceneMemory

CLASS_NAMES = ("red_cube", "green_cube", "blue_cube", "yellow_cylinder", "mark", "gripper", "hand")
OBJECTS = CLASS_NAMES[:4]
MARK = "mark"
OBJECT_SIZE = 0.03  # m
MARK_DIAMETER = 0.08  # m

HOVER_HEIGHT = 0.085  # m
GRASP_HEIGHT = 0.009  # m; fingertips above the table
RELEASE_HEIGHT = 0.011  # m
OPEN, CLOSED = 0.90, 0.20  # rad
HELD, HELD_MAX = 0.33, 0.585  # rad; a closed gripper that stays between these holds something
CLOSE_S, CLOSE_AHEAD_S = 0.28, 0.40  # time to close: at least, and as assumed when playing ahead
TRACKING_S = 0.10  # how far the arm lags behind its commands, when playing ahead
BLOCKED_S, BLOCKED_HEIGHT = 4.0, 0.045  # s, m
CLOCK_JUMP_S = 0.5
VERIFY_S = 2.5
ON_MARK = 0.024  # m from the mark's centre
DIVERGED = 0.40  # rad between plan and joints, beyond which the plan starts anew from the joints
RETRY_ROLLS = (0.0, 0.6, -0.6)  # rad; the gripper is turned differently at each attempt


class ServoPhase(Enum):
    """What the arm is doing."""

    IDLE = auto()  # no (understood) instruction: holds
    SEARCH = auto()  # at home, out of the camera's way, until object and mark are known
    REACH = auto()  # above the object
    DESCEND = auto()
    CLOSE = auto()
    LIFT = auto()
    CARRY = auto()  # above the mark
    LOWER = auto()
    OPEN = auto()
    RETREAT = auto()
    VERIFY = auto()  # at home, until the camera says whether it worked
    DONE = auto()  # at home, watching that the object stays on the mark


class ServoEvent(Enum):
    """What makes a phase end."""

    ASKED = auto()  # an instruction is there and understood
    FOUND = auto()  # object and mark are known and within reach
    ARRIVED = auto()
    HOLDING = auto()
    EMPTY = auto()  # the gripper holds nothing
    BLOCKED = auto()  # does not arrive
    ON_MARK = auto()
    OFF_MARK = auto()
    UNSEEN = auto()  # the object does not show up


TRANSITIONS: dict[tuple[ServoPhase, ServoEvent], ServoPhase] = {
    (ServoPhase.IDLE, ServoEvent.ASKED): ServoPhase.SEARCH,
    (ServoPhase.SEARCH, ServoEvent.FOUND): ServoPhase.REACH,
    (ServoPhase.SEARCH, ServoEvent.ON_MARK): ServoPhase.DONE,
    (ServoPhase.REACH, ServoEvent.ARRIVED): ServoPhase.DESCEND,
    (ServoPhase.DESCEND, ServoEvent.ARRIVED): ServoPhase.CLOSE,
    (ServoPhase.DESCEND, ServoEvent.BLOCKED): ServoPhase.SEARCH,
    (ServoPhase.CLOSE, ServoEvent.HOLDING): ServoPhase.LIFT,
    (ServoPhase.CLOSE, ServoEvent.EMPTY): ServoPhase.SEARCH,
    (ServoPhase.LIFT, ServoEvent.ARRIVED): ServoPhase.CARRY,
    (ServoPhase.LIFT, ServoEvent.EMPTY): ServoPhase.SEARCH,
    (ServoPhase.CARRY, ServoEvent.ARRIVED): ServoPhase.LOWER,
    (ServoPhase.CARRY, ServoEvent.EMPTY): ServoPhase.SEARCH,
    (ServoPhase.LOWER, ServoEvent.ARRIVED): ServoPhase.OPEN,
    (ServoPhase.LOWER, ServoEvent.EMPTY): ServoPhase.SEARCH,
    (ServoPhase.LOWER, ServoEvent.BLOCKED): ServoPhase.OPEN,
    (ServoPhase.OPEN, ServoEvent.ARRIVED): ServoPhase.RETREAT,
    (ServoPhase.RETREAT, ServoEvent.ARRIVED): ServoPhase.VERIFY,
    (ServoPhase.VERIFY, ServoEvent.ON_MARK): ServoPhase.DONE,
    (ServoPhase.VERIFY, ServoEvent.OFF_MARK): ServoPhase.SEARCH,
    (ServoPhase.VERIFY, ServoEvent.UNSEEN): ServoPhase.SEARCH,
    (ServoPhase.DONE, ServoEvent.OFF_MARK): ServoPhase.SEARCH,
}

_HOLDING = (ServoPhase.LIFT, ServoPhase.CARRY, ServoPhase.LOWER)
_OBJECT_FROZEN = (ServoPhase.DESCEND, ServoPhase.CLOSE, *_HOLDING, ServoPhase.OPEN, ServoPhase.RETREAT)
_MARK_FROZEN = (ServoPhase.LOWER, ServoPhase.OPEN, ServoPhase.RETREAT)
_AT_HOME = (ServoPhase.SEARCH, ServoPhase.VERIFY, ServoPhase.DONE)


class InstructionError(ValueError):
    """An instruction that the policy cannot follow; the text says why."""


def parse_instruction(text: str) -> str:
    """Name of the object that an instruction wants on the mark; InstructionError if it cannot be followed."""
    words = " ".join(re.findall(r"[a-z]+", text.lower()))
    named = [name for name in OBJECTS if re.search(rf"\b{name.replace('_', ' ')}\b", words)]
    known = ", ".join(name.replace("_", " ") for name in OBJECTS)
    if not named:
        raise InstructionError(f"instruction '{text}' names no known object; known are: {known}")
    if len(named) > 1:
        raise InstructionError(f"instruction '{text}' names more than one object; one at a time: {known}")
    if not re.search(r"\bmark\b", words):
        raise InstructionError(
            f"instruction '{text}' does not say where to; the only known place is the mark"
        )
    return named[0]


@dataclass(slots=True)
class _Course:
    """The state machine's own state: phase, since when (s), since when at its goal, where to grasp and to release."""

    phase: ServoPhase = ServoPhase.IDLE
    since_s: float = 0.0
    arrived_s: float | None = None
    grasp: ToolPose | None = None
    release: ToolPose | None = None

    def copy(self) -> _Course:
        return _Course(self.phase, self.since_s, self.arrived_s, self.grasp, self.release)


class VisualServo:
    """The policy "visual_servo"."""

    name = "visual_servo"
    input_features: tuple[str, ...] = (STATE, ENVIRONMENT_STATE, TASK)
    class_names: tuple[str, ...] = CLASS_NAMES
    guides_chunks = False  # each chunk starts where the last one would be by then

    def __init__(self, settings: PolicySettings) -> None:
        robot = settings.robot
        cameras = robot.cameras
        fixed = {name: one for name, one in cameras.items() if isinstance(one, FixedCamera)}
        camera = settings.camera or next(iter(fixed), next(iter(cameras), ""))
        if camera in cameras and camera not in fixed:
            raise ConfigurationError(
                f"visual_servo: camera '{camera}' of robot {robot.name} has no position and look_at; visual_servo reckons"
                f" where things are from a fixed camera; the robot has: {', '.join(fixed) or 'none'}"
            )
        if camera not in cameras:
            raise ConfigurationError(
                f"visual_servo: robot {robot.name} has no camera '{camera}'; it has: {', '.join(cameras) or 'none'}"
            )
        if len(robot.joints) != 6:
            raise ConfigurationError(
                f"visual_servo: needs pan, lift, elbow, wrist, roll and gripper; robot {robot.name} has"
                f" {len(robot.joints)} joints"
            )
        self.device = CPU  # whatever the settings say
        self.action_names = robot.joint_names
        self.step_s = settings.step_s
        self.horizon = settings.horizon
        self.problem = ""
        self._arm = ArmKinematics.of(robot)
        self._limits = MotionLimits(robot.position_min, robot.position_max, 0.95 * robot.velocity_max)
        self._home = Goal(self._arm.forward(robot.home), float(robot.home[5]))
        sizes = dict.fromkeys(OBJECTS, (OBJECT_SIZE, OBJECT_SIZE)) | {MARK: (MARK_DIAMETER, 0.0)}
        self.memory = SceneMemory(fixed[camera], CLASS_NAMES, sizes)
        self._course = _Course()
        self._target = ""
        self._task = ""
        self._attempts = 0
        self._reset_asked = True
        self._is_new = True
        self._plan: list[Motion] = []
        self._plan_s = 0.0

    @property
    def phase(self) -> ServoPhase:
        """What the arm is doing."""
        return self._course.phase

    def load(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to free."""

    def reset(self) -> None:
        """Forget the scene and start the task anew with the next observation. A held object is put down first."""
        self._reset_asked = True

    def predict_action_chunk(self, observation: Observation) -> NDArray[np.float64]:
        """Return joint positions [H, 6] for the coming steps. ValueError if the joint positions are not usable."""
        now_s = float(observation[TIME_S])
        measured = np.asarray(observation[STATE], dtype=np.float64)
        if measured.shape != (6,) or not np.isfinite(measured).all():
            raise ValueError(f"{STATE} must be 6 finite numbers, not {measured}")
        detections = np.asarray(observation.get(ENVIRONMENT_STATE, ()), dtype=np.float32).reshape(-1, 8)
        if now_s < self._plan_s - CLOCK_JUMP_S:
            self.memory.clear()  # what was seen when means nothing any more
            self._enter(self._course, self.phase, now_s)
        self._take_task(str(observation.get(TASK, "")), now_s, measured)
        frozen = [self._target] if self.phase in _OBJECT_FROZEN else []
        if self.phase in _MARK_FROZEN:
            frozen.append(MARK)
        self.memory.update(detections, now_s, frozen)
        motion = self._pick_up(now_s, measured)
        self._advance(now_s, measured)
        return self._play_ahead(motion, now_s)

    # ---- the task

    def _take_task(self, task: str, now_s: float, measured: NDArray[np.float64]) -> None:
        if task == self._task and not self._reset_asked:
            return
        self._task, self._reset_asked, self._attempts, self.problem = task, False, 0, ""
        self.memory.forget(now_s)
        holds = (self.phase in _HOLDING or self._is_new) and HELD < measured[5] < HELD_MAX
        self._is_new = False
        try:
            self._target = parse_instruction(task) if task.strip() else ""
        except InstructionError as error:
            self._target, self.problem = "", str(error)
        if holds and self._target:
            pose = self._arm.forward(measured)
            self._course.release = ToolPose(pose.bearing, pose.radius, RELEASE_HEIGHT, roll=pose.roll)
            self._enter(self._course, ServoPhase.LOWER, now_s)
        else:
            self._enter(self._course, ServoPhase.IDLE, now_s)

    def _advance(self, now_s: float, measured: NDArray[np.float64]) -> None:
        """Follow the transitions that what is measured now gives rise to."""
        for _ in range(len(ServoPhase)):
            event = self._event(now_s, measured)
            following = TRANSITIONS.get((self.phase, event)) if event is not None else None
            if following is None:
                return
            if following is ServoPhase.SEARCH and self.phase is not ServoPhase.IDLE:
                self._attempts += 1
                self.memory.forget(now_s, [self._target])
            self._enter(self._course, following, now_s)

    def _enter(self, course: _Course, phase: ServoPhase, now_s: float) -> None:
        course.phase, course.since_s, course.arrived_s = phase, now_s, None

    def _event(self, now_s: float, measured: NDArray[np.float64]) -> ServoEvent | None:
        """What ends the present phase, or None."""
        course, phase = self._course, self.phase
        if phase is ServoPhase.IDLE:
            return ServoEvent.ASKED if self._target else None
        if phase is ServoPhase.SEARCH:
            return self._look()
        if phase in (ServoPhase.VERIFY, ServoPhase.DONE):
            return self._check(now_s)
        if phase in _HOLDING and measured[5] < HELD:
            return ServoEvent.EMPTY
        if phase is ServoPhase.CLOSE:
            if now_s - course.since_s < CLOSE_S:
                return None
            return ServoEvent.HOLDING if measured[5] > HELD else ServoEvent.EMPTY
        if self._arrived(course, self._arm.forward(measured), float(measured[5])):
            return ServoEvent.ARRIVED
        low = (
            self._arm.forward(measured).height < BLOCKED_HEIGHT
        )  # else something holds the arm, and it will go on
        if phase in (ServoPhase.DESCEND, ServoPhase.LOWER) and low and now_s - course.since_s > BLOCKED_S:
            return ServoEvent.BLOCKED
        return None

    def _look(self) -> ServoEvent | None:
        target, mark = self.memory.places.get(self._target), self.memory.places.get(MARK)
        self.problem = ""
        if target is None or mark is None or target.count < 2:
            return None
        if np.linalg.norm(target.xy - mark.xy) < ON_MARK:
            return ServoEvent.ON_MARK
        for name, place in ((self._target, target), (MARK, mark)):
            if not all(
                self._arm.reaches(tool_above(place.x, place.y, height))
                for height in (GRASP_HEIGHT, HOVER_HEIGHT)
            ):
                self.problem = f"the {name.replace('_', ' ')} is out of reach"
                return None
        return ServoEvent.FOUND

    def _check(self, now_s: float) -> ServoEvent | None:
        """Whether the object is on the mark, by detections that came after the arm was out of the way."""
        target, mark = self.memory.places.get(self._target), self.memory.places.get(MARK)
        arrived_s = self._course.arrived_s
        if arrived_s is None:
            return None
        if target is None or mark is None or target.seen_s < arrived_s:
            return (
                ServoEvent.UNSEEN
                if self.phase is ServoPhase.VERIFY and now_s - arrived_s > VERIFY_S
                else None
            )
        return ServoEvent.ON_MARK if np.linalg.norm(target.xy - mark.xy) < ON_MARK else ServoEvent.OFF_MARK

    # ---- where to

    def _goal(self, course: _Course) -> Goal | None:
        """Where the tool should go in a phase; None to hold."""
        phase = course.phase
        if phase in _AT_HOME:
            return self._home
        if phase is ServoPhase.REACH:
            place = self.memory.places.get(self._target)
            if place is not None:
                roll = RETRY_ROLLS[self._attempts % len(RETRY_ROLLS)]
                course.grasp = tool_above(place.x, place.y, GRASP_HEIGHT, roll)
        if phase in (ServoPhase.REACH, ServoPhase.LIFT, ServoPhase.DESCEND, ServoPhase.CLOSE):
            if course.grasp is None:
                return None
            height = HOVER_HEIGHT if phase in (ServoPhase.REACH, ServoPhase.LIFT) else GRASP_HEIGHT
            return Goal(
                _at_height(course.grasp, height),
                OPEN if phase in (ServoPhase.REACH, ServoPhase.DESCEND) else CLOSED,
            )
        if phase is ServoPhase.CARRY:
            mark = self.memory.places.get(MARK)
            if mark is not None:
                course.release = tool_above(mark.x, mark.y, RELEASE_HEIGHT)
        if phase in (ServoPhase.CARRY, ServoPhase.LOWER, ServoPhase.OPEN, ServoPhase.RETREAT):
            if course.release is None:
                return None
            height = HOVER_HEIGHT if phase in (ServoPhase.CARRY, ServoPhase.RETREAT) else RELEASE_HEIGHT
            return Goal(
                _at_height(course.release, height),
                CLOSED if phase in (ServoPhase.CARRY, ServoPhase.LOWER) else OPEN,
            )
        return None

    def _arrived(self, course: _Course, pose: ToolPose, gripper: float) -> bool:
        goal = self._goal(course)
        if goal is None:
            return False
        near = 0.010 if course.phase in (ServoPhase.REACH, ServoPhase.LIFT, ServoPhase.CARRY) else 0.007
        high = (
            0.020
            if course.phase in (ServoPhase.REACH, ServoPhase.LIFT, ServoPhase.CARRY, ServoPhase.RETREAT)
            else 0.004
        )
        opened = course.phase not in (ServoPhase.OPEN, ServoPhase.REACH) or gripper > OPEN - 0.12
        return (
            sideways_distance(pose, goal.pose) < near
            and abs(pose.height - goal.pose.height) < high
            and abs(pose.roll - goal.pose.roll) < 0.15
            and opened
        )

    # ---- the chunk

    def _pick_up(self, now_s: float, measured: NDArray[np.float64]) -> Motion:
        """The motion at this time by the last plan, or from the joints where there is none or the arm is elsewhere."""
        index = (now_s - self._plan_s) / self.step_s
        if self._plan and 0.0 <= index <= len(self._plan) - 1:
            before = self._plan[math.floor(index)]
            after = self._plan[min(math.floor(index) + 1, len(self._plan) - 1)]
            part = index - math.floor(index)
            motion = Motion(
                before.position + part * (after.position - before.position),
                before.speed + part * (after.speed - before.speed),
                before.joints + part * (after.joints - before.joints),
            )
            if np.abs(motion.joints - measured)[:5].max() < DIVERGED:
                return motion
        return Motion.at_rest(measured, self._arm)

    def _play_ahead(self, motion: Motion, now_s: float) -> NDArray[np.float64]:
        """Play the coming steps, taking it that all goes well, and remember them as the plan."""
        course = self._course
        if (
            course.phase in (ServoPhase.VERIFY, ServoPhase.DONE)
            and course.arrived_s is None
            and self._is_home(motion)
        ):
            course.arrived_s = now_s + TRACKING_S
        course = course.copy()
        self._plan, self._plan_s = [], now_s
        for index in range(self.horizon):
            self._plan.append(motion.copy())
            time_s = now_s + index * self.step_s
            self._assume(course, motion, time_s)
            goal = self._goal(course)
            if goal is not None:
                step(motion, goal, self.step_s, self._arm, self._limits)
        return np.stack([planned.joints for planned in self._plan])

    def _is_home(self, motion: Motion) -> bool:
        return sideways_distance(motion.pose, self._home.pose) < 0.03

    def _assume(self, course: _Course, motion: Motion, time_s: float) -> None:
        """Change the phase when playing ahead: arrivals happen, grasps hold; the camera is waited for."""
        if course.phase is ServoPhase.CLOSE:
            if time_s - course.since_s >= CLOSE_AHEAD_S:
                self._enter(course, ServoPhase.LIFT, time_s)
            return
        following = TRANSITIONS.get((course.phase, ServoEvent.ARRIVED))
        if following is None or not self._arrived(course, motion.pose, float(motion.position[5])):
            return
        if course.arrived_s is None:
            course.arrived_s = time_s
        if time_s - course.arrived_s >= TRACKING_S:
            self._enter(course, following, time_s)


def _at_height(pose: ToolPose, height: float) -> ToolPose:
    return ToolPose(pose.bearing, pose.radius, height, pose.pitch, pose.roll)
