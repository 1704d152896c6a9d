# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The reason of a command in words with figures, for people who look at the robot and wonder.

Its unit of work is one command; it runs outside the tick, and never decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edge_stack_control.controller import Command, Surroundings
from edge_stack_control.following_error import FollowingError
from edge_stack_control.limits import JointLimiter
from edge_stack_control.rules import ControlState, Reason, RuleSettings
from edge_stack_control.workspace import NOTHING, Sight


def explain(
    command: Command,
    settings: RuleSettings,
    *,
    refusal: str = "",
    refused: Mapping[Reason, str] | None = None,
    around: Surroundings | None = None,
    measurement: str = "",
    following: FollowingError | None = None,
    sight: Sight = NOTHING,
    perception: str = "",
    limiter: JointLimiter | None = None,
    stop_sources: Sequence[str] = (),
) -> str:
    """
    Return one sentence about why the robot is commanded as it is; empty in RUN.

    refusal: text of the last chunk that was refused. refused: why inputs that came last were, by the reason that their
    absence makes. around: what the last tick knew, in whose words some reasons are told. measurement: why the robot's
    position is not known. following: says which joints are not where they are commanded. sight: what was seen. perception:
    which topics are stale and why, in words. limiter: whose last hits are named. stop_sources: who requests a stop.
    """
    around = around or Surroundings()
    but = (refused or {}).get(command.reason, "")
    if command.state is ControlState.RUN:
        if following is None or not command.following_error > 1.0:
            return ""
        return f"the command waits for {', '.join(following.joints_beyond())}"
    inputs = command.inputs
    match command.reason:
        case Reason.STOP_REQUESTED:
            if inputs.stop_requested:
                by = f" by {', '.join(stop_sources)}" if stop_sources else ""
                return f"a stop was requested{by} and is not released; ~/stop with false releases it"
            return f"the stop was released less than {settings.stop_clear_s:g} s ago"
        case Reason.STOP_UNKNOWN:
            return "whether a stop was requested before cannot be told: the stop set is lost; ~/stop with false releases it"
        case Reason.SECOND_COMMANDER:
            return around.second_commander or "nobody else has commanded for a moment"
        case Reason.JOINT_STATE_CONTRADICTION:
            return around.contradiction or "measurements have just agreed again"
        case Reason.OUTSIDE_LIMITS:
            return "the robot stands beyond a position limit; move it within by other means"
        case Reason.FOLLOWING_ERROR:
            joints = ", ".join(following.joints_beyond()) if following is not None else ""
            where = f": {joints}" if joints else ""
            return f"the robot is not where it is commanded{where}; motion begins where it comes to rest"
        case Reason.RULE_CANNOT_FIRE:
            return around.cannot_fire or "every rule about persons can fire again"
        case Reason.PERSON_NEAR:
            return _near(sight.person or "a person", inputs.person_distance, command.speed)
        case Reason.OBJECT_NEAR:
            return _near(sight.object or "an object", inputs.object_distance, command.speed)
        case Reason.PERSON_IN_WORKSPACE:
            if inputs.person_in_workspace:
                return f"{sight.person or 'a person'} is in the workspace"
            return f"the workspace has been clear of persons for less than {settings.stop_clear_s:g} s"
        case Reason.JOINT_STATE_STALE:
            if math.isnan(inputs.joint_state_age_s):
                come = f"joint states come, but {but}" if but else measurement
                return f"{come or 'no complete joint state has come yet'}; nothing is commanded"
            age_s, limit_s = inputs.joint_state_age_s, settings.joint_state_timeout_s
            return _old("the newest joint state", age_s, limit_s, but and f"joint states come, but {but}")
        case Reason.INVALID_ACTION:
            return (
                f"the last action chunk was refused: {refusal}"
                if refusal
                else "the last action chunk was refused"
            )
        case Reason.STACK_STOPPING:
            return "the supervisor is stopping the stack"
        case Reason.NO_ACTION:
            return "no action chunk has come yet"
        case Reason.STALE_ACTION:
            if inputs.action_cover_s <= 0.0:
                return "all queued actions are executed and no new chunk has come"
            return _old("the observation behind the actions", inputs.action_age_s, settings.max_action_age_s)
        case Reason.STALE_PERCEPTION:
            age_s, limit_s = inputs.perception_age_s, settings.perception_timeout_s
            come = but and f"detections come, but {but}"
            return come or perception or _old("the newest detection", age_s, limit_s)
        case Reason.SUPERVISOR_LOST:
            age_s, limit_s = inputs.supervisor_age_s, settings.supervisor_timeout_s
            come = but and f"states of the supervisor come, but {but}"
            return _old("the supervisor's newest state", age_s, limit_s, come)
        case Reason.LIMIT_POSITION:
            return f"the actions point beyond the position limits{_joints(limiter, 'position')}"
        case Reason.LIMIT_VELOCITY:
            return f"the actions are faster than the joints may move{_joints(limiter, 'velocity', 'step')}"
        case _:
            return ""


def _old(what: str, age_s: float, limit_s: float, come: str = "") -> str:
    """Say that something is old. come: what came since and was refused, and why; "" where nothing was."""
    if come and not age_s <= limit_s:
        return come
    if math.isinf(age_s):
        return f"{what} has never come"
    if age_s <= limit_s:
        return f"{what} has just come back"
    return f"{what} is {age_s:.2f} s old, at most {limit_s:g} s is allowed"


def _near(what: str, distance: float, speed: float) -> str:
    if distance >= 1.0:
        return f"{what} has just left the slow zone"
    share = 100.0 * max(distance, 0.0)
    return f"{what} is near the workspace ({share:.0f} % of the slow zone away): {100.0 * speed:.0f} % of full speed"


def _joints(limiter: JointLimiter | None, *kinds: str) -> str:
    if limiter is None:
        return ""
    flags = np.logical_or.reduce([getattr(limiter.hit, kind) for kind in kinds])
    names: Sequence[str] = limiter.limits.joint_names
    hit = [name for name, flag in zip(names, flags, strict=True) if flag]
    return f": {', '.join(hit)}" if hit else ""
