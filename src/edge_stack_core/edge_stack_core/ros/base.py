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
import gc
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from edge_stack_msgs.msg import NodeStatus
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.node_statistics import StatisticsSnapshot
from edge_stack_core.problems import Problems, same_but_figures
from edge_stack_core.ros import qos
from edge_stack_core.ros.autostart import Autostart
from edge_stack_core.ros.parameters import (
    BASE_PARAMETERS,
    Parameter,
    ParameterValues,
    declare,
    is_empty_array,
    word_of,
)
from edge_stack_core.ros.status_messages import figure_texts, node_status_message
from edge_stack_core.ros.topics import TopicNode
from edge_stack_core.runtime.local_process import machine, start_ticks
from edge_stack_core.runtime.process import ProcessSettings, ProcessUsage, apply_process_settings
from edge_stack_core.runtime.progress import WorkProgress
from edge_stack_core.stack_config import renamed_parameter

DIAGNOSTICS_PERIOD_S = 1.0
_STATE_LABELS = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}


class StackNode(TopicNode):
    """
    A node of the stack.

    params: current parameter values, by attribute. stats: what the node counts about itself. work: what its working thread
    says of itself at each step, by which a supervisor sees that it hangs; a node without such a thread leaves it alone.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()
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
        self._problems = Problems(lambda text: self.get_logger().warning(text), self._say_over)
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
            self.get_logger().warning(f"unknown parameters are ignored: {', '.join(unknown)}")
        self.add_on_set_parameters_callback(self._check_parameters)
        # A request that the state machine refuses raises in rclpy; here it is answered with success=False.
        self._change_state_unguarded = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_guarded

        self._status_publisher = self.create_publisher(NodeStatus, "node_status", qos.status())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "diagnostics", qos.status())
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

    def report_problem(self, text: str) -> None:
        """
        Show what is wrong in node_status and diagnostics until clear_problem(); logged when it begins.

        A text that differs from the one before in figures alone tells of the same problem, and the first one stays.
        """
        if not same_but_figures(text, self._problem):
            self._problem = text
            self.get_logger().warning(text)

    def clear_problem(self) -> bool:
        """Take back the last reported problem; return whether there was one."""
        before, self._problem = self._problem, ""
        if before:
            self._say_over(before)
        return bool(before)

    def report_about(self, subject: str, text: str) -> None:
        """Show what is wrong with an input beside the node's own problem; "" takes it back; begin and end are logged."""
        self._problems.set(subject, text)

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
        """Publish node_status now."""
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
        status.message = self._trouble()
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

    def _publish_diagnostics(self) -> None:
        trouble = self._trouble()
        level = DiagnosticStatus.OK
        if trouble:
            level = DiagnosticStatus.WARN if self.is_active else DiagnosticStatus.ERROR
        status = DiagnosticStatus(
            level=level,
            name=self.get_fully_qualified_name().lstrip("/"),
            message=trouble or self.state_label,
            hardware_id="edge_stack",
        )
        values = self.diagnostic_values(self.stats.snapshot())
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(array)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _say_over(self, text: str) -> None:
        self.get_logger().info(f"over: {text.split(';')[0]}")

    def _trouble(self) -> str:
        """Return everything that is wrong, in words; "" if nothing is."""
        return self._message or "; ".join(filter(None, (self._problem, *self._problems.texts)))

    def _refused(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        text = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        self._message = f"{transition} failed: {text}"
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
        try:
            response = self._change_state_unguarded(request, response)
        except Exception as error:  # noqa: BLE001
            wanted = request.transition.label or str(request.transition.id)
            self.get_logger().warning(f"transition {wanted} refused in state {self.state_label}: {error}")
            response.success = False
        self.publish_status()
        return response

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Set parameters, as `ros2 param set` does: a name of an earlier version is answered with what to write now."""
        taken = []
        for parameter in parameter_list:
            spec = self._specs.get(parameter.name)
            if spec is None and (renamed := renamed_parameter(parameter.name, parameter.value, self._specs)):
                return SetParametersResult(successful=False, reason=f"parameter {parameter.name}: {renamed}")
            word = parameter.value if spec is None else word_of(parameter.value, spec)
            if spec is not None and is_empty_array(word, spec):
                taken.append(RosParameter(parameter.name, RosParameter.Type(spec.descriptor().type), []))
                continue
            taken.append(parameter if word is parameter.value else RosParameter(parameter.name, value=word))
        return super().set_parameters_atomically(taken)

    def _check_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            spec = self._specs.get(parameter.name)
            if spec is None:
                continue
            problem = spec.check(parameter.value)
            if (
                problem is None
                and not spec.live
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
