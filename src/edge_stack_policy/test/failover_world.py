# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A policy at several endpoints on networks of a test's own, with a clock of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from edge_stack_policy.base import STATE, TASK, TIME_S
from edge_stack_policy.failover.endpoint import Endpoint
from edge_stack_policy.failover.endpoint_worker import Call, CallOutcome, compute
from edge_stack_policy.failover.policy import FailoverPolicy

STEP_S, HORIZON, JOINTS = 1.0 / 24.0, 30, ("a", "b")
TIMEOUT_S = 2.0  # after which a remote policy gives up by itself
OBSERVATION = {STATE: np.zeros(2, np.float32), TASK: "", TIME_S: 0.0}


class Still:
    """A policy that stands still at a value by which its chunks are known."""

    input_features: tuple[str, ...] = (STATE, TASK)
    class_names: tuple[str, ...] = ()
    guides_chunks = False
    problem = ""

    def __init__(self, value: float, name: str = "still", action_names: tuple[str, ...] = JOINTS) -> None:
        self.value, self.name, self.action_names, self.step_s = value, name, action_names, STEP_S
        self.seen: list[dict[str, object]] = []
        self.resets = self.closed = 0
        self.error: Exception | None = None
        self.load_error: Exception | None = None

    def load(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed += 1

    def predict_action_chunk(self, observation: dict[str, object]) -> np.ndarray:
        self.seen.append(observation)
        if self.error is not None:
            raise self.error
        return np.full((HORIZON, len(self.action_names)), self.value)


@dataclass
class World:
    """A clock, and how long a call takes that begins now, s; inf: it is lost."""

    now_s: float = 0.0
    durations: dict[int, Callable[[float], float]] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now_s

    def worker(self, policy: Still, _name: str) -> FakeWorker:
        return FakeWorker(self, policy, self.durations[int(policy.value)])


class FakeWorker:
    """Computes at once and lets the outcome arrive when the world says."""

    def __init__(self, world: World, policy: Still, duration: Callable[[float], float]) -> None:
        self._world, self._policy, self._duration = world, policy, duration
        self._outcome: CallOutcome | None = None
        self._ready_s = math.inf

    @property
    def busy(self) -> bool:
        return self._outcome is not None

    def start(self, call: Call) -> None:
        assert not self.busy
        took_s = self._duration(self._world.now_s)
        outcome = compute(self._policy, call)
        lost = took_s > TIMEOUT_S
        took_s = min(took_s, TIMEOUT_S)
        self._outcome = CallOutcome(
            None if lost else outcome.chunk, "lost" if lost else outcome.error, took_s
        )
        self._ready_s = self._world.now_s + took_s

    def take(self, timeout_s: float | None) -> CallOutcome | None:
        until_s = math.inf if timeout_s is None else self._world.now_s + timeout_s
        if self._ready_s > until_s:
            self._world.now_s = until_s
            return None
        self._world.now_s = max(self._world.now_s, self._ready_s)
        outcome, self._outcome, self._ready_s = self._outcome, None, math.inf
        return outcome

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Stretch:
    """A time during which a network is as it is."""

    seconds: float
    rtt_s: float
    jitter_s: float
    loss: float

    def duration(self, dice: random.Random) -> float:
        return math.inf if dice.random() < self.loss else self.rtt_s + self.jitter_s * dice.random()


STRETCHES = st.builds(
    Stretch,
    st.floats(0.2, 25.0),
    st.sampled_from((0.001, 0.02, 0.08, 0.3, 0.7)),
    st.sampled_from((0.0, 0.005, 0.1)),
    st.sampled_from((0.0, 0.02, 0.1, 1.0)),
)
LOCAL_S, NOISE_S = 0.04, 0.009


def network(stretches: list[Stretch], seed: int) -> Callable[[float], float]:
    """Return how long calls take; after the last stretch the network is good."""
    dice = random.Random(seed)
    ends = np.cumsum([stretch.seconds for stretch in stretches])

    def duration(now_s: float) -> float:
        index = int(np.searchsorted(ends, now_s, side="right"))
        return stretches[index].duration(dice) if index < len(stretches) else 0.02

    return duration


@dataclass
class Run:
    """What a run brought: for each chunk its time, endpoint and lateness."""

    times_s: list[float] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    @property
    def changes_s(self) -> list[float]:
        pairs = zip(self.times_s[1:], self.endpoints, self.endpoints[1:], strict=False)
        return [t for t, before, after in pairs if before != after]


def drive(world: World, policy: FailoverPolicy, until_s: float, names: dict[int, str]) -> Run:
    """Ask for chunks as the policy node does: before the actions run out, by as much as the policy says."""
    run = Run()
    dry_s = world.now_s + 0.5
    while world.now_s < until_s:
        world.now_s = max(world.now_s, dry_s - max(policy.lead_s, 0.5 * HORIZON * STEP_S))
        asked_s = world.now_s
        policy.time_limit_s = dry_s - asked_s
        chunk = policy.predict_action_chunk({**OBSERVATION, TIME_S: asked_s})
        assert policy.endpoint == names[int(chunk[0, 0])]
        run.times_s.append(world.now_s)
        run.endpoints.append(policy.endpoint)
        run.late_s.append(max(0.0, world.now_s - dry_s))
        dry_s = asked_s + HORIZON * STEP_S
    return run


def two_endpoints(world: World) -> FailoverPolicy:
    """Return a loaded policy at "remote" (its chunks are 0) and "local" (1)."""
    policy = FailoverPolicy(
        [Endpoint("remote", Still(0), on_board=False), Endpoint("local", Still(1))],
        clock=world.clock,
        worker=world.worker,
    )
    policy.load()
    return policy


NAMES = {0: "remote", 1: "local"}


def local(seed: int) -> Callable[[float], float]:
    dice = random.Random(seed)
    return lambda _now_s: LOCAL_S + NOISE_S * dice.random()
