# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The chunks of one policy, one after another, on time: what each is told, how it joins the one before, when the next is due.

Its unit of work is one request: prepare() before the policy is asked, join() what it returned, sent() when it is on its way.
The next chunk is asked for at the wanted rate, and sooner where the actions would otherwise run out before it comes: by what
chunks are expected to take, and by the time before its end at which fusion begins to slow down. It never calls the policy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.easing import easing_s
from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, TIME_S, Policy
from edge_stack_policy.chunking.latency import LearnedLatency
from edge_stack_policy.chunking.merging import BLEND, merge
from edge_stack_policy.chunking.timeline import ChunkTimeline, SentChunk

GUIDED = "guided"


class ChunkStream:
    """
    The chunks of one activation. One thread writes; any thread reads the figures.

    latency: what a chunk takes. timeline: what was sent. merged: how the newest chunk joined the one before: GUIDED or one
    of merging.MERGES. unavailable: requests that brought no chunk because the policy was unavailable. round_trip: what each
    call of a policy on a server took, if it says so.
    """

    def __init__(self, policy: Policy, merge_name: str = BLEND) -> None:
        """merge_name: how chunks join that the policy does not guide."""
        self._policy = policy
        self._merge = merge_name
        self.latency = LearnedLatency()
        self.timeline = ChunkTimeline()
        self.unavailable = 0
        self.round_trip = LearnedLatency()
        self.merged = GUIDED if policy.guides_chunks else merge_name

    def prepare(self, observation: dict[str, Any], now_s: float, *, followed: bool = True) -> None:
        """
        Add what a policy that guides its chunks must know, and tell the policy how much time it has.

        observation: for TIME_S. followed: whether the robot follows what was sent; while it holds, nothing is left over.
        """
        policy, left_s = self._policy, self.timeline.cover_s(now_s)
        if policy.guides_chunks and followed:
            leftover = self.timeline.leftover(float(observation[TIME_S]), policy.step_s)
            if leftover is not None:
                observation[LEFTOVER] = leftover
                observation[DELAY_STEPS] = min(self.latency.steps(policy.step_s), len(leftover))
        if hasattr(policy, "time_limit_s"):
            policy.time_limit_s = left_s or None  # once the actions are over, nothing is gained by giving up

    def join(
        self, chunk: NDArray[np.float64], observation: dict[str, Any], *, followed: bool = True
    ) -> NDArray[np.float64]:
        """Return the chunk to send, [H, A], for what the policy returned on an observation."""
        guided = getattr(self._policy, "guided", self._policy.guides_chunks)
        self.merged = GUIDED if guided else self._merge
        if guided or not followed:
            return chunk
        leftover = self.timeline.leftover(float(observation[TIME_S]), self._policy.step_s)
        return merge(self._merge, leftover, chunk)

    def sent(
        self, chunk: NDArray[np.float64], observation: dict[str, Any], captured_s: float, now_s: float
    ) -> None:
        """Take note that a chunk is on its way. captured_s: when the oldest part of its observation was."""
        start_s = float(observation[TIME_S])
        self.timeline.add(SentChunk(chunk, start_s, self._policy.step_s, captured_s), now_s)
        self.latency.add(now_s - start_s)
        self.round_trip.add(float(getattr(self._policy, "rtt_s", math.nan)))

    @property
    def loss(self) -> float:
        """Share of all requests that brought no chunk because the policy was unavailable, 0..1; NaN before the first."""
        asked = self.timeline.count + self.unavailable
        return self.unavailable / asked if asked else math.nan

    def spare_s(self, now_s: float) -> float:
        """Return how long the next request can wait without the robot slowing down, s; inf if nothing was sent."""
        newest = self.timeline.newest
        if newest is None:
            return math.inf
        lead_s = max(self.latency.expected_s, float(getattr(self._policy, "lead_s", 0.0)))
        # Fusion takes a chunk at its next tick.
        lead_s += newest.step_s + easing_s(len(newest.positions), newest.step_s)
        return self.timeline.cover_s(now_s) - lead_s

    def next_request_s(
        self, planned_s: float, now_s: float, clock_s: float, *, got_one: bool = True
    ) -> float:
        """
        Return when to ask for the next chunk: as planned by the wanted rate, or sooner, but not before now.

        planned_s, now_s: monotonic. clock_s: now on the clock of the chunks. got_one: whether the last request brought a
        chunk; one that did not is no reason to ask sooner.
        """
        if got_one:
            # Chunks that come faster than actions are of no use.
            soonest_s = now_s + max(0.0, self._policy.step_s - self.latency.expected_s)
            planned_s = min(planned_s, max(soonest_s, now_s + self.spare_s(clock_s)))
        return max(planned_s, now_s)
