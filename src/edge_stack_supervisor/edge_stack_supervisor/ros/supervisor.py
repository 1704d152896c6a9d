# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The supervisor node: brings the nodes of robot.yaml up in stages, and back when they die; shows their state.

A unit of work is one node_status or one tick; edge_stack_supervisor.supervision decides, this node sends. It never waits
for an answer inside a callback, starts no process (the launch system or the process runner does), and stops
nobody when it dies: a new supervisor adopts the nodes as they are.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_stack_msgs.msg import NodeStatus, StackState
from edge_stack_msgs.srv import ManageStack
from rcl_interfaces.msg import ParameterEvent
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import qos_profile_parameter_events
from rclpy.serialization import deserialize_message
from rclpy.task import Future

from edge_stack_core.process_environment import send_small_messages_only
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import DIAGNOSTICS_PERIOD_S
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter, declare
from edge_stack_core.state_log import kind_of
from edge_stack_supervisor.ros.supervision_clients import SupervisionClients
from edge_stack_supervisor.ros.supervision_messages import (
    node_diagnostics,
    report_of,
    short_name,
    stack_state_message,
)
from edge_stack_supervisor.ros.supervisor_board import BoardPart
from edge_stack_supervisor.ros.supervisor_modes import ModesPart
from edge_stack_supervisor.ros.supervisor_parameters import PARAMETERS, limits_from, stack_of
from edge_stack_supervisor.ros.supervisor_part import SupervisingNode, SupervisorPart
from edge_stack_supervisor.supervision import (
    Health,
    NodeFault,
    NodeSpec,
    NodeState,
    NodeView,
    ParameterCall,
    ProcessWatch,
    StackPhase,
    StackSupervision,
    StateStore,
    TransitionCall,
    Verb,
)
from edge_stack_supervisor.supervision.explain import NOT_FOUND

EXECUTABLE = "supervisor"
# What the supervisor does beside keeping nodes up, in order of their steps.
PARTS: tuple[type[SupervisorPart], ...] = (ModesPart, BoardPart)
TICK_S = 0.1  # also the period of stack_state, which others take for the supervisor's heartbeat
# Of one node, that are remembered as logged.
TROUBLES_MAX = 16
# An event names the parameters of one node that were set, and their values.
PARAMETER_EVENT_BYTES = 65_536
PART_TICKS = 2  # parts are stepped at every second tick, unless the board is to be read more often than that


@dataclass
class _ManageRequest:
    """A verb whose caller waits for the stack to get there."""

    verb: Verb
    until_s: float
    done: Future


class SupervisorNode(SupervisingNode):
    """Supervises the nodes of one stack."""

    DIAGNOSTIC_TASK = "supervision"
    LATER_PARAMETERS = ("rate_hz.",)
    PARAMETERS = (*PARAMETERS, *(parameter for part in PARTS for parameter in part.PARAMETERS))

    def __init__(self, name: str = EXECUTABLE, **kwargs: Any) -> None:
        """Declare parameters; nothing is read before configure."""
        super().__init__(name, **kwargs)
        self._parts = tuple(part(self) for part in PARTS)
        self._watch = ProcessWatch(self._supervision)
        self._startup_due = False
        self._memory = StateStore(self.get_fully_qualified_name())
        self._ticks = 0
        self._part_ticks = PART_TICKS
        self._calls = SupervisionClients(self)
        self._request: _ManageRequest | None = None
        self._shown: dict[str, tuple[NodeState, int, Health, NodeFault]] = {}
        self._part_problem = ""
        self._adopted: frozenset[str] = frozenset()
        self._wishes: dict[
            str, tuple[str, float | None, float | None]
        ] = {}  # rates, as they were logged last
        self._troubles: dict[str, set[str]] = {}  # of each node, as they were logged since it was well
        self._diagnosed_s = -math.inf
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._tick_timer: Any = None
        self._manage_service: Any = None

    # ---- lifecycle --------------------------------------------------------------------------------

    def configure_node(self) -> None:
        """Read the stack and get ready to watch it."""
        p = self.params
        nodes = stack_of(p).select(sim=p.sim, disabled=p.disabled)
        specs = [
            NodeSpec(self._full_name(n.name), n.priority_class, n.stage, n.rate_hz)
            for n in nodes
            if self._full_name(n.name) != self.get_fully_qualified_name()
        ]
        self._supervision = StackSupervision(specs, limits_from(p))
        self._watch = ProcessWatch(self._supervision)
        self._statuses = {}
        self._part_ticks = 1 if p.board_period_s < PART_TICKS * TICK_S else PART_TICKS
        self._declare_rates(specs)
        adopted, rates, self.mode = self._memory.recall(self._supervision, time.monotonic())
        self._adopted = frozenset(adopted)
        known = {name: rate_hz for name, rate_hz in rates.items() if name in self._specs}
        self.set_parameters([RosParameter(name, value=rate_hz) for name, rate_hz in known.items()])
        if adopted:
            self.get_logger().info(f"adopting {', '.join(map(short_name, adopted))} as they are")
        self._state_publisher = self.publisher(StackState, "stack_state", qos.state())
        self.subscription(NodeStatus, "node_status", self._take_status, qos.status())
        self.subscription(
            ParameterEvent,
            "/parameter_events",
            self._take_parameter_event,
            qos_profile_parameter_events,
            raw=True,
            max_bytes=PARAMETER_EVENT_BYTES,
        )
        # Its callback awaits the outcome, so it must not share the other callbacks' group: they would wait
        # for it.
        self._manage_service = self.create_service(
            ManageStack, "~/manage", self._manage, callback_group=ReentrantCallbackGroup()
        )
        for part in self._parts:
            part.configure(specs)

    def activate_node(self) -> None:
        """Start to supervise; with startup, bring the stack up."""
        self._startup_due = self.params.startup
        self._shown, self._part_problem = {}, ""
        self.get_logger().info(
            f"supervising {', '.join(short_name(name) for name in self._supervision.nodes)}"
        )
        for part in self._parts:
            part.activate()
        # On a steady clock: supervision goes on while simulated time stands still.
        self._tick_timer = self.create_timer(TICK_S, self._tick, clock=self._steady)

    def deactivate_node(self) -> None:
        """Stop to supervise; the nodes go on as they are."""
        if self._tick_timer is not None:
            self.destroy_timer(self._tick_timer)
            self._tick_timer = None
        for part in self._parts:
            self._guarded(part, part.deactivate)
        self._answer_request(False, "the supervisor was deactivated")

    def cleanup_node(self) -> None:
        """Forget the stack."""
        for part in self._parts:
            self._guarded(part, part.cleanup)
        self._calls.close()
        if self._manage_service is not None:
            self.destroy_service(self._manage_service)
            self._manage_service = None
        self._watch.close()
        self._memory.forget()
        self._supervision = StackSupervision([])

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take wanted rates; the rest is for the parts."""
        for part in self._parts:
            part.parameters_changed(changed)
        for name, value in changed.items():
            node = self._supervision.nodes.get(self._full_name(name.removeprefix("rate_hz.")))
            # What was adopted is known better than by the rates that were remembered with it.
            is_adopted = node is not None and node.spec.name in self._adopted and not self.is_active
            if name.startswith("rate_hz.") and node is not None and not is_adopted:
                node.want_rate(float(value))

    # ---- work -------------------------------------------------------------------------------------

    def _take_status(self, status: NodeStatus) -> None:
        if status.name not in self._supervision.nodes:
            return
        self._statuses[status.name] = status
        report = report_of(status)
        before = self._supervision.nodes[status.name].state
        self._supervision.observe(status.name, report, time.monotonic())
        if before is not report.state:
            self._step()

    def _take_parameter_event(self, data: bytes) -> None:
        """See whether somebody has set the rate of a node by hand."""
        if b"\x00rate_hz\x00" not in data:  # nearly all of them: they are not worth a message
            return
        event = deserialize_message(data, ParameterEvent)
        for parameter in event.changed_parameters:
            if parameter.name != "rate_hz" or event.node not in self._supervision.nodes:
                continue
            rate_hz = float(parameter.value.double_value)
            if self._supervision.rate_was_set(event.node, rate_hz, time.monotonic()):
                name = short_name(event.node)
                self.get_logger().info(
                    f"{name}: rate_hz {rate_hz:g} was set by hand; it holds for this process, or until a mode or"
                    f" rate_hz.{name} changes it"
                )

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._ticks += 1
        if self._startup_due and all(part.ready(now_s) for part in self._parts):
            self._startup_due = False
            if self._supervision.goal is None:
                self._supervision.request(Verb.STARTUP, now_s)
        if self._ticks % self._part_ticks == 0:
            for part in self._parts:
                self._guarded(part, functools.partial(part.step, now_s))
        for note in self._watch.tick(now_s):
            self.log_state(note, lasts=False)
        self._step()
        self._publish_state()
        if now_s - self._diagnosed_s >= DIAGNOSTICS_PERIOD_S:
            self._publish_health(now_s)
        self._calls.drop_unused()

    def _guarded(self, part: SupervisorPart, action: Callable[[], None]) -> None:
        """Let a part act; what it raises ends neither the supervisor nor another part's turn."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            self.count_raised(type(part).__name__, error)

    def _step(self) -> None:
        if not self.is_active:
            return  # an answer that came late
        now_s = time.monotonic()
        calls = self._supervision.step(now_s, self._calls.reachable)
        rates = {name: self.params[name] for name in self._specs if name.startswith("rate_hz.")}
        self._memory.save(self._supervision, rates, self.mode)  # before anybody sees what it is about
        self._show_changes(now_s)
        for call in calls:
            self._log_call(call)
            if isinstance(call, TransitionCall):
                self._calls.ask_for(call, self._transition_answered)
            else:
                self._calls.set_parameters(call, self._parameters_answered)
        request = self._request
        if request is not None:
            trouble = self._supervision.unsettled(now_s)
            if self._supervision.settled:
                self._answer_request(not trouble, trouble)
            elif now_s > request.until_s:
                self._answer_request(False, f"{request.verb.label} is not done yet: {trouble}")

    def _transition_answered(self, call: TransitionCall, success: bool) -> None:
        if call.node in self._supervision.nodes:
            self._supervision.answered(call, success, time.monotonic())
            self._step()

    def _parameters_answered(self, call: ParameterCall, refusals: Mapping[str, str]) -> None:
        if call.node in self._supervision.nodes:
            self._supervision.parameters_answered(call, refusals)

    async def _manage(
        self, request: ManageStack.Request, response: ManageStack.Response
    ) -> ManageStack.Response:
        """Take a verb and answer when the stack has got there, or cannot."""
        try:
            response.success, response.message = await self._carry_out(request.command, request.nodes)
        except Exception as error:  # noqa: BLE001
            self.count_raised("manage", error)
            response.success, response.message = False, f"{type(error).__name__}: {error}"
        return response

    async def _carry_out(self, command: int, names: Sequence[str]) -> tuple[bool, str]:
        try:
            verb = Verb(command)
        except ValueError:
            return False, f"{command} is no command; see edge_stack_msgs/srv/ManageStack"
        if not self.is_active:
            return False, f"the supervisor is {self.state_label}, not active"
        now_s = time.monotonic()
        if verb is Verb.RELEASE:
            refusal = self._supervision.release([self._full_name(name) for name in names])
        elif names:
            refusal = f"{verb.label} is for the whole stack; only release takes names of nodes"
        else:
            refusal = self._supervision.request(verb, now_s)
        if refusal:
            return False, refusal
        self.get_logger().info(verb.label)
        self._answer_request(False, f"{verb.label} was requested meanwhile")
        request = _ManageRequest(verb, now_s + self.params.manage_timeout_s, Future())
        self._request = request
        success, message = await request.done
        return bool(success), str(message)

    def _answer_request(self, success: bool, message: str) -> None:
        if self._request is not None:
            self._request.done.set_result((success, message))
            self._request = None

    # ---- what is shown ----------------------------------------------------------------------------

    def _publish_state(self) -> None:
        views = self._supervision.view(time.monotonic())
        stamp = self.get_clock().now().to_msg()
        message = stack_state_message(self._supervision.phase, views, stamp)
        for part in self._parts:
            part.show(message)
        self._state_publisher.publish(message)

    def _publish_health(self, now_s: float) -> None:
        self._diagnosed_s = now_s
        host, statuses = self.hardware_id(), []
        for view in self._supervision.view(now_s):
            name = short_name(view.name)
            statuses.append(node_diagnostics(self.diagnostic_name(f"node {name}"), view, host))
            if view.message == NOT_FOUND:  # no change of its state is going to log it
                self.log_state(f"{name}: {view.message}")
        self.publish_diagnostics(statuses)

    def _show_changes(self, now_s: float) -> None:
        """Publish at once, and log, what is new since the last step."""
        views = self._supervision.view(now_s)
        shown = {view.name: (view.state, view.pid, view.health, view.fault) for view in views}
        problem = "; ".join(text for part in self._parts for text in part.problems())
        if shown == self._shown and problem == self._part_problem:
            return
        self._part_problem = problem
        for view in views:
            before = self._shown.get(view.name)
            if before is not None and before[:2] != (view.state, view.pid):
                self._log_change(view, before[0])
        self._shown = shown
        self._publish_state()
        self._publish_health(now_s)
        troubled = [short_name(v.name) for v in views if v.health in (Health.ERROR, Health.STALE)]
        if troubled and self._supervision.phase in (StackPhase.DEGRADED, StackPhase.STOPPING):
            problem = f"{self._supervision.phase.name.lower()}: {', '.join(troubled)}"
        self._problem = problem  # logged by the part, or as the change of each node

    def _log_call(self, call: TransitionCall | ParameterCall) -> None:
        """Log what is asked of a node: not each attempt, nor each step of a governor on its way."""
        node, name = self._supervision.nodes[call.node], short_name(call.node)
        if isinstance(call, TransitionCall):
            if not node.attempts and not node.unanswered:
                self.get_logger().info(f"{name}: {call.transition.label}")
            return
        reason = node.reasons.get("rate", "")
        wish = kind_of(reason), node.base_hz, node.rate_by_hand
        if set(call.values) == {"rate_hz"} and self._wishes.get(name) == wish:
            return
        self._wishes[name] = wish
        values = ", ".join(f"{key} {value}" for key, value in call.values.items())
        self.get_logger().info(f"{name}: {values}" + (f" ({reason})" if reason else ""))

    def _log_change(self, view: NodeView, before: NodeState) -> None:
        if view.state.is_transition:
            return
        text = f"{short_name(view.name)}: {before.label} -> {view.state.label}"
        if view.state is view.wanted and view.state is NodeState.ACTIVE and view.recoveries:
            text += f" (recoveries: {view.recoveries}, the last one took {view.last_recovery_s:.2f} s)"
        elif view.message:
            text += f" ({view.message})"
        said = self._troubles.setdefault(view.name, set())
        if not view.message or view.state is view.wanted:
            said.clear()
        elif kind_of(text) in said:
            return  # one more attempt
        elif len(said) < TROUBLES_MAX:
            said.add(kind_of(text))
        if view.health in (Health.ERROR, Health.STALE):
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    # ---- inside -----------------------------------------------------------------------------------

    def _full_name(self, name: str) -> str:
        return f"{self.get_namespace().rstrip('/')}/{name}"

    def _declare_rates(self, specs: list[NodeSpec]) -> None:
        """Declare a live parameter rate_hz.<node>, the wanted rate, for each node that has one."""
        for spec in specs:
            if spec.rate_hz is None:
                continue
            parameter = Parameter(
                f"rate_hz.{short_name(spec.name)}",
                spec.rate_hz,
                "Wanted rate of this node, Hz; 0 pauses it.",
                minimum=0.0,
                maximum=1000.0,
                live=True,
            )
            if parameter.name not in self._specs:
                self._specs[parameter.name] = parameter
                for problem in declare(self, [parameter], self.params):
                    self.get_logger().error(problem)
            self._supervision.want_rate(spec.name, self.params[parameter.name])


def main() -> None:
    """Run the supervisor until SIGINT or SIGTERM."""
    send_small_messages_only()  # its calls must reach the next process of a killed node at once
    run(SupervisorNode)


if __name__ == "__main__":
    main()
