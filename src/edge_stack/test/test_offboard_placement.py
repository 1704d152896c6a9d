# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A policy at several places: over random networks with a clock of the test's own, and with real threads."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_stack.errors import ConfigurationError
from edge_stack.offboard.place import Place, make_place
from edge_stack.offboard.place_health import PlaceHealth, PlacementSettings
from edge_stack.offboard.place_worker import Call, Outcome, PlaceWorker, compute
from edge_stack.offboard.placement import PlacedPolicy, make_placed
from edge_stack.policies.base import (
    DELAY_STEPS,
    LEFTOVER,
    STATE,
    TASK,
    TIME_S,
    Policy,
    PolicySettings,
    PolicyUnavailable,
)
from edge_stack.robot import load_robot
from edge_stack.share import share_folder

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
        self._outcome: Outcome | None = None
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
        self._outcome = Outcome(None if lost else outcome.chunk, "lost" if lost else outcome.error, took_s)
        self._ready_s = self._world.now_s + took_s

    def take(self, timeout_s: float | None) -> Outcome | None:
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
    """What a run brought: for each chunk its time, place and lateness."""

    times_s: list[float] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    @property
    def changes_s(self) -> list[float]:
        pairs = zip(self.times_s[1:], self.places, self.places[1:], strict=False)
        return [t for t, before, after in pairs if before != after]


def drive(world: World, policy: PlacedPolicy, until_s: float, names: dict[int, str]) -> Run:
    """Ask for chunks as the vla node does: before the actions run out, by as much as the policy says."""
    run = Run()
    dry_s = world.now_s + 0.5
    while world.now_s < until_s:
        world.now_s = max(world.now_s, dry_s - max(policy.lead_s, 0.5 * HORIZON * STEP_S))
        asked_s = world.now_s
        policy.time_limit_s = dry_s - asked_s
        chunk = policy.predict_action_chunk({**OBSERVATION, TIME_S: asked_s})
        assert policy.place == names[int(chunk[0, 0])]
        run.times_s.append(world.now_s)
        run.places.append(policy.place)
        run.late_s.append(max(0.0, world.now_s - dry_s))
        dry_s = asked_s + HORIZON * STEP_S
    return run


def two_places(world: World) -> PlacedPolicy:
    """Return a loaded policy at "remote" (its chunks are 0) and "local" (1)."""
    policy = PlacedPolicy(
        [Place("remote", Still(0), on_board=False), Place("local", Still(1))],
        clock=world.clock,
        worker=world.worker,
    )
    policy.load()
    return policy


NAMES = {0: "remote", 1: "local"}


def local(seed: int) -> Callable[[float], float]:
    dice = random.Random(seed)
    return lambda _now_s: LOCAL_S + NOISE_S * dice.random()


@settings(max_examples=60, deadline=None)
@example([Stretch(24.0, 0.001, 0.0, 0.1), Stretch(39.0, 0.7, 0.0, 0.0)], 489)  # slow for long, then good
@given(st.lists(STRETCHES, max_size=8), st.integers(0, 1000))
def test_no_chunk_is_late_whatever_the_network_does(stretches: list[Stretch], seed: int) -> None:
    world = World(durations={0: network(stretches, seed), 1: local(seed)})
    good_s = PlacementSettings().longest_return_s() + 5.0  # a call every 0.7 s, and the probes' own duration
    run = drive(world, two_places(world), sum(s.seconds for s in stretches) + good_s, NAMES)
    assert max(run.late_s) == 0.0
    assert run.places[-1] == "remote"


@settings(max_examples=40, deadline=None)
@given(st.lists(STRETCHES, max_size=6), st.floats(0.0, 60.0), st.integers(0, 1000))
def test_at_most_one_chunk_is_late_when_this_computer_gets_slower(
    stretches: list[Stretch], slow_s: float, seed: int
) -> None:
    world = World(durations={0: network(stretches, seed), 1: lambda now_s: 0.04 if now_s < slow_s else 0.15})
    run = drive(world, two_places(world), 90.0, NAMES)
    assert sum(late > 0.0 for late in run.late_s) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(STRETCHES, min_size=4, max_size=40), st.integers(0, 1000))
def test_a_network_that_comes_and_goes_does_not_flap_the_place(stretches: list[Stretch], seed: int) -> None:
    world = World(durations={0: network(stretches, seed), 1: local(seed)})
    run = drive(world, two_places(world), sum(s.seconds for s in stretches), NAMES)
    changes = np.array(run.changes_s)
    # Pauses of 1, 2, 4, 8, 16, 30 s: at most seven falls in a minute, and a return after each.
    assert all(np.sum((changes >= t) & (changes < t + 60.0)) <= 14 for t in changes)
    limits = PlacementSettings()
    falls = [t for t in changes if run.places[run.times_s.index(t)] == "local"]
    returns = [t for t in changes if run.places[run.times_s.index(t)] == "remote"]
    least_s = limits.pause_s + (limits.good_probes - 1) * limits.probe_period_s
    for fall in falls:
        assert all(t - fall >= least_s for t in returns if t > fall)


@settings(max_examples=30, deadline=None)
@given(st.lists(STRETCHES, max_size=6), st.lists(STRETCHES, max_size=6), st.integers(0, 1000))
def test_of_three_places_the_middle_one_stands_in_and_the_best_comes_back(
    first: list[Stretch], second: list[Stretch], seed: int
) -> None:
    world = World(durations={0: network(first, seed), 1: network(second, seed + 1), 2: local(seed)})
    names = {0: "remote", 1: "big", 2: "small"}
    places = [Place(names[i], Still(i), on_board=i > 0) for i in range(3)]
    policy = PlacedPolicy(places, clock=world.clock, worker=world.worker)
    policy.load()
    over_s = sum(s.seconds for s in (*first, *second))
    run = drive(world, policy, over_s + 70.0, names)
    assert max(run.late_s) == 0.0
    assert run.places[-1] == "remote"


def test_a_cut_is_left_within_the_same_chunk_and_its_reason_is_said() -> None:
    cut = [Stretch(10.0, 0.02, 0.0, 0.0), Stretch(5.0, 0.02, 0.0, 1.0)]
    world = World(durations={0: network(cut, 0), 1: local(0)})
    policy = two_places(world)
    run = drive(world, policy, 9.0, NAMES)
    assert run.places[0] == "local" and run.places[-1] == "remote"
    run = drive(world, policy, 14.0, NAMES)
    assert run.places[-1] == "local" and max(run.late_s) == 0.0
    status = policy.status()
    assert status.place == "local" and "remote: no chunk within" in status.reason
    assert not status.places[0].healthy and status.places[1].healthy
    assert status.places[0].loss > 0.0
    drive(world, policy, 25.0, NAMES)
    status = policy.status()
    assert status.place == "remote" and status.changes == 3
    assert "good probes in a row" in status.reason
    assert status.places[0].rtt_p50_ms == pytest.approx(20.0)


def test_a_call_that_takes_far_longer_than_calls_do_is_not_waited_for() -> None:
    world = World(durations={0: lambda now_s: 0.02 if now_s < 20.0 else math.inf, 1: lambda _: 0.04})
    policy = two_places(world)
    drive(world, policy, 19.0, NAMES)
    assert policy.place == "remote"
    began_s = world.now_s = 20.0
    policy.time_limit_s = 1.2
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
    assert world.now_s - began_s == pytest.approx(PlacementSettings().wait_min_s + 0.04)
    assert policy.status().reason == "remote: no chunk within 300 ms"


def test_a_chunk_that_comes_after_the_wait_teaches_how_long_calls_take() -> None:
    world = World(durations={0: lambda now_s: 0.4 if 20.0 <= now_s < 20.5 else 0.02, 1: lambda _: 0.04})
    policy = two_places(world)
    drive(world, policy, 19.0, NAMES)
    health = policy._sites[0].health
    before_s = health.wait_s
    world.now_s = 20.0
    policy.time_limit_s = 1.2
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1  # given up
    drive(world, policy, 22.0, NAMES)
    assert health.wait_s > before_s


@given(st.lists(st.floats(0.0, 1.0), max_size=80))
def test_a_place_is_waited_for_as_long_as_it_may_take_and_never_longer_than_chunks_may_be_old(
    durations_s: list[float],
) -> None:
    limits = PlacementSettings()
    health = PlaceHealth(limits, 0.0)
    for number, duration_s in enumerate(durations_s):
        health.succeeded(duration_s, float(number))
    assert limits.wait_min_s <= health.wait_s <= limits.age_max_s
    if len(durations_s) >= 64 and len(set(durations_s[-64:])) == 1:
        assert health.wait_s >= min(limits.age_max_s, durations_s[-1])


@given(st.floats(0.001, 0.5), st.floats(0.0, 0.05), st.integers(0, 1000))
def test_a_steady_network_is_never_given_up(rtt_s: float, jitter_s: float, seed: int) -> None:
    steady = Stretch(math.inf, min(rtt_s, 0.4), jitter_s, 0.0)
    world = World(durations={0: network([steady], seed), 1: local(seed)})
    run = drive(world, two_places(world), 40.0, NAMES)
    assert len(run.changes_s) == 1 and run.places[-1] == "remote"


def test_a_call_that_leaves_no_time_for_the_next_place_is_not_begun() -> None:
    world = World(durations={0: lambda _: 0.1, 1: lambda _: 0.04})
    policy = two_places(world)
    drive(world, policy, 10.0, NAMES)
    assert policy.place == "remote"
    began_s = world.now_s
    policy.time_limit_s = 0.12  # 0.05 s of it are kept
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
    assert world.now_s - began_s == pytest.approx(0.04)
    assert "a chunk takes 100 ms (p50) and there were 70 ms" in policy.status().reason


def test_a_place_that_raises_or_answers_nonsense_is_left() -> None:
    for wrong, said in (
        (RuntimeError("out of memory"), "remote: out of memory"),
        (PolicyUnavailable("no server"), "remote: no server"),
    ):
        world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
        remote = Still(0)
        policy = PlacedPolicy(
            [Place("remote", remote), Place("local", Still(1))], clock=world.clock, worker=world.worker
        )
        policy.load()
        drive(world, policy, 5.0, NAMES)
        remote.error = wrong
        assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
        assert policy.status().reason == said


@pytest.mark.parametrize("chunk", [np.zeros((0, 2)), np.zeros((5, 3)), np.zeros(4), np.full((5, 2), np.nan)])
def test_a_malformed_chunk_is_no_chunk(chunk: np.ndarray) -> None:
    policy = Still(0)
    policy.predict_action_chunk = lambda _observation: chunk  # type: ignore[method-assign]
    outcome = compute(policy, Call(OBSERVATION))
    assert outcome.chunk is None and outcome.error.startswith("a chunk")


def test_without_any_chunk_every_place_says_why() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    policy = two_places(world)
    drive(world, policy, 5.0, NAMES)
    for site, text in zip(policy._sites, ("cut", "broken"), strict=True):
        site.policy.error = PolicyUnavailable(text)  # type: ignore[attr-defined]
    with pytest.raises(PolicyUnavailable, match="remote: cut; local: broken"):
        policy.predict_action_chunk(OBSERVATION)


def test_the_next_place_knows_how_much_later_it_began() -> None:
    world = World(durations={0: lambda now_s: 0.01 if now_s < 5.0 else math.inf, 1: lambda _: 0.01})
    policy = two_places(world)
    drive(world, policy, 4.0, NAMES)
    assert policy.place == "remote"
    world.now_s = 5.0
    policy.time_limit_s = 0.25
    leftover = np.zeros((10, 2))
    policy.predict_action_chunk({**OBSERVATION, LEFTOVER: leftover, DELAY_STEPS: 2})
    seen = policy._sites[1].policy.seen[-1]  # type: ignore[attr-defined]
    waited_steps = math.ceil((0.25 - 0.02) / STEP_S - 1e-9)
    assert seen[DELAY_STEPS] == 2 + waited_steps
    assert seen[LEFTOVER] is leftover and seen[TIME_S] == 0.0


def test_a_new_task_is_told_once_before_the_next_chunk() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    policy = two_places(world)
    drive(world, policy, 6.0, NAMES)
    policy.reset()
    before = [site.policy.resets for site in policy._sites]  # type: ignore[attr-defined]
    assert drive(world, policy, 12.0, NAMES).changes_s == []
    assert [site.policy.resets - n for site, n in zip(policy._sites, before, strict=True)] == [1, 0]  # type: ignore[attr-defined]


def test_a_place_that_takes_over_forgets_what_it_knew_before_others_had_the_robot() -> None:
    world = World(durations={0: lambda now_s: 0.01 if now_s < 6.0 else math.inf, 1: lambda _: 0.01})
    policy = two_places(world)
    drive(world, policy, 5.0, NAMES)
    resets = [site.policy.resets for site in policy._sites]  # type: ignore[attr-defined]
    assert resets == [1, 0]
    drive(world, policy, 12.0, NAMES)
    assert policy.place == "local"
    assert policy._sites[1].policy.resets == 1  # type: ignore[attr-defined]


def test_only_what_this_computer_computes_enters_its_gate() -> None:
    entered: list[str] = []

    class Gate:
        def __enter__(self) -> None:
            entered.append(policy.place)

        def __exit__(self, *_: object) -> None:
            pass

    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    policy = two_places(world)
    policy.while_on_board = Gate()
    run = drive(world, policy, 8.0, NAMES)
    assert len(entered) == run.places.count("local") < len(run.places)


# ---- what does not fit


def test_places_that_do_not_agree_are_refused_by_name() -> None:
    other = Still(0, action_names=("b", "a"))
    policy = PlacedPolicy([Place("remote", other), Place("local", Still(1))])
    with pytest.raises(ConfigurationError, match="remote moves b, a but local moves a, b"):
        policy.load()
    assert other.closed == 1
    slower = Still(0)
    slower.step_s = 0.1
    with pytest.raises(
        ConfigurationError, match=r"remote has an action every 100\.00 ms but local every 41\.67"
    ):
        PlacedPolicy([Place("remote", slower), Place("local", Still(1))]).load()


def test_a_place_that_is_down_at_configure_stops_nothing_and_is_used_later() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    remote = Still(0)
    remote.load_error = PolicyUnavailable("connection refused")
    policy = PlacedPolicy(
        [Place("remote", remote), Place("local", Still(1))], clock=world.clock, worker=world.worker
    )
    policy.load()
    assert policy.action_names == JOINTS
    run = drive(world, policy, 5.0, NAMES)
    assert set(run.places) == {"local"}
    assert policy.status().places[0].reason == "connection refused" and not policy.status().places[0].loaded
    remote.load_error = None
    assert drive(world, policy, 15.0, NAMES).places[-1] == "remote"


def test_a_place_that_turns_out_not_to_fit_is_never_used() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    remote = Still(0)
    remote.load_error = PolicyUnavailable("connection refused")
    policy = PlacedPolicy(
        [Place("remote", remote), Place("local", Still(1))], clock=world.clock, worker=world.worker
    )
    policy.load()
    remote.load_error = None
    remote.input_features = (STATE, "observation.images.wrist")
    assert set(drive(world, policy, 20.0, NAMES).places) == {"local"}
    assert "needs observation.images.wrist" in policy.status().places[0].reason


def test_the_last_place_must_load() -> None:
    last = Still(1)
    last.load_error = PolicyUnavailable("no file")
    with pytest.raises(ConfigurationError, match="place local: no file; the last place must work"):
        PlacedPolicy([Place("remote", Still(0)), Place("local", last)]).load()


SETTINGS = PolicySettings(load_robot(share_folder("edge_stack") / "config" / "robots" / "so101_sim.yaml"))


def test_places_are_written_as_addresses_and_names() -> None:
    policy = make_placed(["visual_servo", "local"], "visual_servo", SETTINGS)
    assert isinstance(policy, Policy)
    assert [site.name for site in policy._sites] == ["visual_servo", "local"]
    with pytest.raises(
        ConfigurationError, match="'http://x': is no address of a server; those are grpc://HOST:PORT"
    ):
        make_placed(["http://x", "local"], "visual_servo", SETTINGS)
    with pytest.raises(ConfigurationError, match="'nothing': policy: 'nothing' is not known"):
        make_placed(["nothing"], "visual_servo", SETTINGS)
    with pytest.raises(ConfigurationError, match="local is named more than once"):
        make_placed(["local", "local"], "visual_servo", SETTINGS)


def test_what_follows_an_address_sets_how_its_server_is_spoken_to() -> None:
    pytest.importorskip("grpc")
    place = make_place("grpc://10.0.0.1:8443?images=raw&timeout_s=1.5", "visual_servo", SETTINGS)
    assert place.name == "grpc://10.0.0.1:8443" and not place.on_board
    off_board = place.policy._off_board  # type: ignore[attr-defined]
    assert (off_board.images, off_board.timeout_s, off_board.load_timeout_s) == ("raw", 1.5, 2.0)
    for wrong, said in (("imgs=raw", "'imgs' is not known"), ("timeout_s=soon", "'soon' is not a number")):
        with pytest.raises(ConfigurationError, match=said):
            make_place(f"grpc://10.0.0.1:8443?{wrong}", "visual_servo", SETTINGS)


# ---- real threads


def test_a_call_that_hangs_holds_up_nobody() -> None:
    free, hangs = threading.Event(), threading.Event()

    class Hanging(Still):
        def predict_action_chunk(self, observation: dict[str, object]) -> np.ndarray:
            hangs.set()
            free.wait(30.0)
            return super().predict_action_chunk(observation)

    policy = PlacedPolicy([Place("remote", Hanging(0), on_board=False), Place("local", Still(1))])
    policy.load()
    try:
        for _ in range(3):
            policy.time_limit_s = 10.0
            assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
        assert hangs.wait(10.0)  # its probe
        free.set()
    finally:
        free.set()
        policy.close()


def test_a_worker_hands_over_what_comes_too_late() -> None:
    free = threading.Event()

    class Slow(Still):
        def predict_action_chunk(self, observation: dict[str, object]) -> np.ndarray:
            free.wait(30.0)
            return super().predict_action_chunk(observation)

    policy = Slow(3)
    worker = PlaceWorker(policy, "test")
    worker.start(Call(OBSERVATION))
    assert worker.take(0.0) is None and worker.busy
    free.set()
    outcome = worker.take(30.0)
    assert outcome is not None and outcome.chunk is not None and outcome.chunk[0, 0] == 3
    assert not worker.busy
    worker.close()
    assert policy.closed == 1
