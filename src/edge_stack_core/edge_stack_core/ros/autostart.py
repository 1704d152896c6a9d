# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Lets a node bring itself up where no supervisor does: alone in a launch file, or as the supervisor itself.

A unit of work is one attempt: configure if unconfigured, activate if inactive. It is repeated until the node was active
once; after that, and after somebody else has finalized the node, its state is none of this module's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

RETRY_S = 2.0


class Autostart:
    """Attempts to bring one node up, from within its executor."""

    def __init__(
        self, node: LifecycleNode, state_label: Callable[[], str], attempted: Callable[[], None]
    ) -> None:
        """
        Attempt it as soon as the node spins, so that a signal in a long configure ends the process as at any time.

        state_label: returns that of the node's state. attempted: called after each attempt that raised nothing.
        """
        self._node, self._state_label, self._attempted = node, state_label, attempted
        self._timer: Any = None
        self._wait(0.0)

    def _wait(self, duration_s: float) -> None:
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(duration_s, self._attempt, clock=clock)

    def _attempt(self) -> None:
        self._node.destroy_timer(self._timer)
        node = self._node
        try:
            ready = self._state_label() == "inactive"
            if self._state_label() == "unconfigured":
                ready = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            if ready:
                node.trigger_activate()
            self._attempted()
        finally:
            if self._state_label() in ("unconfigured", "inactive"):
                self._wait(RETRY_S)
