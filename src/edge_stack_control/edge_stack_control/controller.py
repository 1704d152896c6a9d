# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One control tick without ROS: chunks and surroundings in, one limited command with its state and reason out.

Its unit of work is tick(). The first command is the measured position, and from there on each command is within limits of
the one before, whatever arrives; so there is no jump at start-up, at a seam between chunks, when actions run out, or after a
hold. When measured positions come back after they were lost, commands begin at the measured position again: the robot may
have moved. HOLD and STOP repeat the last command. SLOW lets time run slower through the actions and lowers the speed limits.
Speed falls at once and rises over speed_rise_s. Without a measured position there is no command at all. While another
process commands, follow() takes its commands for one's own before each tick, so that one can go on from there.

Two threads use it: offer() and configure() belong to the one that receives, tick() and reset() to the one that commands
(reset() while no tick runs). Between them go whole objects only, so neither ever waits for the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
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
    a position limit without being called out, rad or m.
    """

    blend_s: float = 0.1
    speed_rise_s: float = 0.5
    velocity_scale: float = 1.0
    position_tolerance: float = 0.05
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
        self._limiter = JointLimiter(limits)
        self._latch = RuleLatch()
        self._last = np.zeros(joints)
        self._moved = np.zeros(joints)
        self._invalid_action = False
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
        return self._limiter

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
        self._has_last = self._anchored = False
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

    def refuse(self, refused: ChunkRefused) -> None:
        """Count a message that could not even be read as a chunk."""
        self.intake.refuse(refused)
        if refused.kind.malformed:
            self._invalid_action = True

    # ---- the commanding thread --------------------------------------------------------------------------------------

    def follow(self, positions: FloatArray, commanded_s: float) -> None:
        """
        Go on, in the next tick, from a command of another process.

        positions: [A], rad or m. commanded_s: when it went out, monotonic.
        """
        if self._limit_s[
            1
        ]:  # the actions are further away than a step: they are approached at a moderate speed
            self._moving = False
            self._limit_s = [0.0, 0.0]
        self._last[:] = positions
        self._followed_s = commanded_s
        self._has_last = self._anchored = True

    def tick(self, now_s: float, monotonic_s: float, around: Surroundings) -> Command:
        """Return the command for now. now_s: the clock of the chunks' stamps. monotonic_s: never goes back."""
        settings, queue = self.settings, self._queue
        elapsed_s = monotonic_s - self._last_monotonic_s if self._has_last else self.period_s
        elapsed_s = min(max(elapsed_s, 0.0), _GAP_PERIODS * self.period_s)
        self._take_chunks(now_s, settings)
        since_s, self._followed_s = self._followed_s, None
        reach_s = elapsed_s if since_s is None else min(monotonic_s - since_s, _GAP_PERIODS * self.period_s)
        inputs = self._inputs(now_s, around)
        present = conditions(inputs, settings.rules)
        self._anchor(around, Reason.JOINT_STATE_STALE in present)
        decision = decide(self._latch.update(present, monotonic_s, settings.rules), settings.rules, inputs)
        self._set_speed(decision, elapsed_s, settings)
        limited = False
        if decision.state >= ControlState.HOLD or not self._has_last:
            queue.delay(max(0.0, now_s - self._last_now_s) if math.isfinite(self._last_now_s) else 0.0)
            self._moving = False
            self._limit_s = [0.0, 0.0]
        else:
            limited = self._move(now_s, elapsed_s, reach_s, settings)
        dry = queue.is_dry(now_s)
        self._underruns += dry and self._moving and not self._dry
        self._dry = dry
        self._last_now_s, self._last_monotonic_s = now_s, monotonic_s
        return Command(
            positions=self._last if self._has_last else None,
            state=decision.state,
            reason=decision.reason,
            speed=self._speed,
            action_age_s=inputs.action_age_s,
            queue_s=inputs.action_cover_s,
            limited=limited,
            inputs=inputs,
            underruns=self._underruns,
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

    def _anchor(self, around: Surroundings, stale: bool) -> None:
        """Begin at the measured position: at the start, and when measured positions come back after they were lost."""
        if stale:
            self._anchored = False
        elif not self._anchored and around.measured is not None and np.isfinite(around.measured).all():
            self._last[:] = around.measured
            self._has_last = self._anchored = True
            self._moving = False

    def _inputs(self, now_s: float, around: Surroundings) -> Inputs:
        queue = self._queue
        # A robot whose position was never known cannot be commanded, however lax the timeout.
        measured = around.measured
        known = self._has_last or (measured is not None and bool(np.isfinite(measured).all()))
        joint_state_age_s = around.joint_state_age_s if known else math.nan
        return Inputs(
            stop_requested=around.stop_requested,
            stop_unknown=around.stop_unknown,
            second_commander=bool(around.second_commander),
            joint_state_age_s=joint_state_age_s,
            joint_state_contradiction=bool(around.contradiction),
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
        """Follow a fall of speed at once and a rise gradually."""
        rise = elapsed_s / settings.speed_rise_s if settings.speed_rise_s > 0.0 else 1.0
        self._speed = min(decision.velocity, self._speed + rise)
        self._progress = min(decision.progress, self._progress + rise)

    def _move(self, now_s: float, elapsed_s: float, reach_s: float, settings: ControllerSettings) -> bool:
        """
        Advance along the actions into self._last; return whether a limit changed the command.

        elapsed_s: since the last tick. reach_s: since the last command, whoever gave it.
        """
        queue, limiter = self._queue, self._limiter
        if not self._moving:
            queue.rejoin(self._last, now_s, self._rejoin_s(now_s))
            self._moving = True
        queue.delay((1.0 - self._progress) * elapsed_s)
        queue.max_age_s = settings.rules.max_action_age_s or math.inf
        queue.ease(now_s, self._progress * elapsed_s)
        limiter.limits, limiter.position_tolerance = self._effective, settings.position_tolerance
        limited = limiter.apply(queue.sample(now_s), self._last, reach_s, self._speed)
        self._last[:] = limited
        hit = limiter.hit
        beyond, fast = bool(hit.position.any()), bool(hit.velocity.any() or hit.step.any())
        self._limit_s[0] = self._limit_s[0] + elapsed_s if beyond else 0.0
        self._limit_s[1] = self._limit_s[1] + elapsed_s if fast else 0.0
        return beyond or fast

    def _rejoin_s(self, now_s: float) -> float:
        """Return the time to get from the last command to the actions at a moderate speed, s."""
        target = self._queue.newest_at(now_s)
        if target is None:
            return 0.0
        np.subtract(target, self._last, out=self._moved)
        np.abs(self._moved, out=self._moved)
        self._moved /= self._effective.velocity_max
        # The blend's weight rises 1.5 times as fast in the middle as on average, and at its begin no faster than speed does.
        apart_s = float(self._moved.max())
        rise_s = math.sqrt(6.0 * apart_s * self.settings.speed_rise_s)
        return min(max(1.5 * apart_s / _REJOIN_SPEED, rise_s), _REJOIN_MAX_S)


def joint_positions(
    order: Sequence[str], names: Sequence[str], positions: Sequence[float]
) -> FloatArray | None:
    """
    Return measured positions in the robot's order, [A]; None unless every joint is there with a finite position.

    Further joints (a mobile base, a second arm) are left out.
    """
    if len(positions) < len(names):
        return None
    index = {name: i for i, name in enumerate(names)}
    try:
        values = np.array([positions[index[name]] for name in order], dtype=np.float64)
    except (KeyError, ValueError, TypeError):
        return None
    return values if np.isfinite(values).all() else None
