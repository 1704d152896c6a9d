# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The thread in which one endpoint computes, so that nobody waits longer for a chunk than they want to.

Its unit of work is one call: started by the caller, who then waits as long as there is time and takes the outcome later, or
never. One call at a time; an endpoint that does not come back blocks its own thread and nobody else. Whatever a
policy raises becomes the outcome's text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.base import Observation, Policy

_CLOSE_WAIT_S = 1.0


@dataclass(frozen=True)
class CallOutcome:
    """What a call brought: a chunk [H, A], or why there is none. guided: the chunk continues the one before it."""

    chunk: NDArray[np.float64] | None
    error: str
    duration_s: float


@dataclass(frozen=True)
class Call:
    """One call. prepare: done before, in the same thread (load, forget a task). time_limit_s: told to the policy."""

    observation: Observation
    prepare: Callable[[], None] | None = None
    time_limit_s: float | None = None


def compute(policy: Policy, call: Call, clock: Callable[[], float] = time.monotonic) -> CallOutcome:
    """Make one call in this thread; whatever goes wrong is in the outcome."""
    began_s = clock()
    try:
        if call.prepare is not None:
            call.prepare()
        if hasattr(policy, "time_limit_s"):
            policy.time_limit_s = call.time_limit_s
        chunk = np.asarray(policy.predict_action_chunk(call.observation), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 (an endpoint that raises is an endpoint that failed)
        return CallOutcome(None, str(error) or type(error).__name__, clock() - began_s)
    if chunk.ndim != 2 or not len(chunk) or chunk.shape[1] != len(policy.action_names):
        wrong = f"a chunk of shape {chunk.shape}; [H, {len(policy.action_names)}] is needed"
        return CallOutcome(None, wrong, clock() - began_s)
    if not np.isfinite(chunk).all():
        return CallOutcome(None, "a chunk with values that are not finite", clock() - began_s)
    return CallOutcome(chunk, "", clock() - began_s)


class Worker(Protocol):
    """What computes an endpoint's chunks for one other thread; see EndpointWorker."""

    @property
    def thread_id(self) -> int | None:
        """The system's id of the thread that computes; None if it has ended."""

    @property
    def busy(self) -> bool:
        """Whether a call has begun whose outcome was not taken yet."""

    def start(self, call: Call) -> None:
        """Begin a call."""

    def take(self, timeout_s: float | None) -> CallOutcome | None:
        """Wait for the outcome and take it."""

    def close(self) -> None:
        """End."""


class EndpointWorker:
    """One thread for one policy. All methods are for one other thread."""

    def __init__(self, policy: Policy, name: str) -> None:
        """name: of the thread, for debuggers."""
        self._policy = policy
        self._call: Call | None = None
        self._outcome: CallOutcome | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int | None:
        """The system's id of the thread that computes; None if it has ended."""
        return self._thread.native_id if self._thread.is_alive() else None

    @property
    def busy(self) -> bool:
        """Whether a call has begun whose outcome was not taken yet."""
        with self._changed:
            return self._call is not None or self._outcome is not None

    def start(self, call: Call) -> None:
        """Begin a call; there must be none."""
        with self._changed:
            assert self._call is None and self._outcome is None and not self._closed
            self._call = call
            self._changed.notify_all()

    def take(self, timeout_s: float | None) -> CallOutcome | None:
        """Wait for the outcome of the call and take it; None if it is not there in time (None: however long it takes)."""
        with self._changed:
            self._changed.wait_for(lambda: self._outcome is not None, timeout_s)
            outcome, self._outcome = self._outcome, None
            return outcome

    def close(self) -> None:
        """End the thread and close the policy; a call that hangs is left behind and closes the policy when it ends."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_WAIT_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._call is not None or self._closed)
                call = self._call
            if call is None or self._closed:
                self._policy.close()
                return
            outcome = compute(self._policy, call)
            with self._changed:
                self._call, self._outcome = None, outcome
                self._changed.notify_all()
