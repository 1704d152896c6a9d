# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Failed transitions of one node since it was last where it is wanted, and when the next attempt is due.

A unit of work is one failure. The pause doubles with each failure of one transition, until it is given up. Time is
monotonic, s.
"""

from __future__ import annotations

import math

from edge_stack_supervisor.supervision.lifecycle import Transition
from edge_stack_supervisor.supervision.types import SupervisionLimits


class Attempts:
    """Failures by transition."""

    def __init__(self, limits: SupervisionLimits) -> None:
        """Nothing has failed."""
        self._limits = limits
        self._failures: dict[Transition, int] = {}
        self.failing: Transition | None = None  # the one that failed last
        self.reason = ""
        self.failed_s = -math.inf
        self.not_before_s = -math.inf
        self.given_up = False

    def __bool__(self) -> bool:
        """Whether any transition has failed."""
        return bool(self._failures)

    @property
    def count(self) -> int:
        """How often the transition failed that failed last."""
        return 0 if self.failing is None else self._failures.get(self.failing, 0)

    def fail(self, transition: Transition, now_s: float, reason: str = "") -> None:
        """Count a failure. reason: where the node itself gives none."""
        attempts = self._failures.get(transition, 0) + 1
        self._failures[transition] = attempts
        self.failing, self.failed_s, self.reason = transition, now_s, reason
        pause_s = min(self._limits.retry_s * 2.0 ** min(attempts - 1, 16), self._limits.retry_max_s)
        self.not_before_s = now_s + pause_s
        self.given_up = 0 < self._limits.max_attempts <= attempts

    def succeed(self, transition: Transition) -> None:
        """Forget the failures of a transition that has succeeded."""
        self._failures.pop(transition, None)

    def forgive(self) -> None:
        """Forget all failures; when the last one was is still known."""
        self._failures.clear()
        self.failing = None
        self.not_before_s = -math.inf
        self.given_up = False
