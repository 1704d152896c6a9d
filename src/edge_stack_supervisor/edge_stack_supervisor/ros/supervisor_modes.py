# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The supervisor's modes: takes requests and what rules look at, and carries out what edge_stack_supervisor.modes decides.

A unit of work is one step or one message. Nodes are told in step() alone, so that a part after this one has the last word in
each tick. Without a modes.yaml beside robot.yaml there are no modes, and nothing here acts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edge_stack_msgs.msg import NodeStatus, StackState
from edge_stack_msgs.srv import SetMode
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from sensor_msgs.msg import BatteryState
from std_msgs.msg import String

from edge_stack_core.ros import qos
from edge_stack_core.ros.parameters import Parameter
from edge_stack_core.stack_config import NO_MODES
from edge_stack_supervisor.modes import (
    Battery,
    Detection,
    Instruction,
    ModeMachine,
    ModeRule,
    ModesConfig,
    Needs,
    RuleBook,
    Seen,
    SwitchOutcome,
    Wave,
    candidates,
    found_mode,
    load_modes,
)
from edge_stack_supervisor.ros.mode_hooks import ModeHooks
from edge_stack_supervisor.ros.mode_sight import ModeSight
from edge_stack_supervisor.ros.supervisor_parameters import stack_of
from edge_stack_supervisor.ros.supervisor_part import SupervisingNode, SupervisorPart
from edge_stack_supervisor.supervision import ManagedNode, NodeSpec, NodeState, StackPhase
from edge_stack_supervisor.supervision.explain import explain
from edge_stack_supervisor.supervision.lifecycle import lower

# How long a new supervisor listens whether nodes are up already: for the others from the first one on, and for the first.
ADOPT_S = 2.0
FIRST_NODE_S = 5.0


class ModesPart(SupervisorPart):
    """Modes of the supervised stack."""

    PARAMETERS = (
        Parameter(
            "modes_file",
            "",
            f"The stack's modes.yaml; {NO_MODES}: it has no modes.",
            give=f"the path of the stack's modes.yaml, or {NO_MODES}",
        ),
        Parameter(
            "modes_detections_topics",
            ("detect/detections",),
            "Topics of vision_msgs/Detection2DArray that rules look at.",
        ),
    )

    def __init__(self, node: SupervisingNode) -> None:
        """Have no modes yet."""
        super().__init__(node)
        self._config: ModesConfig | None = None
        self._machine: ModeMachine | None = None
        self._rules = RuleBook((), 0.0, 0.0)
        self._needs: Needs | None = None
        self._hooks: ModeHooks | None = None
        self._sight: ModeSight | None = None
        self._names: dict[str, str] = {}  # full name of each node by its name in the files
        self._rule: ModeRule | None = None  # whose switch is under way
        self._waiting: list[Future] = []  # callers of set_mode
        self._service: Any = None
        self._began = False
        self._active_s = math.inf
        self._first_s = math.inf  # when the first node was heard
        self._rates: dict[str, float] = {}  # of nodes when they were heard first, Hz

    # ---- lifecycle

    def configure(self, specs: Sequence[NodeSpec]) -> None:
        """Read modes.yaml and listen."""
        p, node = self.node.params, self.node
        if p.modes_file == NO_MODES:
            return
        stack = stack_of(p)
        nodes = stack.select(sim=p.sim, disabled=p.disabled)
        config = load_modes(p.modes_file, nodes, known=[n.name for n in stack.nodes])
        self._config = config
        self._needs = Needs(config)
        defaults = {n.name: {**n.parameters, "priority_class": n.priority_class} for n in nodes}
        self._machine = ModeMachine(config, self._needs, defaults)
        self._rules = RuleBook(config.rules, config.dwell_s, config.retry_s)
        by_short = {spec.name.rsplit("/", 1)[-1]: spec.name for spec in specs}
        self._names = {name: by_short[name] for name in config.base}
        self._hooks = ModeHooks(node, config.modes.values(), self._names)
        # Its callback awaits the outcome, so it must not share the other callbacks' group.
        self._service = node.create_service(
            SetMode, "~/set_mode", self._set_mode, callback_group=ReentrantCallbackGroup()
        )
        node.subscription(String, "mode/request", self._take_request, qos.request())
        kinds = {type(rule.condition) for rule in config.rules}
        if Instruction in kinds:
            node.subscription(String, "instruction", self._take_instruction, qos.request())
        if Battery in kinds:
            node.subscription(BatteryState, "battery_state", self._take_battery, qos.sensor(offered=False))
        if Detection in kinds:
            self._sight = ModeSight(node, config.rules, self._rules, p.modes_detections_topics)

    def activate(self) -> None:
        """Begin to listen for nodes that are up already."""
        self._active_s = time.monotonic()

    def ready(self, now_s: float) -> bool:
        """Choose the first mode: the one that the nodes are in, or the start mode where the stack is not up."""
        machine, config = self._machine, self._config
        if machine is None or config is None or self._began:
            return True
        if self.node.mode in config.modes:  # remembered: also while a node is away, off, or between two modes
            self._begin(self.node.mode, now_s)
            return True
        states = self._heard(now_s)
        may_be_up = bool(candidates(config, states)) and len(states) < len(self._names)
        if may_be_up and now_s < min(self._active_s + FIRST_NODE_S, self._first_s + ADOPT_S):
            return False
        self._begin(found_mode(config, states, self._rates), now_s)
        return True

    def deactivate(self) -> None:
        """Give a switch up: nobody is there to end it."""
        self._interrupt("the supervisor was deactivated")

    def cleanup(self) -> None:
        """Forget the modes."""
        self._answer(False, "the supervisor was cleaned up")
        if self._service is not None:
            self.node.destroy_service(self._service)
            self._service = None
        if self._hooks is not None:
            self._hooks.close()
            self._hooks = None
        self._config = self._machine = self._needs = self._sight = None
        self._rule = None
        self._began = False
        self._first_s = math.inf
        self._rates.clear()
        self.node.ceilings.clear()
        self.node.mode = ""

    # ---- work

    def step(self, now_s: float) -> None:
        """Learn, see whether a rule is due, and move a switch on."""
        machine, hooks = self._machine, self._hooks
        if machine is None or hooks is None:
            return
        self._learn()
        goal = self.node.supervision.goal
        if self._sight is not None:
            self._sight.step(now_s, is_up=self.node.supervision.phase is StackPhase.ACTIVE)
        if goal is not NodeState.ACTIVE:
            label = "left as it is" if goal is None else f"wanted {goal.label}"
            self._interrupt(f"the stack is {label}")
            return
        if not self.ready(now_s):
            return  # the stack is wanted up already, by hand or from before, and its mode is not known yet
        rule = None if machine.under_way else self._rules.due(now_s)
        if rule is not None:
            refusal = self._request(rule.target, f"rule: {rule}", now_s)
            self._rule = None if refusal else rule
            if refusal:
                self._rules.failed(rule, now_s)
        hooks.step(now_s)
        outcome = machine.step(now_s, self._seen(), self._carry_out)
        if outcome is not None:
            self._ended(outcome, now_s)

    def problems(self) -> tuple[str, ...]:
        """Return the rules of modes that can never apply."""
        return () if self._sight is None else self._sight.problems

    def show(self, state: StackState) -> None:
        """Add the mode and the switch that is under way."""
        if self._machine is None:
            return
        state.mode = self._machine.mode
        if self._machine.under_way:
            state.transition = self._machine.text(time.monotonic(), self._seen())

    async def _set_mode(self, request: SetMode.Request, response: SetMode.Response) -> SetMode.Response:
        """Take a mode and answer when it is in force, or is not going to be."""
        try:
            response.success, response.message = await self._carry(request.mode)
        except Exception as error:  # noqa: BLE001
            self.node.count_raised("set_mode", error)
            response.success, response.message = False, f"{type(error).__name__}: {error}"
        return response

    async def _carry(self, mode: str) -> tuple[bool, str]:
        refusal = self._request(mode, "set_mode", time.monotonic())
        if refusal:
            return False, refusal
        if self._machine is None or not self._machine.under_way:
            return True, f"mode {mode} is in force already"
        waiting = Future()
        self._waiting.append(waiting)
        success, message = await waiting
        return bool(success), str(message)

    def _take_request(self, message: String) -> None:
        self._request(message.data, "mode/request", time.monotonic())

    def _take_instruction(self, message: String) -> None:
        self._rules.take_instruction(message.data)

    def _take_battery(self, message: BatteryState) -> None:
        self._rules.take_battery(message.percentage, time.monotonic())

    # ---- switches

    def _begin(self, adopted: str, now_s: float) -> None:
        if self._machine is None or self._config is None:
            return
        self._began = True
        self._machine.begin(now_s, adopted)
        what = f"found in {adopted}" if adopted else f"start in {self._config.start}"
        self.node.get_logger().info(f"mode: {what}; there are {', '.join(self._config.modes)}")

    def _request(self, mode: str, reason: str, now_s: float) -> str:
        """Ask for a mode; a refusal is logged and returned."""
        machine, log = self._machine, self.node.get_logger()
        if machine is None:
            return "the supervisor has no modes"
        goal = self.node.supervision.goal
        if not self.node.is_active or goal is not NodeState.ACTIVE:
            refusal = "modes are switched in a stack that is up; this one is not"
        else:
            was_under_way = machine.under_way
            absent = {name for name, node in self._seen().items() if node.parked}
            refusal = machine.request(mode, reason, now_s, self.node.memory_available_mb, absent)
            if machine.under_way and not was_under_way:
                log.info(f"mode: {machine.mode} -> {mode} ({reason})")
        if refusal:
            self.node.log_state(f"mode {mode} ({reason}) refused: {refusal}", lasts=False)
        return refusal

    def _carry_out(self, wave: Wave) -> None:
        supervision = self.node.supervision
        self.node.get_logger().info(f"mode: {wave.title}{_details(wave)}")
        machine = self._machine
        if machine is None or self._hooks is None:
            return
        if wave.hook is not None:
            self._hooks.begin(wave.hook, machine.hook_done, time.monotonic())
        for name, values in wave.settings.items():
            full_name = self._names[name]
            supervision.want_parameters(full_name, values, reconfigure=True)
            managed = supervision.nodes[full_name]
            managed.spec = replace(managed.spec, priority_class=machine.told[name].priority_class)
        for name, state in wave.states.items():
            # What is up is as everybody expects it; what is not needs a reason.
            reason = "" if state is NodeState.ACTIVE else f"mode: {wave.title}"
            supervision.want_node(self._names[name], state, reason)
        for name, rate_hz in wave.rates.items():
            self._want_rate(name, rate_hz)
        self.node.ceilings.update({self._names[name]: told.state for name, told in machine.told.items()})

    def _want_rate(self, name: str, rate_hz: float) -> None:
        """Want a mode's rate of a node; where the mode leaves it at robot.yaml's, what somebody wants in its place holds."""
        supervision, full_name = self.node.supervision, self._names[name]
        if self._config is not None and rate_hz == self._config.base[name].rate_hz:
            rate_hz = float(self.node.params.get(f"rate_hz.{name}", rate_hz))
        by_hand = supervision.nodes[full_name].rate_by_hand
        if by_hand is not None and rate_hz == supervision.nodes[full_name].base_hz:
            return
        if by_hand is not None:
            text = f"{name}: {by_hand:g} Hz, which was set by hand, is over: the mode wants {rate_hz:g} Hz"
            self.node.get_logger().warning(text)
        supervision.want_rate(full_name, rate_hz, "mode")

    def _interrupt(self, reason: str) -> None:
        machine = self._machine
        outcome = None if machine is None else machine.interrupt(reason, self._carry_out)
        if outcome is not None:
            self._ended(outcome, time.monotonic())

    def _ended(self, outcome: SwitchOutcome, now_s: float) -> None:
        log = self.node.get_logger()
        if outcome.success:
            log.info(f"mode: {outcome.message}")
        else:
            self.node.log_state(f"mode {outcome.target} failed: {outcome.message}", lasts=False)
        if self._rule is not None and not outcome.success:
            self._rules.failed(self._rule, now_s)
        elif self._rule is not None:
            self._rules.done(self._rule)
        self._rule = None
        if outcome.success:
            self.node.mode = outcome.mode
            self._rules.entered(outcome.mode, now_s)
        self._answer(outcome.success, outcome.message)

    def _answer(self, success: bool, message: str) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result((success, message))

    # ---- what is seen

    def _heard(self, now_s: float) -> dict[str, NodeState]:
        """Return the states of the nodes that were heard, and remember the rates that they had when they first were."""
        states = {}
        for name, full_name in self._names.items():
            status = self.node.status(full_name)
            if status is not None:
                states[name] = self.node.supervision.nodes[full_name].state
                self._rates.setdefault(name, status.target_hz)
                self._first_s = min(self._first_s, now_s)
        return states

    def _seen(self) -> dict[str, Seen]:
        nodes = self.node.supervision.nodes
        now_s = time.monotonic()
        told = {} if self._machine is None else self._machine.told
        return {
            name: _seen(nodes[full_name], told[name].state, now_s) for name, full_name in self._names.items()
        }

    def _learn(self) -> None:
        for name, full_name in self._names.items():
            status = self.node.status(full_name)
            if status is not None and self._needs is not None:
                state = self.node.supervision.nodes[full_name].state
                self._needs.observe(name, state, status.rss_mb, _inference_ms(status), status.rate_hz)


def _seen(node: ManagedNode, told: NodeState, now_s: float) -> Seen:
    settings = node.settings
    return Seen(
        node.state,
        settled=settings.settled,
        refusals=settings.refusals,
        troubled=node.troubled,
        given_up=node.given_up,
        parked=node.parked,
        held_down=lower(node.own_goal, told) is not told,
        message=explain(node, now_s),
    )


def _inference_ms(status: NodeStatus) -> float:
    return next((float(stage.p50_ms) for stage in status.stages if stage.name == "inference"), math.nan)


def _details(wave: Wave) -> str:
    parts = [f"{name} {state.label}" for name, state in wave.states.items()]
    parts += [f"{name} {hz:g} Hz" for name, hz in wave.rates.items()]
    parts += [
        f"{name} {key}={value}" for name, values in wave.settings.items() for key, value in values.items()
    ]
    return f": {', '.join(parts)}" if parts else ""
