# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One control tick without ROS: chunks and surroundings in, one limited command with its state and reason out.

Its unit of work is tick(). Every command goes through CommandOutput, whatever the state: within the position limits, and
within speed and step of the one before. The first one is the measured position, and so is the first motion after a hold in
which the robot was left to others (a silent one) or was not where it was commanded (following error). HOLD and STOP repeat
the last command, or say nothing where they are silent; they never move. SLOW lets time run slower through the actions and
lowers the speed limits. Speed falls at once and rises over speed_rise_s. Without a measured position there is no command at
all. While another process commands, follow() takes its commands for one's own before each tick, so that one can go on from
there.

Two threads use it: offer() and configure() belong to the one that receives, tick() and reset() to the one that commands
(reset() while no tick runs). Between them go whole objects only, so neither ever waits for the other.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge_stack_control.chunk_intake import (
    CLOCK_SET_BACK_S,
    ActionChunk,
    ChunkIntake,
    ChunkRefused,
    IntakeLimits,
)
from edge_stack_control.chunk_queue import ChunkQueue
from edge_stack_control.command_output import CommandOutput
from edge_stack_control.following_error import FollowingError
from edge_stack_control.limits import JointLimiter, JointLimits
from edge_stack_control.rules import (
    ControlState,
    Inputs,
    Reason,
    RuleLatch,
    RuleSettings,
    SafetyDecision,
    conditions,
    decide,
)
from edge_stack_control.workspace import NOTHING, Sight

FloatArray = npt.NDArray[np.float64]

# Chunks that arrived since the last tick; more than this in one period replace each other.
_INBOX = 4
# A tick after a gap may move the joints as far as this many periods allow.
_GAP_PERIODS = 2.0
# After a hold the joints move towards the actions with a peak of this share of their full speed.
_REJOIN_SPEED = 0.5
_REJOIN_MAX_S = 5.0


@dataclass(frozen=True)
class ControllerSettings:
    """
    Settings of the controller, replaced as a whole.

    blend_s: duration of the blend between two chunks. speed_rise_s: time from standstill to full speed. velocity_scale:
    share of the robot's speed limits that is ever used, above 0 to 1. position_tolerance: how far actions may point beyond
    a position limit without being called out, and how far beyond one a joint may be measured when motion begins, rad or m.
    silent_hold: whether nothing is commanded in HOLD and STOP, so that another program can use the robot.
    """

    blend_s: float = 0.1
    speed_rise_s: float = 0.5
    velocity_scale: float = 1.0
    position_tolerance: float = 0.05
    silent_hold: bool = False
    rules: RuleSettings = field(default_factory=RuleSettings)


@dataclass(frozen=True)
class Surroundings:
    """
    What is known besides the actions. Ages in s, inf = never seen.

    measured: joint positions [A] in the robot's order, or None before the first. contradiction: measurements contradict
    each other, in words; "" where they do not. sight: what perception sees around the workspace. stop_requested: somebody
    asked for a stop that was not released. stop_unknown: whether there is one cannot be told. second_commander: who else
    commands the robot, in words; "" where nobody does. cannot_fire: rules about persons that can never hold, in words.
    """

    measured: FloatArray | None = None
    joint_state_age_s: float = math.inf
    perception_age_s: float = math.inf
    sight: Sight = NOTHING
    supervisor_age_s: float = math.inf
    stack_stopping: bool = False
    stop_requested: bool = False
    stop_unknown: bool = False
    contradiction: str = ""
    second_commander: str = ""
    cannot_fire: str = ""


@dataclass(frozen=True)
class Command:
    """
    The outcome of one tick.

    positions: [A], rad or m, overwritten by the next tick; None if there is nothing safe to command. limited: a limit
    changed what the actions asked for. speed: share of full speed. action_age_s: NaN while there is no action. underruns:
    times, since reset, that the actions were over by their time stamps while the robot followed them. following_error: the
    largest distance of a joint from its command, as a share of what the robot's file allows; NaN while it cannot be told.
    """

    positions: FloatArray | None
    state: ControlState
    reason: Reason
    speed: float
    action_age_s: float
    queue_s: float
    limited: bool
    inputs: Inputs
    underruns: int = 0
    following_error: float = math.nan


class Controller:
    """Turns action chunks into commands, one a tick."""

    def __init__(
        self,
        limits: JointLimits,
        period_s: float,
        settings: ControllerSettings | None = None,
        intake: IntakeLimits | None = None,
    ) -> None:
        """limits: of the robot. period_s: between two ticks."""
        joints = len(limits.joint_names)
        self._robot_limits = limits
        self.period_s = period_s
        self.intake = ChunkIntake(limits.joint_names, intake)
        # Each with the time, on the clock of the stamps, at which it was accepted.
        self._inbox: deque[tuple[ActionChunk, float]] = deque(maxlen=_INBOX)
        self._queue = ChunkQueue(joints)
        self._output = CommandOutput(JointLimiter(limits))
        self._following = FollowingError(limits)
        self._latch = RuleLatch()
        self._moved = np.zeros(joints)
        self._invalid_action = self._drop = False
        self.settings = settings or ControllerSettings()
        self._effective: JointLimits = limits
        self.configure(self.settings)
        self.reset()

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The joints in the order of every command."""
        return self._robot_limits.joint_names

    @property
    def limits(self) -> JointLimits:
        """The limits in force, with velocity_scale applied."""
        return self._effective

    @property
    def limiter(self) -> JointLimiter:
        """The limiter; its `hit` says which joints the last command was limited at."""
        return self._output.limiter

    @property
    def following(self) -> FollowingError:
        """How far the robot is from its commands."""
        return self._following

    def configure(self, settings: ControllerSettings, limits: JointLimits | None = None) -> None:
        """Take new settings, and new robot limits if given, from the next tick on."""
        if not 0.0 < settings.velocity_scale <= 1.0:
            raise ValueError(f"velocity_scale: {settings.velocity_scale}, must be above 0 and at most 1")
        robot = limits or self._robot_limits
        if robot.joint_names != self._robot_limits.joint_names:
            raise ValueError("the joints cannot change")
        self._robot_limits = robot
        self._effective = replace(robot, velocity_max=robot.velocity_max * settings.velocity_scale)
        self.settings = settings

    def reset(self) -> None:
        """Forget all chunks and the last command: the next command is the measured position."""
        self._inbox.clear()
        self._queue.clear()
        self._latch.reset()
        self.intake.reset()
        self._invalid_action = False
        self._output.reset()
        self._following.reset()
        self._left = False  # to others, or to itself: motion begins at the measured position
        self._silent = False  # nothing was commanded in the last tick
        self._moving = self._dry = False
        self._underruns = 0
        self._speed = self._progress = 0.0
        self._last_now_s = self._last_monotonic_s = -math.inf
        self._followed_s: float | None = None
        self._limit_s = [0.0, 0.0]

    # ---- the receiving thread ---------------------------------------------------------------------------------------

    def offer(self, chunk: ActionChunk, now_s: float) -> None:
        """Check a chunk and hand it to the next tick; ChunkRefused says why it is not executed."""
        try:
            accepted = self.intake.take(chunk, now_s)
        except ChunkRefused as refused:
            if refused.kind.malformed:
                self._invalid_action = True
            raise
        self._inbox.append((accepted, now_s))
        self._invalid_action = False

    def drop_actions(self) -> None:
        """Forget all actions at the next tick: another input is in force from now on."""
        self._inbox.clear()
        self._drop = True

    def refuse(self, refused: ChunkRefused) -> None:
        """Count a message that could not even be read as a chunk."""
        self.intake.refuse(refused)
        if refused.kind.malformed:
            self._invalid_action = True

    # ---- the commanding thread --------------------------------------------------------------------------------------

    def follow(self, positions: FloatArray | None, commanded_s: float) -> None:
        """
        Go on, in the next tick, from a command of another process.

        positions: [A], rad or m. commanded_s: when it went out, monotonic. None: no process has commanded lately, so
        that what this one would have commanded meanwhile is no place to go on from either: the next command is the measured
        position.
        """
        if positions is None:
            self._output.reset()
            self._moving = False
            return
        if self._limit_s[
            1
        ]:  # the actions are further away than a step: they are approached at a moderate speed
            self._moving = False
            self._limit_s = [0.0, 0.0]
        if self._output.follow(positions, self._effective):
            self._followed_s = commanded_s

    def tick(self, now_s: float, monotonic_s: float, around: Surroundings) -> Command:
        """Return the command for now. now_s: the clock of the chunks' stamps. monotonic_s: never goes back."""
        settings, queue, output = self.settings, self._queue, self._output
        elapsed_s = monotonic_s - self._last_monotonic_s if output.last is not None else self.period_s
        elapsed_s = min(max(elapsed_s, 0.0), _GAP_PERIODS * self.period_s)
        if self._drop:
            self._drop, self._moving = False, False
            queue.clear()
        self._take_chunks(now_s, settings)
        since_s, self._followed_s = self._followed_s, None
        reach_s = elapsed_s if since_s is None else min(monotonic_s - since_s, _GAP_PERIODS * self.period_s)
        inputs = self._inputs(now_s, monotonic_s, around)
        reasons = self._latch.update(conditions(inputs, settings.rules), monotonic_s, settings.rules)
        decision = decide(reasons, settings.rules, inputs)
        moves = decision.state < ControlState.HOLD
        silent = settings.silent_hold and not moves
        self._begin(around, moves, silent, followed=since_s is not None)
        moves = moves and output.last is not None
        self._set_speed(decision, elapsed_s, settings)
        limited = False
        if moves:
            limited = self._move(now_s, elapsed_s, reach_s, settings)
        else:
            queue.delay(max(0.0, now_s - self._last_now_s) if math.isfinite(self._last_now_s) else 0.0)
            self._moving = False
            self._limit_s = [0.0, 0.0]
        self._left = self._left or silent or Reason.FOLLOWING_ERROR in reasons
        self._silent = silent
        dry = queue.is_dry(now_s)
        self._underruns += dry and self._moving and not self._dry
        self._dry = dry
        self._last_now_s, self._last_monotonic_s = now_s, monotonic_s
        return Command(
            positions=None if silent else output.last,
            state=decision.state,
            reason=decision.reason,
            speed=self._speed,
            action_age_s=inputs.action_age_s,
            queue_s=inputs.action_cover_s,
            limited=limited,
            inputs=inputs,
            underruns=self._underruns,
            following_error=self._following.share,
        )

    def _take_chunks(self, now_s: float, settings: ControllerSettings) -> None:
        if now_s < self._last_now_s - CLOCK_SET_BACK_S:
            self._queue.clear()
            self._moving = False
            self._last_now_s = now_s
        self._queue.blend_s = settings.blend_s
        while self._inbox:
            chunk, accepted_s = self._inbox.popleft()
            if accepted_s > now_s + CLOCK_SET_BACK_S:  # by a clock that is gone, whenever it was delivered
                continue
            late = self._queue.is_easing
            self._queue.push(chunk, now_s)
            if late:  # the robot is behind: it gets there at a moderate speed
                self._queue.take_time(self._rejoin_s(now_s))

    def _begin(self, around: Surroundings, moves: bool, silent: bool, followed: bool) -> None:
        """
        Begin at the measured position: the first command, what follows a silence, and motion after a following error.

        followed: another process commands, whose commands are where this one goes on from.
        """
        if followed:
            self._left = self._left and not moves
            return
        if self._output.last is not None and not (self._left and moves) and not (self._silent and not silent):
            return
        if self._can_begin(around) and around.measured is not None:
            self._output.begin(around.measured, self._effective)
            self._following.forgive()
            self._left = self._moving = False
        elif self._silent:
            self._output.reset()  # where the robot is now is not known: nothing is commanded until it is

    def _can_begin(self, around: Surroundings) -> bool:
        """Whether what was measured is fit for a first command."""
        return not (around.contradiction or self._is_stale(around) or self._is_outside(around.measured))

    def _is_stale(self, around: Surroundings) -> bool:
        timeout_s = self.settings.rules.joint_state_timeout_s
        return timeout_s > 0.0 and not around.joint_state_age_s <= timeout_s

    def _is_outside(self, measured: FloatArray | None) -> bool:
        return measured is not None and not self._output.may_begin(
            measured, self._effective, self.settings.position_tolerance
        )

    def _inputs(self, now_s: float, monotonic_s: float, around: Surroundings) -> Inputs:
        queue, last = self._queue, self._output.last
        measured = (
            around.measured if around.measured is not None and np.isfinite(around.measured).all() else None
        )
        self._following.update(
            last,
            None if self._is_stale(around) else measured,
            monotonic_s - around.joint_state_age_s,
            monotonic_s,
            moving=self._moving,
            left=self._left,
        )
        # A robot whose position was never known cannot be commanded, however lax the timeout.
        known = last is not None or measured is not None
        joint_state_age_s = around.joint_state_age_s if known else math.nan
        return Inputs(
            stop_requested=around.stop_requested,
            stop_unknown=around.stop_unknown,
            second_commander=bool(around.second_commander),
            joint_state_age_s=joint_state_age_s,
            joint_state_contradiction=bool(around.contradiction),
            outside_limits=(last is None or self._left) and self._is_outside(measured),
            following_error=self._following.exceeded,
            rule_cannot_fire=bool(around.cannot_fire),
            has_action=queue.has_actions,
            action_cover_s=queue.cover_s(now_s),
            action_age_s=queue.action_age_s(now_s),
            invalid_action=self._invalid_action,
            perception_age_s=around.perception_age_s,
            person_in_workspace=around.sight.person_inside,
            person_distance=around.sight.person_distance,
            object_distance=around.sight.object_distance,
            supervisor_age_s=around.supervisor_age_s,
            stack_stopping=around.stack_stopping,
            position_limit_s=self._limit_s[0],
            velocity_limit_s=self._limit_s[1],
        )

    def _set_speed(self, decision: SafetyDecision, elapsed_s: float, settings: ControllerSettings) -> None:
        """Follow a fall of speed at once and a rise gradually. A robot that is too far behind is waited for."""
        if self._following.share > 1.0:
            self._speed = self._progress = 0.0
            return
        rise = elapsed_s / settings.speed_rise_s if settings.speed_rise_s > 0.0 else 1.0
        self._speed = min(decision.velocity, self._speed + rise)
        self._progress = min(decision.progress, self._progress + rise)

    def _move(self, now_s: float, elapsed_s: float, reach_s: float, settings: ControllerSettings) -> bool:
        """
        Advance along the actions to the next command; return whether a limit changed it.

        elapsed_s: since the last tick. reach_s: since the last command, whoever gave it.
        """
        queue, output = self._queue, self._output
        if not self._moving:
            queue.rejoin(output.held, now_s, self._rejoin_s(now_s))
            self._moving = True
        queue.delay((1.0 - self._progress) * elapsed_s)
        queue.max_age_s = settings.rules.max_action_age_s or math.inf
        queue.ease(now_s, self._progress * elapsed_s)
        output.limiter.limits = self._effective
        output.limiter.position_tolerance = settings.position_tolerance
        output.move(queue.sample(now_s), reach_s, self._speed)
        hit = output.limiter.hit
        waits = self._speed == 0.0  # for the robot: then it is not the actions that are too fast
        beyond, fast = bool(hit.position.any()), bool((hit.velocity.any() or hit.step.any()) and not waits)
        self._limit_s[0] = self._limit_s[0] + elapsed_s if beyond else 0.0
        self._limit_s[1] = self._limit_s[1] + elapsed_s if fast else 0.0
        return beyond or fast

    def _rejoin_s(self, now_s: float) -> float:
        """Return the time to get from the last command to the actions at a moderate speed, s."""
        target = self._queue.newest_at(now_s)
        if target is None:
            return 0.0
        np.subtract(target, self._output.held, out=self._moved)
        np.abs(self._moved, out=self._moved)
        self._moved /= self._effective.velocity_max
        # The blend's weight rises 1.5 times as fast in the middle as on average, and at its begin no faster than speed does.
        apart_s = float(self._moved.max())
        rise_s = math.sqrt(6.0 * apart_s * self.settings.speed_rise_s)
        return min(max(1.5 * apart_s / _REJOIN_SPEED, rise_s), _REJOIN_MAX_S)
