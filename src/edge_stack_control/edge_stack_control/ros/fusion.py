# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node: commands the robot at a fixed rate from action chunks, within limits, and holds or stops by its rules.

Its unit of work is one control tick, in a thread of its own; the executor's thread receives, checks and reports. The tick
needs no message to arrive and nobody's permission: with every other node gone it goes on and holds the robot. It never
waits for the executor, never logs and never publishes anything but the command. Two processes of it may run, one as the
other's standby: exactly one commands (runtime/lease.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from edge_stack_msgs.msg import FusionStatus
from rclpy.parameter import Parameter as RosParameter
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from edge_stack_control.chunk_intake import IntakeLimits, Outcomes
from edge_stack_control.clock_watch import ClockWatch
from edge_stack_control.controller import Command, Controller, Surroundings
from edge_stack_control.explain import explain
from edge_stack_control.ros.action_door import ActionDoor
from edge_stack_control.ros.commander_watch import CommanderWatch
from edge_stack_control.ros.fusion_inputs import FusionInputs
from edge_stack_control.ros.fusion_messages import (
    COMMAND_FORMATS,
    CommandWriter,
    fusion_status,
    state_markers,
)
from edge_stack_control.ros.fusion_parameters import (
    PARAMETERS,
    controller_settings,
    joint_limits,
    watch_settings,
)
from edge_stack_control.ros.fusion_standby import CommandShare
from edge_stack_control.ros.fusion_statistics import ControlStatistics
from edge_stack_control.ros.fusion_stop import StopRequests, live_stops
from edge_stack_control.rules import ControlState, Reason
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.node_statistics import (
    LatencyWindow,
    Quantiles,
    RateMeter,
    StatisticsSnapshot,
)
from edge_stack_core.process_environment import send_small_messages_only
from edge_stack_core.robot import load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.robot_frames import TOPIC, camera_frames
from edge_stack_core.runtime.control_thread import ControlThread, ControlThreadFigures, ControlThreadSettings
from edge_stack_core.runtime.progress import WorkProgress

STATUS_PERIOD_S = 0.2
FAR_S = 1.0


# Live parameters: what is changed at one process holds for its standby too.
_SHARED = frozenset(p.name for p in PARAMETERS if p.live)


class FusionNode(StackNode):
    """Turns action chunks into the robot's commands."""

    PARAMETERS = PARAMETERS
    DIAGNOSTIC_TASK = "control loop"

    def __init__(self, name: str = "fusion", **kwargs: Any) -> None:
        """Declare parameters; nothing commands before activate."""
        self._thread: ControlThread | None = None
        self._command: Command | None = None
        self._around = Surroundings()  # what the last tick knew
        self._tick_error: Exception | None = None
        self._clock_watch = ClockWatch()
        self._warned: set[str] = set()
        self._rate = RateMeter()
        self._ages = LatencyWindow()
        self._share = CommandShare(self)
        self._stop_requests = StopRequests(self, self._share, self._recover_page)
        self._commanders = CommanderWatch(self)
        self._forget()
        super().__init__(name, **kwargs)
        self.stats = ControlStatistics(self._control_figures)
        self.work = WorkProgress(patient=False)  # a tick waits for nothing

    # ---- lifecycle --------------------------------------------------------------------------------------------------

    def configure_node(self) -> None:
        """Load the robot, make the controller, and connect."""
        p = self.params
        robot = load_robot(p.robot_file)
        self._base_frame = p.frame_prefix + robot.base_frame
        self._robot = robot
        self._period_s = 1.0 / p.control_rate_hz
        self._controller = Controller(
            joint_limits(robot, p), self._period_s, controller_settings(p), self._intake_limits()
        )
        self._share.open(p.standby_of, robot.joint_names, self._period_s, persists=p.stop_persists)
        self._writer: CommandWriter = COMMAND_FORMATS[p.command_format](robot.joint_names, self._period_s)
        self._forget()

        self._commands = self._commanders.open(
            self._writer.message_type, qos.command(p.control_rate_hz), self._period_s, self._share.page
        )
        self._status = self.publisher(FusionStatus, "fusion_status", qos.status())
        principal = p.standby_of or "~"
        self._markers = self.publisher(MarkerArray, f"{principal}/markers", qos.result())
        self._camera_frames = self.publisher(TFMessage, TOPIC, qos.state()) if self._owns_frames() else None
        self._actions = ActionDoor(self, self._controller)
        self._inputs = FusionInputs(self, robot, watch_settings(p), tuple(p.camera_info_topics))
        self._stop_requests.open(principal)
        self._status_timer_fusion = self.steady_timer(STATUS_PERIOD_S, self._publish_fusion_status)

    def activate_node(self) -> None:
        """Start commanding, from the measured position."""
        p = self.params
        if self._camera_frames is not None:
            stamp = self.get_clock().now().to_msg()
            self._camera_frames.publish(camera_frames(self._robot, p.frame_prefix, stamp))
        self._controller.reset()
        self._inputs.forget_robot()
        self._command = None
        self._counted = [0, 0]
        self._max_gap_s = 0.0
        self._actions.outcomes = Outcomes()
        self._rate.clear()
        self._ages.clear()
        self._commanders.begin()
        self._thread = ControlThread(
            self._tick,
            p.control_rate_hz,
            ControlThreadSettings(
                priority=p.control_priority,
                companion_priority=p.companion_priority,
                cpu_affinity=p.control_cpu_affinity,
                lock_memory=p.lock_memory,
            ),
            on_error=self._tick_raised,
            progress=self.work,
        )
        try:
            refusals = self._thread.start()
        except RuntimeError:
            self._thread.stop(0.0)  # should it start after all: activation is refused, so nothing may tick
            self._commanders.rest()
            raise
        self._share.begin()
        for refusal in refusals:
            if refusal not in self._warned:
                self._warned.add(refusal)
                self.get_logger().warning(refusal)
        self.get_logger().info(f"commands at {p.control_rate_hz:g} Hz ({self._thread.granted})")

    def deactivate_node(self) -> None:
        """Stop commanding; the robot stays where its own controller holds it."""
        self._share.end_commands()
        if self._thread is not None and not self._thread.stop(1.0):
            self.get_logger().error("the control thread did not end within 1 s")
        self._commanders.rest()
        self._share.leave()

    def cleanup_node(self) -> None:
        """Free the timer; the rest goes by itself."""
        timer = getattr(self, "_status_timer_fusion", None)
        if timer is not None:
            self.destroy_timer(timer)
            self._status_timer_fusion = None
        self._thread = None
        if hasattr(self, "_inputs"):
            self._inputs.close()
        self._commanders.close()
        self._share.close()
        self._stop_requests.close()

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take new limits, times and reactions from the next tick on."""
        p = self.params
        if hasattr(self, "_inputs"):
            if "input" in changed:
                self._controller.drop_actions()
            self._inputs.scene.configure(watch_settings(p))
            self._controller.intake.limits = self._intake_limits()
            self._controller.configure(controller_settings(p), joint_limits(self._robot, p))
        self._share.changed({name: value for name, value in changed.items() if name in _SHARED})

    def _owns_frames(self) -> bool:
        """Whether this node says where the robot's cameras are: a simulator does so itself, and one process is enough."""
        return bool(self._robot.cameras) and not self.params.simulated and not self.params.standby_of

    def target_hz(self) -> float:
        """Rate of commands."""
        return float(self.params.control_rate_hz) if self._share.commands else 0.0

    # ---- the tick (control thread) ----------------------------------------------------------------------------------

    def _tick(self, release_ns: int) -> None:
        """Publish one command, or follow another process's, and let the command topic be looked at."""
        try:
            self._command_once(release_ns)
        finally:
            self._commanders.wake()

    def _command_once(self, release_ns: int) -> None:
        """Reads what the executor's thread stored, as whole objects."""
        monotonic_ns = time.monotonic_ns()
        monotonic_s = monotonic_ns * 1e-9
        now_ns = self.get_clock().now().nanoseconds
        around = self._around = self._surroundings(monotonic_s)
        self._share.follow(self._controller, monotonic_ns)
        command = self._controller.tick(now_ns * 1e-9, monotonic_s, around)
        self._command = command
        if not self._share.take(monotonic_ns):
            if self._thread is not None:
                self._thread.shift(self._share.shift_ns(release_ns))
            return
        gap_s = 0.0
        try:
            if command.positions is None:
                self._commands.assert_liveliness()
            else:
                self._writer.write(command.positions, now_ns)
                self._commanders.send(
                    self._commands.publish, self._writer.message
                )  # asserts liveliness as well
        finally:
            gap_s = self._share.give(command.positions, monotonic_ns, release_ns)
        if command.positions is None:
            return
        self._max_gap_s = max(self._max_gap_s, gap_s)
        self._counted[0] += 1
        self._counted[1] += command.limited
        self._rate.tick(monotonic_s)
        if command.state < ControlState.HOLD:
            self._ages.add(command.action_age_s * 1e3)

    def _surroundings(self, now_s: float) -> Surroundings:
        stops = self._share.stops
        holds = self.params.second_commander == "hold"
        return self._inputs.surroundings(
            now_s,
            stop_requested=stops.requested,
            stop_unknown=stops.unknown,
            second_commander=self._commanders.words(now_s) if holds else "",
        )

    def _tick_raised(self, error: Exception) -> None:
        self._tick_error = error  # logged by the executor's thread

    # ---- status (executor's thread) ---------------------------------------------------------------------------------

    def _watch_clock(self) -> None:
        """Count and say when the node's clock went otherwise than time does: what was stamped before is void."""
        clock = self.get_clock()
        jump_s = self._clock_watch.look(self.now_s(), time.monotonic(), simulated=clock.ros_time_is_active)
        if jump_s:
            self.stats.event("clock", "jumped")
            # A small one, as of a late message, keeps no large one out of the log.
            what = "jumped" if abs(jump_s) >= FAR_S else "is uneven: it went"
            self.log_state(f"the clock {what} by {jump_s:+.2f} s", lasts=False)
            self.publish_status()

    def _watch_share(self) -> None:
        """Take parameters that were changed at the other process; say that this one has taken over."""
        changed = {
            n: v for n, v in self._share.news().items() if n in _SHARED and _plain(self.params[n]) != v
        }
        for name, value in changed.items():
            self.set_parameters_atomically([RosParameter(name, value=value)])
        news = self._share.news_of_lease()
        if news:
            self.get_logger().warning(news)
            self.publish_status()
        self._recover_page()
        news = self._share.check()
        if news:
            self.get_logger().warning(news)

    def _recover_page(self) -> None:
        """Go on in a new page if somebody removed this one; nothing is commanded meanwhile."""
        if not self._share.is_lost():
            return
        self.get_logger().error("the shared memory of commands was removed: goes on in a new one")
        thread = self._thread if self.is_active else None
        try:
            if thread is not None and not thread.stop(1.0):
                raise RuntimeError("the control thread did not end within 1 s")
            self._commanders.use(None, self._period_s)
            self._share.reopen(self._robot.joint_names, self._period_s)
            self._commanders.use(self._share.page, self._period_s)
            if thread is not None:
                thread.start()
                self._share.begin()
        except (ConfigurationError, RuntimeError) as error:
            self.get_logger().fatal(f"{error}: ends, to be started anew")
            raise SystemExit(1) from None

    def _count_event(self, topic: str, name: str, change: int) -> None:
        """A process that does not command misses no deadline of the commands."""
        if topic != "joint_command" or self._share.commands:
            super()._count_event(topic, name, change)

    def diagnostic_level(self) -> bytes:
        """Holding is a warning, and so is a stop that somebody requested; any other stop is an error."""
        command = self._command
        if self._share.commands and command is not None and command.state is ControlState.STOP:
            return (
                DiagnosticStatus.WARN if command.reason is Reason.STOP_REQUESTED else DiagnosticStatus.ERROR
            )
        return super().diagnostic_level()

    def hardware_id(self) -> str:
        """Return the robot's name."""
        return self._robot.name if hasattr(self, "_robot") else super().hardware_id()

    def diagnostic_values(self, figures: StatisticsSnapshot) -> dict[str, str]:
        """Say which part this process plays, and which rules can never fire."""
        role = "commands" if self._share.commands else "stands by"
        rules = self._inputs.scene.problem if hasattr(self, "_inputs") else ""
        values = {"role": role if self.is_active else "none", "rules": rules or "fine"}
        return {**values, **super().diagnostic_values(figures)}

    def _publish_fusion_status(self) -> None:
        self._watch_clock()
        self._watch_share()
        self._commanders.look()
        scene, now_s = self._inputs.scene, time.monotonic()
        scene.look_around(now_s)
        command, thread, around = self._command, self._thread, self._around
        if self._tick_error is not None:
            self.count_raised("tick", self._tick_error)
            self._tick_error = None
        if command is None or thread is None or not self.is_active:
            return
        if command.state is ControlState.RUN or not self._share.commands:
            problems = filter(None, (scene.problem, self._commanders.words(now_s)))
            shown, self._problem = (
                self._problem,
                "; ".join(problems),
            )  # which are logged where they are found, once
            if shown != self._problem:
                self.publish_status()  # who waits for the robot need not wait for the next one
        else:
            words = f": {around.cannot_fire}" if command.reason is Reason.RULE_CANNOT_FIRE else ""
            self.report_problem(f"{command.state.name.lower()}: {command.reason.value}{words}")
        if not self._share.commands:
            return
        stamp, rules = self.get_clock().now().to_msg(), self._controller.settings.rules
        sources = sorted(self._share.stops.held() | live_stops(command, around))
        self._status.publish(
            fusion_status(
                command,
                thread.figures(),
                stamp=stamp,
                frame_id=self._base_frame,
                detail=explain(
                    command,
                    rules,
                    refusal=self._actions.outcomes.refusal,
                    refused=self._inputs.refused,
                    around=around,
                    measurement=self._inputs.measurement_text(),
                    following=self._controller.following,
                    sight=around.sight,
                    perception=scene.stale_words(now_s, rules.perception_timeout_s),
                    limiter=self._controller.limiter,
                    stop_sources=sources,
                ),
                commands=self._counted[0],
                rejected_chunks=self._controller.intake.total_refused,
                outcomes=self._actions.outcomes,
                limited_commands=self._counted[1],
                rate_hz=self._rate.rate_hz(time.monotonic()),
                max_gap_ms=self._max_gap_s * 1e3,
                commander=self.get_fully_qualified_name(),
                standby_ready=self._share.standby_ready,
                takeovers=self._share.takeovers,
                stop_sources=sources,
            )
        )
        if self._markers.get_subscription_count():
            self._markers.publish(state_markers(command, stamp=stamp, frame_id=self._base_frame))

    def _control_figures(self) -> tuple[ControlThreadFigures | None, float, Quantiles]:
        thread = self._thread
        figures = thread.figures() if thread is not None else None
        return figures, self._rate.rate_hz(time.monotonic()), self._ages.quantiles()

    def _intake_limits(self) -> IntakeLimits:
        p = self.params
        return IntakeLimits(future_s=self.stamp_tolerance_s, max_age_s=p.max_action_age_s or math.inf)

    def _forget(self) -> None:
        """Start with nothing seen."""
        self._clock_watch.forget()
        self._tick_error = None


def _plain(value: Any) -> Any:
    """Return a parameter's value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Run the node."""
    # Without shared memory: a port's lock is shared with its readers, and one that is descheduled while it holds the lock
    # blocks publish() here for its whole wait (50 to 100 ms on saturated cores, measured). And after a kill, what goes to
    # and from the next process arrives at once.
    send_small_messages_only()
    run(FusionNode)


if __name__ == "__main__":
    main()
