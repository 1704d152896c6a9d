# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The policy node: turns observations into action chunks, asynchronously and ahead of whoever executes them.

Its unit of work is one prediction, made by a worker thread: at the wanted rate, or sooner where the actions that were sent
would run out before it is there. What it sees comes from policy_inputs, when to ask and how chunks join from a
ChunkStream. It never commands the robot: fusion does, and goes on from the chunks it has if this node is late or
gone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from edge_stack_msgs.msg import ActionChunk, PolicyStatus
from numpy.typing import NDArray

from edge_stack_core.board.slowdown import ClockSlowdown
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.node_statistics import StatisticsSnapshot
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import ParameterValues
from edge_stack_core.runtime.process import thread_ids
from edge_stack_policy.base import TASK, Policy, PolicyUnavailable
from edge_stack_policy.chunking.chunk_stream import ChunkStream
from edge_stack_policy.failover.endpoint_health import FailoverSettings
from edge_stack_policy.failover.policy import make_failover
from edge_stack_policy.registry import make_policy
from edge_stack_policy.ros.policy_admission import PolicyAdmission, device_of
from edge_stack_policy.ros.policy_inputs import PolicyInputs
from edge_stack_policy.ros.policy_messages import chunk_message, policy_status, status_texts
from edge_stack_policy.ros.policy_parameters import PARAMETERS, remote_settings
from edge_stack_policy.settings import PolicySettings, policy_settings

START_S = 0.5  # after activation, inputs that have not come yet are no problem
START_LOOK_S, START_LOOKS_S = 0.05, 3.0  # how often they are looked for, and how long after activation
END_S = 5.0  # a prediction that has begun is waited for so long
SLOW_FAULT_S = 3.0
STATUS_PERIOD_S = 0.2
_NS = 1_000_000_000


class PolicyNode(StackNode):
    """Runs one policy."""

    PARAMETERS = PARAMETERS
    DIAGNOSTIC_TASK = "action chunks"

    def __init__(self, name: str = "policy", **kwargs: Any) -> None:
        """Declare parameters; the policy is made at configure."""
        self._policy: Policy | None = None
        self._inputs: PolicyInputs | None = None
        self._stream: ChunkStream | None = None
        self._worker: threading.Thread | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._instruction_is_new = threading.Event()
        self._admission: PolicyAdmission | None = None
        self._last_problem = ""
        super().__init__(name, **kwargs)

    # ---- lifecycle

    def configure_node(self) -> None:
        """Make and load the policy, and subscribe to what it needs."""
        p = self.params
        settings = policy_settings(
            p.robot_file,
            p.policy_contract,
            p.control_rate_hz,
            camera=p.camera,
            horizon=p.horizon,
            path=p.policy_path,
            address=p.policy_address,
            remote=remote_settings(p),
            device=p.device,
            threads=p.threads,
        )
        policy = _policy(p, settings)
        self._policy = policy
        threads = set(thread_ids())
        try:
            policy.load()
        except PolicyUnavailable as error:
            raise ConfigurationError(f"policy {p.policy}: {error}") from error
        self._clock_slowdown = ClockSlowdown(p.board)
        elsewhere = bool(p.policy_address) and not p.endpoints
        device = "" if elsewhere else device_of(policy, settings.device)
        # With one thread the library computes in the calling one; what it started then does something else.
        library_threads = set(thread_ids()) - threads if p.threads > 1 else ()
        self._admission = PolicyAdmission(self, device, library_threads)
        self._admitted: AbstractContextManager[object] = self._admission
        if hasattr(policy, "while_on_board"):  # it enters admission itself, where this computer computes
            policy.while_on_board, self._admitted = self._admitted, contextlib.nullcontext()
        robot = settings.robot
        self._base_frame = robot.base_frame
        self._inputs = PolicyInputs(self, policy, robot, settings.contract, self._take_new_instruction)
        self._chunks = self.publisher(ActionChunk, "action_chunk", qos.chunk())
        self._statuses = self.publisher(PolicyStatus, "policy_status", qos.state())
        self._policy_timer = self.steady_timer(STATUS_PERIOD_S, self._publish_policy_status)

    def activate_node(self) -> None:
        """Start predicting."""
        assert self._policy is not None and self._inputs is not None
        self._join(0.0)
        self._activated_s = time.monotonic()
        self._last_problem = ""
        self._inputs.forget()
        self._stream = ChunkStream(self._policy, self.params.merge)
        self._instruction_is_new.set()  # the policy starts anew
        self._stop.clear()
        self._worker = threading.Thread(target=self._work, name="policy", daemon=True)
        self._worker.start()

    def deactivate_node(self) -> None:
        """Stop predicting and keep the policy. A prediction that has begun is waited for, END_S at most."""
        self._stop.set()
        self._wake.set()
        with contextlib.suppress(RuntimeError):
            self._join(END_S)
        self.work.ended()

    def cleanup_node(self) -> None:
        """Free the policy."""
        timer, self._policy_timer = getattr(self, "_policy_timer", None), None
        if timer is not None:
            self.destroy_timer(timer)
        policy, self._policy = self._policy, None
        inputs, self._inputs = self._inputs, None
        admission, self._admission = self._admission, None
        if inputs is not None:
            inputs.close()
        if policy is not None and self._worker is None:  # else it goes when its last prediction ends
            policy.close()
        if admission is not None:
            admission.close()

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take a new rate at once."""
        if "chunk_rate_hz" in changed:
            self._wake.set()

    def target_hz(self) -> float:
        """Rate of chunks."""
        return float(self.params.chunk_rate_hz)

    def hardware_id(self) -> str:
        """Return what the policy is computed on."""
        return str(self.params.policy_address or self.params.device or super().hardware_id())

    def diagnostic_values(self, figures: StatisticsSnapshot) -> dict[str, str]:
        """Add how the chunks do."""
        status = self._policy_status()
        values = super().diagnostic_values(figures)
        if self._admission is not None:
            values["admission"] = str(self._admission.choice)
        return {**values, **(status_texts(status) if status is not None else {})}

    def report_problem(self, text: str) -> None:
        """Keep the last problem for policy_status."""
        self._last_problem = text
        super().report_problem(text)

    def _take_new_instruction(self) -> None:
        self._instruction_is_new.set()
        self._wake.set()

    def _join(self, limit_s: float) -> None:
        """Wait for the worker's end; RuntimeError if it does not come within the limit, s."""
        if self._worker is not None:
            self._worker.join(limit_s)
            if self._worker.is_alive():
                raise RuntimeError("the last prediction before deactivation has not ended yet")
            self._worker = None

    # ---- the worker's thread

    def _work(self) -> None:
        policy, stream, inputs, admission = self._policy, self._stream, self._inputs, self._admission
        assert policy is not None and stream is not None and inputs is not None and admission is not None
        admission.begin([threading.get_native_id(), *getattr(policy, "inference_threads", ())])
        try:
            self._predict_until_stopped(policy, stream, inputs, admission)
        finally:
            admission.end()

    def _predict_until_stopped(
        self, policy: Policy, stream: ChunkStream, inputs: PolicyInputs, admission: PolicyAdmission
    ) -> None:
        release = time.monotonic()
        while not self._stop.is_set():
            rate_hz = self.params.chunk_rate_hz
            wait_s = max(0.0, release - time.monotonic()) if rate_hz > 0.0 else 1.0
            self.work.waiting(wait_s)
            woken = self._wake.wait(wait_s)
            self._wake.clear()
            if self._stop.is_set():
                return
            if rate_hz <= 0.0:  # paused
                stream.timeline.forget()
                release = time.monotonic()
                continue
            if woken and not self._instruction_is_new.is_set():  # for another rate
                period_s = 1.0 / max(self.params.chunk_rate_hz, 0.01)
                release = min(release, time.monotonic() + period_s)
                continue
            self.work.busy()
            sent = self._starting = False
            try:
                sent = self._predict(policy, stream, inputs)
            except PolicyUnavailable as error:
                stream.unavailable += 1
                self.stats.dropped()
                self.stats.event("policy", "unavailable")
                self.report_problem(f"policy {policy.name}: {error}")
            except Exception as error:  # noqa: BLE001 (a policy that raises must not end the node)
                self.work_failed(f"policy {self.params.policy}", error)
            now = time.monotonic()
            if now >= release:
                missed = int((now - release) * rate_hz)
                if missed:
                    self.stats.deadline_missed(missed)
                release += 1.0 / rate_hz
            release = stream.next_request_s(release, now, self.now_s(), got_one=sent)
            if self._starting:
                release = min(release, now + START_LOOK_S)
            admission.announce(release)

    def _predict(self, policy: Policy, stream: ChunkStream, inputs: PolicyInputs) -> bool:
        """Ask for one chunk and send it; return whether one was sent."""
        began = time.perf_counter()
        start_ns = self.get_clock().now().nanoseconds
        observation, captured_ns, trouble = inputs.observe(start_ns)
        if trouble:
            active_s = time.monotonic() - self._activated_s
            if active_s > START_S:
                self.report_problem(trouble)
            # After a start they come one after another, and the robot waits for a chunk.
            self._starting = active_s < START_LOOKS_S and not stream.timeline.count
            if not self._starting:
                self.stats.dropped()
            self.work.skipped()  # a policy may take seconds: what is allowed is learned from chunks alone
            return False
        if self._instruction_is_new.is_set():
            self._instruction_is_new.clear()
            observation[TASK] = inputs.instruction
            policy.reset()
        followed = inputs.followed
        stream.prepare(observation, start_ns / _NS, followed=followed)
        observed = time.perf_counter()
        with self._admitted:
            chunk = np.asarray(policy.predict_action_chunk(observation), dtype=np.float64)
            self._clock_slowdown.pad(time.perf_counter() - observed)
            if self.params.fault == "slow":
                self._stop.wait(SLOW_FAULT_S)
        if self.params.fault == "nan":
            chunk = np.full_like(chunk, np.nan)
        predicted = time.perf_counter()
        if not self._usable(policy, chunk) or not self.is_active:
            return False
        chunk = stream.join(chunk, observation, followed=followed)
        self._chunks.publish(
            chunk_message(
                policy,
                chunk,
                sequence=stream.timeline.count + 1,
                start_ns=start_ns,
                captured_ns=captured_ns,
                frame_id=self._base_frame,
            )
        )
        now_ns = self.get_clock().now().nanoseconds
        stream.sent(chunk, observation, captured_ns / _NS, now_ns / _NS)
        refusal = inputs.refusal(stream.timeline.count)
        if refusal:
            self.report_problem(f"fusion refuses the chunks: {refusal}")
        elif policy.problem:
            self.report_problem(f"task: {policy.problem}")
        else:
            self.clear_problem()
        stages = {"observe": (observed - began) * 1e3, "inference": (predicted - observed) * 1e3}
        self.stats.work_done((now_ns - captured_ns) * 1e-6, stages)
        return True

    def _usable(self, policy: Policy, chunk: NDArray[np.float64]) -> bool:
        """Whether a chunk is one; counted if it is not."""
        joints = len(policy.action_names)
        finite = bool(np.isfinite(chunk).all())
        if chunk.ndim == 2 and len(chunk) and chunk.shape[1] == joints and finite:
            return True
        self.count_wrong_output(
            "action_chunk",
            f"policy {policy.name} returned a chunk of shape {chunk.shape}"
            + ("" if finite else " with values that are not finite")
            + f"; finite [H, {joints}] is needed",
        )
        return False

    # ---- status (the executor's thread)

    def _policy_status(self) -> PolicyStatus | None:
        policy, stream = self._policy, self._stream
        if policy is None or stream is None or not self.is_active:
            return None
        now_ns, address = self.get_clock().now().nanoseconds, self.params.policy_address
        return policy_status(policy, stream, now_ns, address=address, problem=self._last_problem)

    def _publish_policy_status(self) -> None:
        status = self._policy_status()
        if status is not None:
            self._statuses.publish(status)


def _policy(p: ParameterValues, settings: PolicySettings) -> Policy:
    """Make the policy that the parameters name, not loaded yet."""
    if not p.endpoints:
        return make_policy(p.policy, settings)
    failover = FailoverSettings(age_max_s=p.endpoint_age_max_s)
    # What it is follows from its endpoints and cannot be set, which nobody does.
    return cast(Policy, make_failover(p.endpoints, p.policy, settings, failover))


def main() -> None:
    """Run the policy node."""
    run(lambda: PolicyNode())


if __name__ == "__main__":
    main()
