# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What policies have in common that a server of policies computes: the members of a policy, and what the last call cost.

Its unit is one such policy. How its server is spoken to is its own matter.
"""

from __future__ import annotations

import math

from edge_stack_policy.base import PolicyUnavailable
from edge_stack_policy.remote.settings import Address
from edge_stack_policy.settings import PolicySettings


class ServedPolicy:
    """The policy of the server at an address. What it is stands here once it is loaded."""

    def __init__(self, name: str, settings: PolicySettings, address: Address) -> None:
        self.name = name
        self.problem = ""
        self.action_names: tuple[str, ...] = settings.robot.joint_names
        self.step_s = settings.step_s
        self.input_features: tuple[str, ...] = ()
        self.class_names: tuple[str, ...] = ()
        self.guides_chunks = False
        self.time_limit_s: float | None = None
        """How long the next prediction may take, s; None: settings.off_board.timeout_s."""
        self.rtt_s = math.nan
        """From sending the last observation to its answer, s."""
        self.server_s = math.nan
        """How much of that the server had it, s; NaN where it does not say."""
        self.bytes_sent = 0
        self.bytes_received = 0
        self._settings = settings
        self._remote = settings.remote
        self._address = address

    def _limit_s(self) -> float:
        """Return how long this prediction may take, s; PolicyUnavailable if there is no time."""
        limit_s = self._remote.timeout_s if self.time_limit_s is None else self.time_limit_s
        if limit_s <= 0.0:
            raise self._unavailable("there was no time to ask")
        return limit_s

    def _unavailable(self, text: str) -> PolicyUnavailable:
        return PolicyUnavailable(f"{self._address}: {text}")
