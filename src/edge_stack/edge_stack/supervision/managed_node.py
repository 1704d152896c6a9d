# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One node under supervision: what is known of it, what is wanted of it, and which call to make next.

A unit of work is one report (a node_status), one answer to a call, or one tick of the clock. The state is
believed from reports alone; an answer only tells whether a call failed. Nothing here calls anything: call()
and parameter_call() say what to send, and the caller sends it. Time is monotonic, s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_stack.supervision.lifecycle import State, Step, Transition, leads_away, lower, next_step
from edge_stack.supervision.settings import Settings
from edge_stack.supervision.types import Limits, NodeSpec, ParameterCall, Report, TransitionCall


@dataclass
class _Asked:
    """A transition that was asked for. under_way: a report showed it. answered: the node said it was done."""

    number: int
    sent_s: float
    transition: Transition
    under_way: bool = False
    answered: bool = False


class ManagedNode:
    """One node under supervision."""

    def __init__(self, spec: NodeSpec, limits: Limits) -> None:
        """Know nothing of the node and want nothing of it."""
        self.spec = spec
        self.pid = 0
        self.state = State.MISSING
        self.settings = Settings()
        self.reasons: dict[str, str] = {}  # why this state and this rate are wanted, for those who look
        self.recoveries = 0
        self.last_recovery_s = math.nan
        self.lost_since_s: float | None = None
        self.given_up = False
        self.was_up = False
        self._limits = limits
        self._goal: State | None = None
        self._own_goal = State.ACTIVE
        self._by_hand: State | None = None
        self._number = 0
        self._seen_s = -math.inf
        self._node_message = ""
        self._rested: State | None = None  # the last primary state of this process
        self._former_pid = 0
        self._twin_seen_s = -math.inf
        self._call: _Asked | None = None
        self._asked_for: set[State] = set()  # results of calls to this process that were not seen yet
        self._attempts: dict[Transition, int] = {}  # failures since the node was last where it is wanted
        self._failing: Transition | None = None
        self._failure = ""
        self._failed_s = -math.inf
        self._unanswered = 0
        self._not_before_s = -math.inf
        if spec.rate_hz is not None:
            self.want_rate(spec.rate_hz)

    # ---- what is wanted --------------------------------------------------------------------------

    @property
    def wanted(self) -> State | None:
        """The state that is wanted of the node; None leaves it alone."""
        if self._by_hand is not None:
            return self._by_hand
        goal = self.goal
        return lower(goal, State.UNCONFIGURED) if goal and self.settings.needs_cleanup else goal

    @property
    def goal(self) -> State | None:
        """What wanted is, had nobody set a state by hand: the lower of the stack's and the node's own."""
        return None if self._goal is None else lower(self._goal, self._own_goal)

    def want(self, goal: State | None) -> None:
        """Want a state of the node, with all attempts before it, and what was set by hand, forgotten."""
        self._goal = goal
        self._by_hand = None
        self.was_up = False
        self.lost_since_s = None
        self._forgive()

    def want_own(self, state: State) -> None:
        """
        Want at most this state (ACTIVE, INACTIVE or UNCONFIGURED) of the node while the stack is up.

        What was taken down by hand stays down, and can be taken further down.
        """
        if state is self._own_goal:
            return
        self._own_goal = state
        if self._by_hand is not None and lower(self._by_hand, state) is not self._by_hand:
            self._by_hand = None
        self._forgive()

    def want_rate(self, rate_hz: float) -> None:
        """Want a rate of the node, Hz."""
        self.settings.want({"rate_hz": float(rate_hz)})

    @property
    def rate_hz(self) -> float | None:
        """The wanted rate, Hz; None where none is set."""
        rate_hz = self.settings.wanted.get("rate_hz")
        return rate_hz if isinstance(rate_hz, float) else None

    def step(self) -> Step:
        """Return the next step towards the wanted state."""
        return next_step(self.wanted, self.state)

    @property
    def settled(self) -> bool:
        """Whether nothing more is going to be done about the node unless something happens."""
        return self.given_up or self.step() in (Step.DONE, Step.GIVE_UP)

    @property
    def troubled(self) -> bool:
        """Whether the node is not where it is wanted, and was lost, failed, or does not answer."""
        return self.step() is not Step.DONE and (
            self.lost_since_s is not None
            or self.given_up
            or bool(self._attempts)
            or self._unanswered > 2
            or self.step() is Step.GIVE_UP
        )

    # ---- what happens ----------------------------------------------------------------------------

    def observe(self, report: Report, now_s: float) -> None:
        """Take a report of the node."""
        if report.pid == self._former_pid and now_s - self._seen_s <= self._limits.heartbeat_timeout_s:
            self._twin_seen_s = (
                now_s  # two processes under one name: the newer one is followed while it speaks
            )
            return
        if self.pid and (report.pid != self.pid or self._fell_to_the_start(report.state)):
            self._begin_process(report, now_s)
        self.pid = report.pid
        self._seen_s = now_s
        self._node_message = report.message
        self.settings.told("rate_hz", report.target_hz)
        self.state = report.state
        if report.state.is_primary:
            self._rest(report.state, now_s)
        elif self._call is not None and report.state is self._call.transition.through:
            self._call.under_way = True
            self._unanswered = 0
        if self.step() is Step.DONE:
            self._arrive(now_s)

    def answered(self, number: int, success: bool, now_s: float) -> None:
        """Take the answer to a call; one that was given up on is ignored."""
        if self._call is None or self._call.number != number:
            return
        self._unanswered = 0
        if success:
            self._call.answered = True
            self._call.sent_s = now_s  # the report that shows it is due
        else:
            transition, self._call = self._call.transition, None
            self._fail(transition, now_s)

    def parameters_answered(self, number: int, refusals: Mapping[str, str]) -> None:
        """Take the answer to a parameter call. refusals: the node's reasons, by parameter."""
        self.settings.answered(number, refusals)

    def tick(self, now_s: float) -> None:
        """Notice what did not happen in time."""
        silence_s = now_s - self._seen_s
        limits = self._limits
        limit_s = limits.transition_timeout_s if self.state.is_transition else limits.heartbeat_timeout_s
        if self.state is not State.MISSING and silence_s > limit_s:
            self._lose()
            self.state = State.MISSING
            self._rested = None
            self._call = None
            self.settings.lose()
        if self._call is not None and not self.state.is_transition:
            patience_s = limits.answer_timeout_s * (1 << min(max(self._unanswered - 1, 0), 3))
            if now_s - self._call.sent_s > patience_s:
                self._unanswered += not self._call.answered
                self._call = None
        self.settings.tick(now_s, 2.0 * limits.answer_timeout_s)

    def excuse(self, duration_s: float) -> None:
        """Count no time in which the supervisor itself was held up against the node."""
        self._seen_s += duration_s
        if self._call is not None:
            self._call.sent_s += duration_s

    # ---- what to send ----------------------------------------------------------------------------

    def call_due(self, now_s: float) -> bool:
        """Whether there is a transition to ask for now."""
        return (
            self._call is None
            and not self.given_up
            and now_s >= self._not_before_s
            and self.step().transition is not None
        )

    def call(self, now_s: float) -> TransitionCall:
        """Return the transition to ask for, which counts as sent. Only where call_due()."""
        transition = self.step().transition
        assert transition is not None
        self._number += 1
        self._call = _Asked(self._number, now_s, transition)
        self._asked_for.add(transition.result)
        return TransitionCall(self.spec.name, transition, self._number)

    def parameters_due(self) -> bool:
        """Whether there are parameters to set now."""
        may = self.state is State.UNCONFIGURED or (
            self.state.is_primary and self.state is not State.FINALIZED and not self.settings.needs_cleanup
        )
        return may and self.settings.due()

    def parameter_call(self, now_s: float) -> ParameterCall:
        """Return the parameters to set, which count as sent. Only where parameters_due()."""
        self._number += 1
        return ParameterCall(self.spec.name, self.settings.call(self._number, now_s), self._number)

    # ---- what to show ----------------------------------------------------------------------------

    def message(self, now_s: float) -> str:
        """Say what is being done about the node, or why nothing is; empty if nothing is wrong."""
        step = self.step()
        parts = []
        if now_s - self._twin_seen_s <= 2.0 * self._limits.heartbeat_timeout_s:
            parts.append(
                f"two processes run under this name (pids {self._former_pid} and {self.pid}): end one"
            )
        if self.state is State.MISSING:
            if step is Step.WAIT:
                silence_s = now_s - self._seen_s
                parts.append(
                    "no sign of it yet" if math.isinf(silence_s) else f"silent for {silence_s:.1f} s, waiting"
                )
        elif step is Step.GIVE_UP:
            parts.append("finalized: only a new process can be brought up again")
        elif self.given_up and self._failing is not None:
            parts.append(f"given up after {self._attempts[self._failing]} attempts: {self._reason()}")
        elif self._failing is not None and step is not Step.DONE:
            wait_s = self._not_before_s - now_s
            when = f"next attempt in {wait_s:.1f} s" if wait_s > 0.0 else "trying again"
            parts.append(f"{self._reason()} (attempt {self._attempts.get(self._failing, 0)}, {when})")
        elif self._unanswered and step.transition is not None:
            parts.append(f"{step.transition.label}: no answer to {self._unanswered} calls, asking again")
        elif self._node_message:
            parts.append(self._node_message)
        elif self.lost_since_s is not None:
            parts.append(f"lost {now_s - self.lost_since_s:.1f} s ago, coming back")
        if self._by_hand is not None:
            parts.append(f"{self._by_hand.label} was set by hand; startup or resume takes the node back")
        parts += [f"{name} refused: {reason}" for name, reason in self.settings.refusals.items()]
        return "; ".join(parts)

    # ---- inside ----------------------------------------------------------------------------------

    def _begin_process(self, report: Report, now_s: float) -> None:
        """Start over: the node was lost, and a process has begun anew under its name."""
        self._lose()
        call = self._call
        self._call = None
        if call is not None and call.under_way:
            self._fail(call.transition, now_s, f"its process ended during {call.transition.label}")
        else:
            self._forgive()
        self._former_pid = self.pid if report.pid != self.pid else 0
        self._asked_for.clear()
        self._rested = None
        self.settings.begin_process()
        if self._by_hand is State.FINALIZED:
            self._by_hand = None

    def _fell_to_the_start(self, state: State) -> bool:
        """Whether a process began anew under the old pid (as in containers), or after an error."""
        return self.state is State.ACTIVE and state is State.UNCONFIGURED

    def _lose(self) -> None:
        if self.lost_since_s is None:
            self.lost_since_s = self._seen_s

    def _forgive(self) -> None:
        self.given_up = False
        self._call = None
        self._attempts.clear()
        self._failing = None
        self._unanswered = 0
        self._not_before_s = -math.inf

    def _rest(self, state: State, now_s: float) -> None:
        """Take a rest in a primary state: after a call, after what somebody else asked for, or still."""
        before, self._rested = self._rested, state
        call = self._call
        if call is not None:
            if state is call.transition.result:
                self._call = None
                self._unanswered = 0
                self._attempts.pop(call.transition, None)
            elif call.under_way or state is not call.transition.origin:
                self._call = None
                self._fail(call.transition, now_s)
        if state is before or before is None:
            return
        if state in self._asked_for:
            self._asked_for.discard(state)
        else:
            self._moved_by_hand(before, state, now_s)

    def _moved_by_hand(self, before: State, state: State, now_s: float) -> None:
        """Somebody else moved the node: follow if it leads away from what is wanted, else help it on."""
        goal = self.goal
        away = goal is not None and leads_away(before, state, goal)
        if away and now_s - self._failed_s <= self._limits.heartbeat_timeout_s:
            return  # it fell back after a failed transition
        self._forgive()
        if goal is None or state is goal:
            self._by_hand = None
        elif away or self._by_hand is not None:
            self._by_hand = state

    def _arrive(self, now_s: float) -> None:
        """Note that the node is where it is wanted."""
        self.was_up = True
        self._forgive()
        if self.lost_since_s is not None:
            self.recoveries += 1
            self.last_recovery_s = now_s - self.lost_since_s
            self.lost_since_s = None

    def _fail(self, transition: Transition, now_s: float, reason: str = "") -> None:
        attempts = self._attempts.get(transition, 0) + 1
        self._attempts[transition] = attempts
        self._asked_for.discard(transition.result)
        self._failing = transition
        self._failed_s = now_s
        self._failure = reason
        pause_s = min(self._limits.retry_s * 2.0 ** min(attempts - 1, 16), self._limits.retry_max_s)
        self._not_before_s = now_s + pause_s
        self.given_up = 0 < self._limits.max_attempts <= attempts

    def _reason(self) -> str:
        label = "the transition" if self._failing is None else self._failing.label
        return self._failure or self._node_message or f"{label} failed, and the node gives no reason"
