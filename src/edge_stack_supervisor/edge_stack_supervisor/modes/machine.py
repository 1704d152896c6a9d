# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The state machine of modes: one mode in force, at most one transition under way, and the old mode back when it fails.

A unit of work is one step: what is due goes out through carry_out, and what the nodes are seen to do moves the transition
on. The name of the mode changes once, when all nodes are where the new mode wants them and its entry hooks are done.
Nothing here sends anything or knows ROS; time is monotonic, s.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edge_stack_supervisor.modes.needs import Needs
from edge_stack_supervisor.modes.plan import Wave, entry_waves, everything, plan
from edge_stack_supervisor.modes.types import ModesConfig, NodeTarget
from edge_stack_supervisor.supervision import NodeState

_DOWN = (NodeState.UNCONFIGURED, NodeState.MISSING, NodeState.FINALIZED)


@dataclass(frozen=True)
class Seen:
    """
    One node as it is seen. settled: it has taken or refused all parameters. refusals: why, by parameter.

    troubled: lost or failing. given_up: not tried again. parked: left down for a while, as it keeps dying. held_down: the
    governor wants less of it than the mode, for want of memory; it comes up later by itself, so nobody waits for it.
    message: why.
    """

    state: NodeState
    settled: bool = True
    refusals: Mapping[str, str] = field(default_factory=dict)
    troubled: bool = False
    given_up: bool = False
    parked: bool = False
    held_down: bool = False
    message: str = ""


@dataclass(frozen=True)
class SwitchOutcome:
    """How a transition ended. mode: in force from now on. message: what happened, with the reason of a failure."""

    target: str
    success: bool
    mode: str
    message: str


class SwitchPhase(enum.Enum):
    """What kind of transition is under way."""

    START = "start"  # waits for as long as it takes; a troubled or absent node holds it back no longer
    SWITCH = "switch"
    RESTORE = "restore"  # back to the old mode, after a failure


@dataclass
class _Transition:
    phase: SwitchPhase
    target: str
    reason: str
    waves: list[Wave]
    began_s: float
    until_s: float
    ordered: bool = False  # the first of waves is out
    hook_outcome: str | None = (
        None  # of the hook that is out: why it failed, or empty; None while it is not known
    )
    left: bool = False  # an exit hook of the old mode went out
    entered: bool = False  # an entry hook of the new mode went out
    failure: str = ""
    absent: frozenset[str] = frozenset()  # parked when it was asked for: nobody waits for them


class ModeMachine:
    """Modes of one stack. mode: the one in force, empty until the first one is."""

    def __init__(
        self, config: ModesConfig, needs: Needs, defaults: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """defaults: parameters of each node in robot.yaml."""
        self.mode = ""
        self.told: dict[str, NodeTarget] = dict(config.base)
        """What every node is told now."""
        self._config = config
        self._needs = needs
        self._defaults = defaults or {}
        self._transition: _Transition | None = None

    # ---- what is asked

    def begin(self, now_s: float, adopted: str = "") -> None:
        """Go into the first mode; adopted: the mode that the nodes are found in, whose entry hooks have run already."""
        target = adopted or self._config.start
        mode = self._config.modes[target]
        waves = [everything(self.told, mode, self._needs.shared(mode), self._defaults)]
        waves += [] if adopted else entry_waves(mode.entry)
        reason = "the nodes are found in it" if adopted else "start"
        self._transition = _Transition(SwitchPhase.START, target, reason, waves, now_s, float("inf"))

    def request(
        self,
        target: str,
        reason: str,
        now_s: float,
        available_mb: float | None = None,
        absent: Collection[str] = (),
    ) -> str:
        """
        Ask for a mode; return why it is refused, or an empty string.

        reason: who asks. available_mb: memory that the board has left, MiB; None if it does not tell. absent: nodes that are
        parked, which the mode does without until they are back.
        """
        mode = self._config.modes.get(target)
        if mode is None:
            return f"there is no mode '{target}'; there are {', '.join(self._config.modes)}"
        transition = self._transition
        if transition is not None:
            if transition.phase is SwitchPhase.SWITCH and transition.target == target:
                return ""  # it is on its way
            return f"{self._title(transition)} is under way; ask again when it is done"
        if not self.mode:
            return "no mode is in force yet; ask again when the stack is up"
        if target == self.mode:
            return ""
        refusal = self._needs.memory_refusal(self.told, mode, available_mb) or self._needs.slack_refusal(
            self.told, mode
        )
        if refusal:
            return refusal
        rates = self._needs.shared(mode)
        leaving = self._config.modes[self.mode].exit
        waves = plan(self.told, mode, rates, self._defaults, leaving=leaving, entering=mode.entry)
        until_s = now_s + self._config.timeout_s
        self._transition = _Transition(
            SwitchPhase.SWITCH, target, reason, waves, now_s, until_s, absent=frozenset(absent)
        )
        return ""

    @property
    def under_way(self) -> bool:
        """Whether a transition is under way."""
        return self._transition is not None

    # ---- what happens

    def hook_done(self, failure: str) -> None:
        """Take the outcome of the hook that is out. failure: why it failed, or empty."""
        if self._transition is not None:
            self._transition.hook_outcome = failure

    def step(
        self, now_s: float, seen: Mapping[str, Seen], carry_out: Callable[[Wave], None]
    ) -> SwitchOutcome | None:
        """Move a transition on as far as it goes; return its outcome when it ends."""
        while self._transition is not None:
            transition = self._transition
            if not transition.waves:
                return self._end(transition, now_s)
            wave = transition.waves[0]
            if not transition.ordered:
                self._order(transition, wave, carry_out)
            failure, waits_for = self._judge(transition, wave, seen, now_s)
            if not failure and waits_for and now_s > transition.until_s:
                failure = f"{wave.title} was not done within {self._config.timeout_s:g} s: {waits_for}"
            if failure and transition.phase is SwitchPhase.SWITCH:
                self._restore(transition, failure, now_s)
                continue
            if failure:
                transition.failure += f"; {failure}" if transition.failure else failure
            elif waits_for:
                return None
            transition.waves.pop(0)
            transition.ordered = False
        return None

    def interrupt(self, reason: str, carry_out: Callable[[Wave], None]) -> SwitchOutcome | None:
        """Give a switch up at once, without hooks or waiting: the old mode holds."""
        transition = self._transition
        if transition is None or transition.phase is SwitchPhase.START:
            return None
        mode = self._config.modes[self.mode]
        transition.phase = SwitchPhase.RESTORE
        self._order(
            transition, everything(self.told, mode, self._needs.shared(mode), self._defaults), carry_out
        )
        self._transition = None
        failure = transition.failure or reason
        return SwitchOutcome(transition.target, False, self.mode, f"{failure}; mode {self.mode} holds")

    # ---- what is shown

    def text(self, now_s: float, seen: Mapping[str, Seen]) -> str:
        """Say what is going on; empty while no transition is under way."""
        transition = self._transition
        if transition is None:
            return ""
        text = f"{self._title(transition)} since {now_s - transition.began_s:.1f} s"
        if transition.waves:
            wave = transition.waves[0]
            _, waits_for = self._judge(transition, wave, seen, now_s)
            text += f", {wave.title}" + (f": {waits_for}" if waits_for else "")
        return text

    # ---- inside

    def _title(self, transition: _Transition) -> str:
        if transition.phase is SwitchPhase.RESTORE:
            return f"back to {self.mode} ({transition.failure})"
        return f"{self.mode or 'start'} -> {transition.target} ({transition.reason})"

    def _order(self, transition: _Transition, wave: Wave, carry_out: Callable[[Wave], None]) -> None:
        transition.ordered = True
        transition.hook_outcome = None
        if wave.hook is not None:
            transition.left |= wave.leaving
            transition.entered |= not wave.leaving
        for name, state in wave.states.items():
            self.told[name] = replace(self.told[name], state=state)
        for name, rate_hz in wave.rates.items():
            self.told[name] = replace(self.told[name], rate_hz=rate_hz)
        target = self.mode if transition.phase is SwitchPhase.RESTORE else transition.target
        for name in wave.settings:
            wanted = self._config.modes[target].nodes[name]
            self.told[name] = replace(
                self.told[name], priority_class=wanted.priority_class, parameters=wanted.parameters
            )
        carry_out(wave)

    def _judge(
        self, transition: _Transition, wave: Wave, seen: Mapping[str, Seen], now_s: float
    ) -> tuple[str, str]:
        """Return why a wave failed, and what it still waits for."""
        if wave.hook is not None:
            if transition.hook_outcome is None:
                return "", "no answer yet"
            outcome = transition.hook_outcome
            return (f"{wave.title}: {outcome}" if outcome else ""), ""
        waiting = []
        for name in {**wave.states, **wave.settings}:
            node = seen.get(name, Seen(NodeState.MISSING))
            refused = [
                f"{name}.{p} {node.refusals[p]}" for p in wave.settings.get(name, ()) if p in node.refusals
            ]
            if refused:
                return "; ".join(refused), ""
            if name in transition.absent or _arrived(node, wave.states.get(name), wave.down):
                continue
            about = f"{name} is {node.state.label}" + (f" ({node.message})" if node.message else "")
            if node.given_up and transition.phase is SwitchPhase.SWITCH:
                return about, ""
            absent = node.state is NodeState.MISSING and now_s - transition.began_s > self._config.timeout_s
            if not (
                (node.troubled or node.given_up or absent) and transition.phase is not SwitchPhase.SWITCH
            ):
                waiting.append(about)
        return "", ", ".join(waiting)

    def _restore(self, transition: _Transition, failure: str, now_s: float) -> None:
        old, new = self._config.modes[self.mode], self._config.modes[transition.target]
        waves = plan(
            self.told,
            old,
            self._needs.shared(old),
            self._defaults,
            leaving=new.exit if transition.entered else (),
            entering=old.entry if transition.left else (),
        )
        self._transition = _Transition(
            SwitchPhase.RESTORE,
            transition.target,
            transition.reason,
            waves,
            now_s,
            now_s + self._config.timeout_s,
            failure=failure,
        )

    def _end(self, transition: _Transition, now_s: float) -> SwitchOutcome:
        self._transition = None
        took_s = now_s - transition.began_s
        if transition.phase is SwitchPhase.RESTORE:
            message = f"{transition.failure}; mode {self.mode} is restored"
            return SwitchOutcome(transition.target, False, self.mode, message)
        before, self.mode = self.mode or "start", transition.target
        message = f"{before} -> {self.mode} in {took_s:.2f} s ({transition.reason})"
        if transition.failure:
            message += f"; {transition.failure}"
        if transition.absent:
            message += f"; without {', '.join(sorted(transition.absent))}: parked"
        return SwitchOutcome(transition.target, True, self.mode, message)


def _arrived(node: Seen, state: NodeState | None, down: bool) -> bool:
    """Whether a node is where it is wanted; None: its state does not matter, only that its parameters are set."""
    if node.held_down or (down and node.state in _DOWN):
        return True
    if state is None:
        return node.settled or node.state is NodeState.MISSING
    if state is NodeState.UNCONFIGURED:
        return node.state in _DOWN
    return node.state is state and node.settled
