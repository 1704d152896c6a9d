# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How the policy node keeps its inferences on time: under SCHED_FIFO, or announced to the background jobs of its device.

Its unit is one configured policy. It is a context around each inference that this computer does, by which background jobs
know of it where it is announced. admission/choice.py decides which of the two it is.
"""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Any

from edge_stack_core.admission import CriticalJob
from edge_stack_core.admission.choice import AUTO, CriticalChoice, choose_critical
from edge_stack_core.device import CPU, parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.ros.base import StackNode
from edge_stack_core.runtime.inference_threads import InferenceThreads
from edge_stack_core.runtime.process import fifo_refusal, rights
from edge_stack_policy.base import Policy


def device_of(policy: Policy, given: str) -> str:
    """Return what a loaded policy is computed on. given: the parameter, for policies that do not tell."""
    told: Any = getattr(policy, "device", "")
    return parse_device(told if isinstance(told, str) and told else given or CPU)


class PolicyAdmission:
    """Announces inferences, or has them run under SCHED_FIFO."""

    def __init__(self, node: StackNode, device: str, threads: Collection[int] = ()) -> None:
        """
        Decide and join admission, at configure.

        Args:
            node: whose parameters count.
            device: canonical; empty: the policy is computed on another computer.
            threads: ids of threads that its library computes in, besides the calling one.

        Raises:
            ConfigurationError: admission cannot be joined, and auto may not do without it.
        """
        p = node.params
        self._node, self._device, self._library_threads = node, device, tuple(threads)
        self._job: CriticalJob | None = None
        self._threads = InferenceThreads()
        most = rights().max_rt_priority
        priority = min(p.inference_priority, most) if most else p.inference_priority
        refusal = fifo_refusal(max(priority, 1)) if device == CPU else None
        self.choice: CriticalChoice = choose_critical(
            p.admission,
            device,
            may_have_fifo=refusal is None,
            priority=priority,
            # "other", too, if somebody wrote it.
            given_policy=p.scheduling_policy if node.is_given("scheduling_policy") else "",
        )
        log = node.get_logger().info
        if self.choice.announces:
            try:
                self._join()
            except ConfigurationError as error:
                if p.admission != AUTO or device != CPU:
                    raise
                self.choice, log = CriticalChoice(False, 0, f"{AUTO}: {error}"), node.get_logger().warning
        log(f"admission on {device or 'a server'}: {self.choice}")

    def begin(self, threads: Collection[int]) -> None:
        """Begin to work; in the worker. threads: ids of those that compute here, besides those of the library."""
        if not self.choice.priority:
            return
        refusal = self._threads.take(self.choice.priority, [*threads, *self._library_threads])
        if refusal is not None:
            self._announce_instead(f"the policy may no longer have SCHED_FIFO ({refusal})")

    def end(self) -> None:
        """End the work; in the worker."""
        self._threads.give_back()

    def announce(self, release_s: float) -> None:
        """Say when the next inference begins, monotonic s, and look at how much the last ones used; in the worker."""
        if self._threads.run_too_much():
            self._announce_instead(
                "the policy computes nearly all the time, and the kernel would stop SCHED_FIFO threads for it:"
                " it has the normal policy"
            )
        if self._job is not None:
            self._job.announce(release_s)

    def close(self) -> None:
        """Leave admission."""
        job, self._job = self._job, None
        if job is not None:
            job.close()

    def __enter__(self) -> PolicyAdmission:
        """Begin an inference on this computer."""
        if self._job is not None:
            self._job.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._job is not None:
            self._job.end()

    def _announce_instead(self, why: str) -> None:
        """Go on without SCHED_FIFO; where the setting is auto, as a job that may not have it."""
        announces = self._node.params.admission == AUTO
        self.choice = CriticalChoice(announces, 0, f"{AUTO}: {why}" if announces else why)
        if announces:
            try:
                self._join()
            except ConfigurationError as error:
                self.choice = CriticalChoice(False, 0, f"{why}; {error}")
        self._node.get_logger().warning(f"admission on {self._device}: {self.choice}")

    def _join(self) -> None:
        rate_hz = self._node.params.chunk_rate_hz
        period_s = 1.0 / rate_hz if rate_hz > 0.0 else 1.0
        try:
            self._job = CriticalJob(self._device, self._node.get_fully_qualified_name(), period_s)
        except OSError as error:
            raise ConfigurationError(f"admission on {self._device}: {error}") from error
