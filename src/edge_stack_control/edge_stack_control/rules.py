# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The safety rules of fusion, as a table: what may be wrong, how the robot reacts, and for how long afterwards.

Its unit of work is one decision: plain inputs in, state, reason and speed out. A rule is a condition with a reaction. Of
all rules whose condition holds, the most severe decides; adding a condition never makes the reaction milder. A reaction
outlives its condition by the rule's clear time, so that it neither flickers nor resumes too soon. Nothing here knows time,
except the latch.

How fast a rule acts: its condition is looked at in every tick, so the reaction is in the command at most one control period
after the condition holds; delay_s() says how long after its cause the condition holds at the latest.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


class ControlState(enum.IntEnum):
    """How the robot is commanded, from mild to severe; the numbers are those of FusionStatus.state."""

    RUN = 0  # follow the actions
    SLOW = 1  # follow the actions at reduced speed
    HOLD = 2  # repeat the last command; continue as soon as the reason is gone
    STOP = 3  # repeat the last command; continue once the reason has been gone for the stop clear time


class Reason(enum.Enum):
    """Why. The value is the code in FusionStatus.reason."""

    OK = "ok"
    STOP_REQUESTED = "stop_requested"
    STOP_UNKNOWN = "stop_unknown"
    PERSON_IN_WORKSPACE = "person_in_workspace"
    SECOND_COMMANDER = "second_commander"
    JOINT_STATE_STALE = "joint_state_stale"
    JOINT_STATE_CONTRADICTION = "joint_state_contradiction"
    OUTSIDE_LIMITS = "outside_limits"
    FOLLOWING_ERROR = "following_error"
    RULE_CANNOT_FIRE = "rule_cannot_fire"
    INVALID_ACTION = "invalid_action"
    STACK_STOPPING = "stack_stopping"
    NO_ACTION = "no_action"
    STALE_ACTION = "stale_action"
    STALE_PERCEPTION = "stale_perception"
    SUPERVISOR_LOST = "supervisor_lost"
    PERSON_NEAR = "person_near"
    OBJECT_NEAR = "object_near"
    LIMIT_POSITION = "limit_position"
    LIMIT_VELOCITY = "limit_velocity"


@dataclass(frozen=True)
class Inputs:
    """
    Everything that the rules look at, at one moment. Ages are in s; inf = never seen. NaN counts as too old.

    stop_unknown: whether a stop is in force cannot be told. second_commander: somebody else commands the robot.
    joint_state_age_s: NaN = the robot's position was never known; no timeout excuses that. joint_state_contradiction: its
    measurements contradict each other. outside_limits: commands would begin beyond a position limit. following_error: the
    robot has not been where it is commanded for longer than it may. rule_cannot_fire: a rule about persons can never hold.
    person_distance, object_distance: from the workspace to the nearest, in widths of the slow zone: 0 = inside the
    workspace, 1 and above = beyond the zone, NaN = cannot be told, which counts as 0.
    position_limit_s, velocity_limit_s: for how long the actions have been asking for more than the limits allow.
    """

    stop_requested: bool = False
    stop_unknown: bool = False
    second_commander: bool = False
    joint_state_age_s: float = 0.0
    joint_state_contradiction: bool = False
    outside_limits: bool = False
    following_error: bool = False
    rule_cannot_fire: bool = False
    has_action: bool = True
    action_cover_s: float = 1.0
    action_age_s: float = 0.0
    invalid_action: bool = False
    perception_age_s: float = 0.0
    person_in_workspace: bool = False
    person_distance: float = math.inf
    object_distance: float = math.inf
    supervisor_age_s: float = 0.0
    stack_stopping: bool = False
    position_limit_s: float = 0.0
    velocity_limit_s: float = 0.0


@dataclass(frozen=True)
class RuleSettings:
    """
    Limits of the rules. A timeout of 0 or less switches its rule off.

    reactions: another reaction for a rule; slow_scale: share of full speed in SLOW, 0..1.
    """

    joint_state_timeout_s: float = 0.5
    max_action_age_s: float = 2.0
    perception_timeout_s: float = 1.0
    supervisor_timeout_s: float = 2.0
    limit_persist_s: float = 0.25
    slow_scale: float = 0.3
    limit_scale: float = 0.5
    clear_s: float = 0.2
    stop_clear_s: float = 2.0
    reactions: Mapping[Reason, ControlState] = field(default_factory=dict)


@dataclass(frozen=True)
class SafetyRule:
    """
    One row of the table.

    holds: the condition. reaction: unless RuleSettings.reactions has another. delay_s: time from the cause to the moment
    from which the condition holds, at the latest. scale: share of full speed in SLOW. keeps_velocity: SLOW slows the
    progress of the actions only, because the joints are at their limits anyway.
    """

    reason: Reason
    reaction: ControlState
    holds: Callable[[Inputs, RuleSettings], bool]
    delay_s: Callable[[RuleSettings], float]
    scale: Callable[[Inputs, RuleSettings], float] = lambda _, s: s.slow_scale
    keeps_velocity: bool = False


def _nearness(distance: float, s: RuleSettings) -> float:
    """Return the share of full speed at a distance: slow_scale at the workspace, rising to 1 at the zone's rim."""
    return s.slow_scale + (1.0 - s.slow_scale) * (min(distance, 1.0) if distance > 0.0 else 0.0)


def _limit_scale(_: Inputs, s: RuleSettings) -> float:
    return s.limit_scale


def _at_once(_: RuleSettings) -> float:
    return 0.0


def _older(age_s: float, timeout_s: float) -> bool:
    return timeout_s > 0.0 and not age_s <= timeout_s


# Of rules with the same reaction, the first gives the reason.
RULES: tuple[SafetyRule, ...] = (
    SafetyRule(Reason.STOP_REQUESTED, ControlState.STOP, lambda i, _: i.stop_requested, _at_once),
    SafetyRule(Reason.STOP_UNKNOWN, ControlState.STOP, lambda i, _: i.stop_unknown, _at_once),
    SafetyRule(Reason.PERSON_IN_WORKSPACE, ControlState.STOP, lambda i, _: i.person_in_workspace, _at_once),
    SafetyRule(Reason.SECOND_COMMANDER, ControlState.HOLD, lambda i, _: i.second_commander, _at_once),
    SafetyRule(
        Reason.JOINT_STATE_CONTRADICTION,
        ControlState.HOLD,
        lambda i, _: i.joint_state_contradiction,
        _at_once,
    ),
    SafetyRule(
        Reason.JOINT_STATE_STALE,
        ControlState.HOLD,
        lambda i, s: math.isnan(i.joint_state_age_s) or _older(i.joint_state_age_s, s.joint_state_timeout_s),
        lambda s: s.joint_state_timeout_s,
    ),
    SafetyRule(Reason.OUTSIDE_LIMITS, ControlState.HOLD, lambda i, _: i.outside_limits, _at_once),
    SafetyRule(Reason.FOLLOWING_ERROR, ControlState.HOLD, lambda i, _: i.following_error, _at_once),
    SafetyRule(Reason.RULE_CANNOT_FIRE, ControlState.HOLD, lambda i, _: i.rule_cannot_fire, _at_once),
    SafetyRule(Reason.INVALID_ACTION, ControlState.HOLD, lambda i, _: i.invalid_action, _at_once),
    SafetyRule(Reason.STACK_STOPPING, ControlState.HOLD, lambda i, _: i.stack_stopping, _at_once),
    SafetyRule(Reason.NO_ACTION, ControlState.HOLD, lambda i, _: not i.has_action, _at_once),
    SafetyRule(
        Reason.STALE_ACTION,
        ControlState.HOLD,
        lambda i, s: (
            i.has_action and (not i.action_cover_s > 0.0 or _older(i.action_age_s, s.max_action_age_s))
        ),
        lambda s: s.max_action_age_s,
    ),
    SafetyRule(
        Reason.STALE_PERCEPTION,
        ControlState.HOLD,
        lambda i, s: _older(i.perception_age_s, s.perception_timeout_s),
        lambda s: s.perception_timeout_s,
    ),
    SafetyRule(
        Reason.SUPERVISOR_LOST,
        ControlState.SLOW,
        lambda i, s: _older(i.supervisor_age_s, s.supervisor_timeout_s),
        lambda s: s.supervisor_timeout_s,
    ),
    SafetyRule(
        Reason.PERSON_NEAR,
        ControlState.SLOW,
        lambda i, _: not i.person_distance >= 1.0,
        _at_once,
        scale=lambda i, s: _nearness(i.person_distance, s),
    ),
    SafetyRule(
        Reason.OBJECT_NEAR,
        ControlState.SLOW,
        lambda i, _: not i.object_distance >= 1.0,
        _at_once,
        scale=lambda i, s: _nearness(i.object_distance, s),
    ),
    SafetyRule(
        Reason.LIMIT_POSITION,
        ControlState.SLOW,
        lambda i, s: not i.position_limit_s < s.limit_persist_s,
        lambda s: s.limit_persist_s,
        scale=_limit_scale,
        keeps_velocity=True,
    ),
    SafetyRule(
        Reason.LIMIT_VELOCITY,
        ControlState.SLOW,
        lambda i, s: not i.velocity_limit_s < s.limit_persist_s,
        lambda s: s.limit_persist_s,
        scale=_limit_scale,
        keeps_velocity=True,
    ),
)


@dataclass(frozen=True)
class SafetyDecision:
    """
    What to do. progress: how fast time runs through the actions, 0..1. velocity: share of the speed limits, 0..1.

    Both are 0 in HOLD and STOP.
    """

    state: ControlState
    reason: Reason
    progress: float
    velocity: float


_NEAREST = Inputs(person_distance=0.0, object_distance=0.0)
RUN = SafetyDecision(ControlState.RUN, Reason.OK, 1.0, 1.0)


def reaction(rule: SafetyRule, settings: RuleSettings) -> ControlState:
    """Return how a rule reacts under these settings."""
    return settings.reactions.get(rule.reason, rule.reaction)


def conditions(inputs: Inputs, settings: RuleSettings) -> frozenset[Reason]:
    """Return the reasons whose conditions hold."""
    return frozenset(rule.reason for rule in RULES if rule.holds(inputs, settings))


def decide(reasons: Iterable[Reason], settings: RuleSettings, inputs: Inputs | None = None) -> SafetyDecision:
    """
    Return the decision for a set of reasons: the most severe reaction, at the lowest speed that any of them wants.

    inputs: for the rules whose speed depends on a distance; without them these want the lowest.
    """
    inputs = inputs or _NEAREST
    present = frozenset(reasons)
    state, reason, progress, velocity = ControlState.RUN, Reason.OK, 1.0, 1.0
    for rule in RULES:
        if rule.reason not in present:
            continue
        wanted = reaction(rule, settings)
        if wanted > state:
            state, reason = wanted, rule.reason
        if wanted is ControlState.SLOW:
            scale = rule.scale(inputs, settings)
            progress = min(progress, scale)
            velocity = min(velocity, 1.0 if rule.keeps_velocity else scale)
    if state >= ControlState.HOLD:
        progress = velocity = 0.0
    return SafetyDecision(state, reason, progress, velocity)


class RuleLatch:
    """Keeps a reason for its clear time after its condition was last true. For one thread."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._last_s: dict[Reason, float] = {}

    def reset(self) -> None:
        """Forget everything."""
        self._last_s.clear()

    def update(self, present: Iterable[Reason], now_s: float, settings: RuleSettings) -> frozenset[Reason]:
        """Return the reasons that hold or have held until less than their clear time ago. now_s: monotonic."""
        last_s = self._last_s
        for reason in present:
            last_s[reason] = now_s
        if not last_s:
            return frozenset()
        for rule in RULES:
            since_s = now_s - last_s.get(rule.reason, -math.inf)
            if since_s > 0.0 and since_s >= clear_s(rule, settings):
                last_s.pop(rule.reason, None)
        return frozenset(last_s)


def clear_s(rule: SafetyRule, settings: RuleSettings) -> float:
    """Return how long a rule's condition must be gone before its reaction ends, s."""
    return settings.stop_clear_s if reaction(rule, settings) is ControlState.STOP else settings.clear_s
