# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Base class of every node: a lifecycle node that says why a transition failed, counts what it does, and never dies of input.

A subclass lists its PARAMETERS and implements configure_node, activate_node, deactivate_node and cleanup_node; each may
raise to fail its transition with a reason. Everything that arrives on a topic goes through a guarded callback: it runs
only while the node is active, and what it raises is counted and logged, never passed on to the executor.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from edge_stack_msgs.msg import NodeStatus
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.node_statistics import StatisticsSnapshot
from edge_stack_core.problems import Problems
from edge_stack_core.ros import qos
from edge_stack_core.ros.autostart import Autostart
from edge_stack_core.ros.parameters import (
    BASE_PARAMETERS,
    Parameter,
    ParameterValues,
    declare,
    sent,
)
from edge_stack_core.ros.status_messages import figure_texts, node_status_message
from edge_stack_core.ros.topics import TopicNode
from edge_stack_core.runtime.local_process import machine, start_ticks
from edge_stack_core.runtime.process import ProcessSettings, ProcessUsage, apply_process_settings
from edge_stack_core.runtime.progress import WorkProgress
from edge_stack_core.stack_config import renamed_parameter
from edge_stack_core.stamps import SIMULATED_TOLERANCE_S
from edge_stack_core.state_log import StateLog

DIAGNOSTICS_PERIOD_S = 1.0
# Absolute, as /clock is: diagnostic_updater publishes there, whatever its namespace, and diagnostic_aggregator reads it.
DIAGNOSTICS_TOPIC = "/diagnostics"
_STATE_LABELS = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}
# Where a transition leads, by its number.
_RESULTS = {
    Transition.TRANSITION_CONFIGURE: "inactive",
    Transition.TRANSITION_CLEANUP: "unconfigured",
    Transition.TRANSITION_ACTIVATE: "active",
    Transition.TRANSITION_DEACTIVATE: "inactive",
}


class StackNode(TopicNode):
    """
    A node of the stack.

    params: current parameter values, by attribute. stats: what the node counts about itself. work: what its working thread
    says of itself at each step, by which a supervisor sees that it hangs; a node without such a thread leaves it alone.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()
    DIAGNOSTIC_TASK: ClassVar[str] = "work"
    """What the node's own diagnostic status is about: it is named "<node>: <task>"."""
    LATER_PARAMETERS: ClassVar[tuple[str, ...]] = ()
    """Prefixes of parameters that are declared at configure, when it is known which there are."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Declare parameters and start reporting; nothing is loaded before configure."""
        super().__init__(name, **kwargs)
        self.params = ParameterValues()
        self.work = WorkProgress()
        self._started_ticks = start_ticks(os.getpid())
        self._specs = {p.name: p for p in (*BASE_PARAMETERS, *self.PARAMETERS)}
        self._bad_parameters: dict[str, str] = {}
        self._message = ""
        self._problem = ""
        self._unknown = ""
        self._state_log = StateLog()
        self._problems = Problems()
        self._closing = False
        self._usage = ProcessUsage()

        for spec in self._specs.values():
            for problem in declare(self, [spec], self.params):
                self._bad_parameters[spec.name] = problem
                self.get_logger().error(problem)
        unknown = sorted(
            n
            for n in self._parameter_overrides
            if not self.has_parameter(n) and not n.startswith(("qos_overrides.", *self.LATER_PARAMETERS))
        )
        for name in unknown:
            if renamed := renamed_parameter(name, self._parameter_overrides[name].value, self._specs):
                self._bad_parameters[name] = f"parameter {name}: {renamed}"
                self.get_logger().error(self._bad_parameters[name])
        unknown = [name for name in unknown if name not in self._bad_parameters]
        if unknown:
            words = (f"{name}{_nearest(name, self._specs)}" for name in unknown)
            self._unknown = f"unknown parameters are ignored: {', '.join(words)}"
            self.get_logger().warning(self._unknown)
        self.add_on_set_parameters_callback(self._check_parameters)
        # A request that the state machine refuses raises in rclpy; here it is answered with success=False.
        self._change_state_unguarded = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_guarded

        self._status_publisher = self.create_publisher(NodeStatus, "node_status", qos.status())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, DIAGNOSTICS_TOPIC, qos.status())
        self._status_timer = self.steady_timer(self.params.status_period_s, self.publish_status)
        self._diagnostics_timer = self.steady_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        self._apply_process_settings()
        self._autostart: Autostart | None = None
        if self.params.autostart:
            self._autostart = Autostart(self, lambda: self.state_label, self.publish_status)
        self.publish_status()

    # ---- for subclasses: the lifecycle ------------------------------------------------------------------------------

    def configure_node(self) -> None:
        """Load parameters and models, create publishers and subscriptions. Raise ConfigurationError to refuse."""

    def activate_node(self) -> None:
        """Start work. Publishers publish once this returns."""

    def deactivate_node(self) -> None:
        """Stop work and keep the model. Publishers are silent already."""

    def cleanup_node(self) -> None:
        """Free what configure_node made; publishers and subscriptions made through this class go by themselves."""

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take live changes; params holds the new values already. Raise ConfigurationError to refuse all of them."""

    # ---- for subclasses: what a node does -----------------------------------------------------------------------------

    def is_given(self, parameter: str) -> bool:
        """Return whether a parameter was given at start, rather than left at its default."""
        return parameter in self._parameter_overrides

    def now_s(self) -> float:
        """Return the node's clock (system or simulated time), s."""
        return self.get_clock().now().nanoseconds * 1e-9

    @property
    def stamp_tolerance_s(self) -> float:
        """How far ahead of this node's clock a stamp may be, s. Of nodes with the parameter STAMP_TOLERANCE."""
        tolerance_s: float = self.params.stamp_tolerance_s
        simulated = self.get_parameter("use_sim_time").value
        return max(tolerance_s, SIMULATED_TOLERANCE_S) if simulated else tolerance_s

    def report_problem(self, text: str) -> None:
        """Show what is wrong in node_status and diagnostics until clear_problem(); its begin and its end are logged."""
        self._problem = text
        self.log_state(text)

    def log_state(self, text: str, *, lasts: bool = True) -> bool:
        """
        Log a state when it begins and, some time after it was told last, when it has ended; return whether it begins.

        Texts that differ in figures alone are one state (state_log.py). lasts: False for an event, which has no end.
        """
        begins = self._state_log.tell(text, lasts=lasts)
        if begins:
            self.get_logger().warning(text)
        return begins

    def clear_problem(self) -> bool:
        """Take back the last reported problem; return whether there was one."""
        there_was, self._problem = bool(self._problem), ""
        return there_was

    def report_about(self, subject: str, text: str) -> None:
        """Show what is wrong with an input beside the node's own problem; "" takes it back; begin and end are logged."""
        self._problems.set(subject, text)
        if text:
            self.log_state(text)

    def count_wrong_output(self, where: str, text: str, event: str = "wrong_output") -> None:
        """Count a result that is of no use, and show it: if there are more of them, the supervisor starts the node anew."""
        self.stats.event(where, event)
        self.report_problem(f"{where}: {text}")

    def work_failed(self, where: str, error: Exception) -> None:
        """Count work that raised in place of giving a result; it counts as a wrong output."""
        self.count_raised(where, error)
        self.count_wrong_output(where, f"{type(error).__name__}: {error}", "work_failed")

    # ---- transitions ----------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure; refused with its reason when a parameter or a file is wrong."""
        self.publish_status()  # loading may take long, and no status leaves while it does
        missing = (spec.missing(self.params[name]) for name, spec in self._specs.items() if spec.give)
        wrong = [*self._bad_parameters.values(), *(text for text in missing if text)]
        if wrong:
            return self._refused("configure", ConfigurationError("; ".join(wrong)))
        try:
            self.configure_node()
        except Exception as error:  # noqa: BLE001 (a failed transition is an answer, not a crash)
            self._free()
            return self._refused("configure", error)
        self._message = ""
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate; refused with its reason."""
        self.publish_status()
        self.stats.reset()
        result = super().on_activate(state)
        self._active.set()
        try:
            self.activate_node()
        except Exception as error:  # noqa: BLE001
            self._active.clear()
            super().on_deactivate(state)
            return self._refused("activate", error)
        self._message = ""
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate: no message leaves after this."""
        self.publish_status()
        self._active.clear()
        try:
            self.deactivate_node()
        except Exception as error:  # noqa: BLE001
            self.count_raised("deactivate", error)
        self._problem = ""
        self._problems.forget()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free models, publishers and subscriptions."""
        self.publish_status()
        self._free()
        self._message = ""
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop work and free everything, from any state."""
        self._end_work()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an error inside rclpy's own part of a transition."""
        self._active.clear()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """End the node's work whatever its state; called on the way out of the process."""
        self._closing = True
        with contextlib.suppress(Exception):  # the context may be gone
            self.publish_status()  # its end may take a while, and no status leaves meanwhile
        self._end_work()

    def _end_work(self) -> None:
        if self.is_active:
            self._active.clear()
            try:
                self.deactivate_node()
            except Exception as error:  # noqa: BLE001
                self.count_raised("shutdown", error)
        self._free()

    # ---- status -----------------------------------------------------------------------------------------------------------

    @property
    def state_label(self) -> str:
        """Label of the lifecycle state."""
        return str(self._state_machine.current_state[1])

    def target_hz(self) -> float:
        """Return the wanted rate of the node's work, for its status; 0 = paused or as input arrives."""
        return float(self.params["rate_hz"]) if "rate_hz" in self.params else 0.0

    def publish_status(self) -> None:
        """Publish node_status now, and log what has ended."""
        for line in self._state_log.tick((self._message, self._problem, *self._problems.texts)):
            self.get_logger().info(line)
        state_id, label = self._state_machine.current_state
        if self._closing:
            state_id, label = State.TRANSITION_STATE_SHUTTINGDOWN, "shuttingdown"
        status = node_status_message(self.stats.snapshot(), self._usage.sample(), self.work.state())
        status.name = self.get_fully_qualified_name()
        status.pid = os.getpid()
        status.machine, status.started_ticks = machine(), self._started_ticks
        status.priority_class = self.params.priority_class
        status.state_id = state_id
        status.state = _STATE_LABELS.get(state_id, label)
        status.message = self._trouble() or self._unknown
        status.target_hz = self.target_hz()
        status.header.stamp = self.get_clock().now().to_msg()
        self._status_publisher.publish(status)

    def diagnostic_values(self, figures: StatisticsSnapshot) -> dict[str, str]:
        """Return key-value pairs for diagnostics; subclasses may add theirs."""
        return {
            "state": self.state_label,
            "class": self.params.priority_class,
            "target_hz": f"{self.target_hz():.2f}",
            **figure_texts(figures),
        }

    def diagnostic_level(self) -> bytes:
        """Return how bad it is that there is a problem: it works less well, or in no way; subclasses may know better."""
        return DiagnosticStatus.WARN if self.is_active else DiagnosticStatus.ERROR

    def hardware_id(self) -> str:
        """Return what the diagnostics are about, such as a device or a robot; this computer, unless a subclass knows."""
        return socket.gethostname()

    def publish_diagnostics(self, statuses: Sequence[DiagnosticStatus]) -> None:
        """Publish statuses of this node, each named by diagnostic_name()."""
        array = DiagnosticArray(status=list(statuses))
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(array)

    def diagnostic_name(self, task: str) -> str:
        """Return the name of a status, as diagnostic_updater makes it, with the namespace that tells two stacks apart."""
        return f"{self.get_fully_qualified_name().lstrip('/')}: {task}"

    def _publish_diagnostics(self) -> None:
        trouble = self._trouble()
        values = self.diagnostic_values(self.stats.snapshot())
        status = DiagnosticStatus(
            level=self.diagnostic_level()
            if trouble
            else (DiagnosticStatus.WARN if self._unknown else DiagnosticStatus.OK),
            name=self.diagnostic_name(self.DIAGNOSTIC_TASK),
            message=trouble or self._unknown or self.state_label,
            hardware_id=self.hardware_id(),
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        self.publish_diagnostics([status])

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _trouble(self) -> str:
        """Return everything that is wrong, in words; "" if nothing is."""
        return self._message or "; ".join(filter(None, (self._problem, *self._problems.texts)))

    def _refused(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        text = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        self._message = f"{transition} failed: {text}"
        if self._state_log.tell(self._message):  # it is attempted again and again
            self.get_logger().error(self._message)
        return TransitionCallbackReturn.FAILURE

    def _free(self) -> None:
        self._end_subscriptions()
        try:
            self.cleanup_node()
        except Exception as error:  # noqa: BLE001
            self.count_raised("cleanup", error)
        self._end_publishers()
        gc.collect()

    def _change_state_guarded(self, request: Any, response: Any) -> Any:
        wanted = request.transition
        names = {number: label for number, label, *_ in self._state_machine.available_transitions}
        try:
            if not wanted.label and wanted.id not in names:  # else the middleware would log it, as an error
                raise ValueError(f"there are {', '.join(dict.fromkeys(names.values()))}")
            response = self._change_state_unguarded(request, response)
        except Exception as error:  # noqa: BLE001
            response.success = False
            if (
                _RESULTS.get(wanted.id) != self.state_label
            ):  # else it was asked for twice, for want of an answer
                name = wanted.label or f"{wanted.id}"
                self.log_state(f"transition {name} refused in state {self.state_label}: {error}", lasts=False)
        self.publish_status()
        return response

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """
        Set parameters, as `ros2 param set` and `load` do.

        A name of an earlier version is answered with what to write now, and a value is taken as its parameter's type has it.
        """
        for parameter in parameter_list:
            if parameter.name not in self._specs:
                renamed = renamed_parameter(parameter.name, parameter.value, self._specs)
                if renamed:
                    return SetParametersResult(
                        successful=False, reason=f"parameter {parameter.name}: {renamed}"
                    )
        return super().set_parameters_atomically(sent(self, parameter_list, self._specs, self.params))

    def _check_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            spec = self._specs.get(parameter.name)
            if spec is None:
                continue
            problem = spec.check(parameter.value)
            if (
                problem is None
                and not spec.live
                and not self.params.holds(parameter.name, parameter.value)
                and self._state_machine.current_state[1] in ("inactive", "active")
            ):
                problem = f"parameter {parameter.name} takes effect at configure; deactivate and clean up the node first"
            if problem is not None:
                return SetParametersResult(successful=False, reason=problem)
        # This is the only such callback and ranges were checked before it, so nothing refuses them after this.
        return self._take_parameters(parameters)

    def _take_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        """Take checked values; those that the node itself refuses are taken back."""
        changed = {p.name: p.value for p in parameters if p.name in self._specs}
        before = {name: self.params[name] for name in changed if name in self.params}
        for name, value in changed.items():
            self.params.assign(name, value)
        live = {n: self.params[n] for n in changed if self._specs[n].live}
        if "fault_hang_s" in live:
            self.work.hang(live.pop("fault_hang_s"))
        if live:
            try:
                self.on_parameters_changed(live)
            except ConfigurationError as error:
                for name, value in before.items():
                    self.params.assign(name, value)
                return SetParametersResult(successful=False, reason=str(error))
            except Exception as error:  # noqa: BLE001
                self.count_raised("parameters", error)
        for name in changed:
            self._bad_parameters.pop(name, None)
        return SetParametersResult(successful=True)

    def _apply_process_settings(self) -> None:
        p = self.params
        settings = ProcessSettings(
            title=p.process_title or f"edge_stack{self.get_fully_qualified_name()}",
            cpu_affinity=p.cpu_affinity,
            nice=p.nice or None,
            scheduling_policy=p.scheduling_policy,
            scheduling_priority=p.scheduling_priority,
        )
        for refusal in apply_process_settings(settings):
            self.get_logger().warning(refusal)


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""
