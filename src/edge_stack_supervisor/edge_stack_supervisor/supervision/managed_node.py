# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
One node under supervision: what is known of it, what is wanted of it, and which call to make next.

A unit of work is one report (a node_status), one answer to a call, one fault, or one tick of the clock. The state is
believed from reports alone; an answer only tells whether a call failed. Nothing here calls or kills anything: call() and
parameter_call() say what to send, to_kill says what to end, and the caller does it. Time is monotonic, s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_stack_supervisor.supervision.attempts import Attempts
from edge_stack_supervisor.supervision.crash_loop import CrashLoop, Offence, WrongOutputs
from edge_stack_supervisor.supervision.lifecycle import (
    NodeState,
    Step,
    Transition,
    leads_away,
    lower,
    next_step,
)
from edge_stack_supervisor.supervision.settings import Settings
from edge_stack_supervisor.supervision.types import (
    NodeFault,
    NodeSpec,
    ParameterCall,
    Report,
    SupervisionLimits,
    TransitionCall,
)
from edge_stack_supervisor.supervision.vitals import Vitals


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

    def __init__(self, spec: NodeSpec, limits: SupervisionLimits) -> None:
        """Know nothing of the node and want nothing of it."""
        self.spec = spec
        self.limits = limits
        self.report: Report | None = None  # the last one; of a process that may be gone
        self.state = NodeState.MISSING
        self.settings = Settings()
        self.attempts = Attempts(limits)
        self.vitals = Vitals(limits)
        self.crash_loop = CrashLoop()
        self.reasons: dict[str, str] = {}  # why this state and this rate are wanted, for those who look
        self.recoveries = 0
        self.last_recovery_s = math.nan
        self.lost_since_s: float | None = None
        self.was_up = False
        self.parked = False
        self.fault = NodeFault.NONE  # until the node is back where it is wanted
        self.fault_text = ""
        self.fault_s = -math.inf
        self.to_kill = ""  # why the node's process is to be ended by force; empty: it is not
        self.seen_s = -math.inf
        self.former_pid = 0
        self.twin_seen_s = -math.inf
        self.unanswered = 0
        self.by_hand: NodeState | None = None
        self.own_goal = NodeState.ACTIVE
        self.recalled: tuple[int, int] | None = None  # the process that settings were recalled for
        self.rate_by_hand: float | None = None  # that somebody has set, in place of base_hz
        self.base_hz: float | None = None  # that the stack wants, before a governor lowers it
        self._goal: NodeState | None = None
        self._number = 0
        self._rested: NodeState | None = None  # the last primary state of this process
        self._dead: tuple[int, int] | None = None  # the process that has ended last
        self._call: _Asked | None = None
        self._asked_for: set[NodeState] = set()  # results of calls to this process that were not seen yet
        self._wrong_outputs = WrongOutputs()
        self._recycling = False  # taken down to be brought up again
        if spec.rate_hz is not None:
            self.want_rate(spec.rate_hz)

    @property
    def pid(self) -> int:
        """Process id by the last report; 0 before there was one."""
        return 0 if self.report is None else self.report.pid

    @property
    def node_message(self) -> str:
        """What the node itself says is wrong."""
        return "" if self.report is None else self.report.message

    @property
    def given_up(self) -> bool:
        """Whether nothing more is attempted: a transition has failed too often."""
        return self.attempts.given_up

    # ---- what is wanted --------------------------------------------------------------------------

    @property
    def wanted(self) -> NodeState | None:
        """The state that is wanted of the node; None leaves it alone."""
        return self.goal if self.by_hand is None or self.parked else self.by_hand

    @property
    def goal(self) -> NodeState | None:
        """What wanted is, had nobody set a state by hand: the lower of the stack's and the node's own."""
        if self._goal is None:
            return None
        goal = lower(self._goal, self.own_goal)
        kept_down = self.parked or self._recycling or self.settings.needs_cleanup
        return lower(goal, NodeState.UNCONFIGURED) if kept_down else goal

    def want(self, goal: NodeState | None) -> None:
        """Want a state of the node, with all attempts before it, and what was set by hand, forgotten."""
        self._goal = goal
        self.was_up = False
        self.lost_since_s = None
        self.release()

    def want_own(self, state: NodeState) -> None:
        """
        Want at most this state (ACTIVE, INACTIVE or UNCONFIGURED) of the node while the stack is up.

        What was taken down by hand stays down, and can be taken further down.
        """
        if state is self.own_goal:
            return
        self.own_goal = state
        if self.by_hand is not None and lower(self.by_hand, state) is not self.by_hand:
            self.by_hand = None
        self._forgive()

    def want_rate(self, rate_hz: float) -> None:
        """Want a rate of the node, Hz; one that was set by hand ends."""
        self.base_hz, self.rate_by_hand = float(rate_hz), None
        self.settings.want({"rate_hz": float(rate_hz)})

    def limit_rate(self, rate_hz: float) -> None:
        """Let the node run at no more than its wanted rate, Hz, and remember that."""
        self.settings.want({"rate_hz": float(rate_hz)})

    @property
    def wished_hz(self) -> float | None:
        """The rate that somebody wants by hand, else the stack, Hz; a governor may lower it. None where none is set."""
        return self.base_hz if self.rate_by_hand is None else self.rate_by_hand

    def rate_was_set(self, rate_hz: float, now_s: float) -> bool:
        """
        Take that the node's rate was set; return whether somebody has another wish by hand now.

        It holds until this process ends or the stack wants another rate. A governor that has to lowers it, too.
        """
        if self.base_hz is None or not self.settings.was_set("rate_hz", float(rate_hz), now_s):
            return False
        before = self.wished_hz
        self.rate_by_hand = None if rate_hz == self.base_hz else float(rate_hz)
        self.settings.adopt("rate_hz", float(rate_hz))
        return rate_hz != before

    def _end_rate_by_hand(self) -> None:
        if self.rate_by_hand is not None and self.base_hz is not None:
            self.want_rate(self.base_hz)

    @property
    def rate_hz(self) -> float | None:
        """The wanted rate, Hz; None where none is set."""
        rate_hz = self.settings.wanted.get("rate_hz")
        return rate_hz if isinstance(rate_hz, float) else None

    def release(self) -> None:
        """Take the node back at once, whether it is parked, given up, or its state or rate was set by hand."""
        self.by_hand = None
        self._end_rate_by_hand()
        self.parked = False
        self.crash_loop.release()
        self._wrong_outputs.release()
        self._forgive()

    def step(self) -> Step:
        """Return the next step towards the wanted state."""
        return next_step(self.wanted, self.state)

    @property
    def in_place(self) -> bool:
        """Whether the node is where it is wanted, and not only on the way or for a while."""
        for_a_while = self._recycling or self.settings.needs_cleanup
        return self.step() is Step.DONE and not self.parked and (self.by_hand is not None or not for_a_while)

    @property
    def settled(self) -> bool:
        """Whether nothing more is going to be done about the node unless something happens."""
        done = self.in_place or self.step() is Step.GIVE_UP
        return done or self.attempts.given_up or (self.parked and self.step() is Step.DONE)

    @property
    def troubled(self) -> bool:
        """Whether the node is not where it is wanted, and was lost, failed, is parked, or does not answer."""
        return not self.in_place and (
            self.lost_since_s is not None
            or self.parked
            or bool(self.attempts)
            or self.unanswered > 2
            or self.step() is Step.GIVE_UP
        )

    # ---- what happens ----------------------------------------------------------------------------

    def observe(self, report: Report, now_s: float) -> None:
        """Take a report of the node; one that a dead process has left behind is ignored."""
        if report.process == self._dead:
            return
        if report.pid == self.former_pid and now_s - self.seen_s <= self.limits.heartbeat_timeout_s:
            self.twin_seen_s = (
                now_s  # two processes under one name: the newer one is followed while it speaks
            )
            return
        if self.pid and (report.pid != self.pid or self._fell_to_the_start(report.state)):
            self._begin_process(report, now_s)
        if self.report is None and self.recalled not in (None, report.process):
            self.settings.begin_process()
        self.report = report
        self.seen_s = now_s
        self.settings.told("rate_hz", report.target_hz)
        self.vitals.observe(report, now_s)
        self.state = report.state
        self._judge_output(report.wrong_outputs, now_s)
        if report.state is NodeState.UNCONFIGURED:
            self._recycling = False
        if report.state.is_primary:
            self._rest(report.state, now_s)
        elif self._call is not None and report.state is self._call.transition.through:
            self._call.under_way = True
            self.unanswered = 0
        if self.in_place and not self.to_kill and self.vitals.hang is None:
            self._arrive(now_s)

    def answered(self, number: int, success: bool, now_s: float) -> None:
        """Take the answer to a call; one that was given up on is ignored."""
        if self._call is None or self._call.number != number:
            return
        self.unanswered = 0
        if success:
            self._call.answered = True
            self._call.sent_s = now_s  # the report that shows it is due
        else:
            transition, self._call = self._call.transition, None
            self._fail(transition, now_s)

    def remember_rates(self) -> list[Any]:
        """Return all that recall_rates() needs, as plain values."""
        return [self.base_hz, self.rate_by_hand]

    def recall_rates(self, remembered: Sequence[Any]) -> None:
        """Take back what remember_rates() has returned, for a process that still runs."""
        self.base_hz, self.rate_by_hand = remembered

    def parameters_answered(self, number: int, refusals: Mapping[str, str]) -> None:
        """Take the answer to a parameter call. refusals: the node's reasons, by parameter."""
        self.settings.answered(number, refusals)

    def died(self, now_s: float, text: str = "its process ended", fault: NodeFault = NodeFault.DIED) -> None:
        """Note that the node's process has ended, or was ended by force. fault: why."""
        self._dead = None if self.report is None else self.report.process
        self.to_kill = ""
        call = self._call
        self._go_missing()
        if call is not None and call.under_way:
            self._fail(call.transition, now_s, f"its process ended during {call.transition.label}")
        else:
            self._forgive()
        self.befall(fault, text, now_s)
        self.crash_loop.died(now_s)
        self._look_whether_parked(now_s)

    def befall(self, fault: NodeFault, text: str, now_s: float) -> None:
        """Note what has befallen the node."""
        if fault is not self.fault:
            self.fault_s = now_s
        self.fault, self.fault_text = fault, text

    def tick(self, now_s: float) -> None:
        """Notice what did not happen in time."""
        silence_s = now_s - self.seen_s
        limits = self.limits
        limit_s = limits.transition_timeout_s if self.state.is_transition else limits.heartbeat_timeout_s
        if self.state is not NodeState.MISSING and silence_s > limit_s:
            self._go_missing()
            self.befall(NodeFault.DIED, "", now_s)
        if self._call is not None and not self.state.is_transition:
            patience_s = limits.answer_timeout_s * (1 << min(max(self.unanswered - 1, 0), 3))
            if now_s - self._call.sent_s > patience_s:
                self.unanswered += not self._call.answered
                self._call = None
        self.settings.tick(now_s, 2.0 * limits.answer_timeout_s)
        self._look_whether_parked(now_s)

    def excuse(self, duration_s: float) -> None:
        """Count no time in which the supervisor itself was held up against the node."""
        self.seen_s += duration_s
        self.vitals.excuse(duration_s)
        if self._call is not None:
            self._call.sent_s += duration_s

    # ---- what to send ----------------------------------------------------------------------------

    def call_due(self, now_s: float) -> bool:
        """Whether there is a transition to ask for now."""
        return (
            self._call is None
            and not self.attempts.given_up
            and now_s >= self.attempts.not_before_s
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
        may = self.state is NodeState.UNCONFIGURED or (
            self.state.is_primary
            and self.state is not NodeState.FINALIZED
            and not self.settings.needs_cleanup
        )
        return may and self.settings.due()

    def parameter_call(self, now_s: float) -> ParameterCall:
        """Return the parameters to set, which count as sent. Only where parameters_due()."""
        self._number += 1
        return ParameterCall(self.spec.name, self.settings.call(self._number, now_s), self._number)

    # ---- inside ----------------------------------------------------------------------------------

    def _begin_process(self, report: Report, now_s: float) -> None:
        """Start over: the node was lost, and a process has begun anew under its name."""
        known_dead = self.report is not None and self.report.process == self._dead
        if self.state is NodeState.FINALIZED:  # it has ended as it was asked to
            self._go_missing()
            self._forgive()
        elif not known_dead:
            self.died(now_s)
            self._dead = None  # perhaps it lives: two processes under one name
        self.former_pid = self.pid if report.pid != self.pid and not known_dead else 0
        self._asked_for.clear()
        self._end_rate_by_hand()
        self.settings.begin_process()
        self._wrong_outputs.begin_process()
        if self.by_hand is NodeState.FINALIZED:
            self.by_hand = None

    def _go_missing(self) -> None:
        """Forget what holds for a process only."""
        if self.lost_since_s is None:
            self.lost_since_s = self.seen_s
        self.state = NodeState.MISSING
        self.vitals = Vitals(self.limits)
        self.settings.lose()
        self._rested = None
        self._call = None
        self._recycling = False

    def _look_whether_parked(self, now_s: float) -> None:
        parked = self.crash_loop.left_s(now_s) > 0.0
        if parked and not self.parked and self.fault is not NodeFault.WRONG_OUTPUT:
            self.befall(NodeFault.CRASH_LOOP, "", now_s)
        if self.parked and not parked:
            self._forgive()  # its trial
        self.parked = parked

    def _judge_output(self, wrong_outputs: int, now_s: float) -> None:
        """React to outputs that the node itself found wrong: a new start, then a new process, then it is parked."""
        offence = self._wrong_outputs.observe(wrong_outputs, now_s)
        if offence is Offence.NONE or self.state is not NodeState.ACTIVE or self.by_hand is not None:
            return
        text = f"its output is wrong ({self.node_message})" if self.node_message else "its output is wrong"
        self.befall(NodeFault.WRONG_OUTPUT, text, now_s)
        if self.lost_since_s is None:
            self.lost_since_s = now_s
        if offence is Offence.RECYCLE:
            self._recycling = True
        elif offence is Offence.KILL:
            self.to_kill = text
        else:
            self.crash_loop.park(now_s, text)
            self._look_whether_parked(now_s)

    def _fell_to_the_start(self, state: NodeState) -> bool:
        """Whether a process began anew under the old pid (as in containers), or after an error."""
        return self.state is NodeState.ACTIVE and state is NodeState.UNCONFIGURED

    def _forgive(self) -> None:
        self._call = None
        self.unanswered = 0
        self.attempts.forgive()

    def _rest(self, state: NodeState, now_s: float) -> None:
        """Take a rest in a primary state: after a call, after what somebody else asked for, or still."""
        before, self._rested = self._rested, state
        call = self._call
        if call is not None:
            if state is call.transition.result:
                self._call = None
                self.unanswered = 0
                self.attempts.succeed(call.transition)
            elif call.under_way or state is not call.transition.origin:
                self._call = None
                self._fail(call.transition, now_s)
        if state is before or before is None:
            return
        if state in self._asked_for:
            self._asked_for.discard(state)
        else:
            self._moved_by_hand(before, state, now_s)

    def _moved_by_hand(self, before: NodeState, state: NodeState, now_s: float) -> None:
        """Somebody else moved the node: follow if it leads away from what is wanted, else help it on."""
        goal = self.goal
        away = goal is not None and leads_away(before, state, goal)
        if away and now_s - self.attempts.failed_s <= self.limits.heartbeat_timeout_s:
            return  # it fell back after a failed transition
        self._forgive()
        if goal is None or state is goal:
            self.by_hand = None
        elif away or self.by_hand is not None:
            self.by_hand = state

    def _arrive(self, now_s: float) -> None:
        """Note that the node is where it is wanted."""
        self.was_up = True
        self._forgive()
        if self.lost_since_s is not None:
            self.recoveries += 1
            self.last_recovery_s = now_s - self.lost_since_s
            self.lost_since_s = None
        self.fault, self.fault_text = NodeFault.NONE, ""

    def _fail(self, transition: Transition, now_s: float, reason: str = "") -> None:
        self._asked_for.discard(transition.result)
        self.attempts.fail(transition, now_s, reason)
