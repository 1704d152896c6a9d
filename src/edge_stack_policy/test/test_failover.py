# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Which endpoint a policy's chunks come from, over random networks with a clock of the test's own."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_stack_policy.base import DELAY_STEPS, LEFTOVER, TIME_S, PolicyUnavailable
from edge_stack_policy.failover.endpoint import Endpoint
from edge_stack_policy.failover.endpoint_health import EndpointHealth, FailoverSettings
from edge_stack_policy.failover.endpoint_worker import Call, compute
from edge_stack_policy.failover.policy import FailoverPolicy

sys.path.insert(0, str(Path(__file__).parent))
from failover_world import (
    NAMES,
    OBSERVATION,
    STEP_S,
    STRETCHES,
    Still,
    Stretch,
    World,
    drive,
    local,
    network,
    two_endpoints,
)


@settings(max_examples=60, deadline=None)
@example([Stretch(24.0, 0.001, 0.0, 0.1), Stretch(39.0, 0.7, 0.0, 0.0)], 489)  # slow for long, then good
@given(st.lists(STRETCHES, max_size=8), st.integers(0, 1000))
def test_no_chunk_is_late_whatever_the_network_does(stretches: list[Stretch], seed: int) -> None:
    world = World(durations={0: network(stretches, seed), 1: local(seed)})
    good_s = FailoverSettings().longest_return_s() + 5.0  # a call every 0.7 s, and the probes' own duration
    run = drive(world, two_endpoints(world), sum(s.seconds for s in stretches) + good_s, NAMES)
    assert max(run.late_s) == 0.0
    assert run.endpoints[-1] == "remote"


@settings(max_examples=40, deadline=None)
@given(st.lists(STRETCHES, max_size=6), st.floats(0.0, 60.0), st.integers(0, 1000))
def test_at_most_one_chunk_is_late_when_this_computer_gets_slower(
    stretches: list[Stretch], slow_s: float, seed: int
) -> None:
    world = World(durations={0: network(stretches, seed), 1: lambda now_s: 0.04 if now_s < slow_s else 0.15})
    run = drive(world, two_endpoints(world), 90.0, NAMES)
    assert sum(late > 0.0 for late in run.late_s) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(STRETCHES, min_size=4, max_size=40), st.integers(0, 1000))
def test_a_network_that_comes_and_goes_does_not_flap_the_endpoint(
    stretches: list[Stretch], seed: int
) -> None:
    world = World(durations={0: network(stretches, seed), 1: local(seed)})
    run = drive(world, two_endpoints(world), sum(s.seconds for s in stretches), NAMES)
    changes = np.array(run.changes_s)
    # Pauses of 1, 2, 4, 8, 16, 30 s: at most seven falls in a minute, and a return after each.
    assert all(np.sum((changes >= t) & (changes < t + 60.0)) <= 14 for t in changes)
    limits = FailoverSettings()
    falls = [t for t in changes if run.endpoints[run.times_s.index(t)] == "local"]
    returns = [t for t in changes if run.endpoints[run.times_s.index(t)] == "remote"]
    least_s = limits.pause_s + (limits.good_probes - 1) * limits.probe_period_s
    for fall in falls:
        assert all(t - fall >= least_s for t in returns if t > fall)


@settings(max_examples=30, deadline=None)
@given(st.lists(STRETCHES, max_size=6), st.lists(STRETCHES, max_size=6), st.integers(0, 1000))
def test_of_three_endpoints_the_middle_one_stands_in_and_the_best_comes_back(
    first: list[Stretch], second: list[Stretch], seed: int
) -> None:
    world = World(durations={0: network(first, seed), 1: network(second, seed + 1), 2: local(seed)})
    names = {0: "remote", 1: "big", 2: "small"}
    endpoints = [Endpoint(names[i], Still(i), on_board=i > 0) for i in range(3)]
    policy = FailoverPolicy(endpoints, clock=world.clock, worker=world.worker)
    policy.load()
    over_s = sum(s.seconds for s in (*first, *second))
    run = drive(world, policy, over_s + 70.0, names)
    assert max(run.late_s) == 0.0
    assert run.endpoints[-1] == "remote"


def test_a_cut_is_left_within_the_same_chunk_and_its_reason_is_said() -> None:
    cut = [Stretch(10.0, 0.02, 0.0, 0.0), Stretch(5.0, 0.02, 0.0, 1.0)]
    world = World(durations={0: network(cut, 0), 1: local(0)})
    policy = two_endpoints(world)
    run = drive(world, policy, 9.0, NAMES)
    assert run.endpoints[0] == "local" and run.endpoints[-1] == "remote"
    run = drive(world, policy, 14.0, NAMES)
    assert run.endpoints[-1] == "local" and max(run.late_s) == 0.0
    status = policy.status()
    assert status.endpoint == "local" and "remote: no chunk within" in status.reason
    assert not status.endpoints[0].healthy and status.endpoints[1].healthy
    assert status.endpoints[0].loss > 0.0
    drive(world, policy, 25.0, NAMES)
    status = policy.status()
    assert status.endpoint == "remote" and status.changes == 3
    assert "good probes in a row" in status.reason
    assert status.endpoints[0].rtt_p50_ms == pytest.approx(20.0)


def test_a_call_that_takes_far_longer_than_calls_do_is_not_waited_for() -> None:
    world = World(durations={0: lambda now_s: 0.02 if now_s < 20.0 else math.inf, 1: lambda _: 0.04})
    policy = two_endpoints(world)
    drive(world, policy, 19.0, NAMES)
    assert policy.endpoint == "remote"
    began_s = world.now_s = 20.0
    policy.time_limit_s = 1.2
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
    assert world.now_s - began_s == pytest.approx(FailoverSettings().wait_min_s + 0.04)
    assert policy.status().reason == "remote: no chunk within 300 ms"


def test_a_chunk_that_comes_after_the_wait_teaches_how_long_calls_take() -> None:
    world = World(durations={0: lambda now_s: 0.4 if 20.0 <= now_s < 20.5 else 0.02, 1: lambda _: 0.04})
    policy = two_endpoints(world)
    drive(world, policy, 19.0, NAMES)
    health = policy._sites[0].health
    before_s = health.wait_s
    world.now_s = 20.0
    policy.time_limit_s = 1.2
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1  # given up
    drive(world, policy, 22.0, NAMES)
    assert health.wait_s > before_s


@given(st.lists(st.floats(0.0, 1.0), max_size=80))
def test_an_endpoint_is_waited_for_as_long_as_it_may_take_and_never_longer_than_chunks_may_be_old(
    durations_s: list[float],
) -> None:
    limits = FailoverSettings()
    health = EndpointHealth(limits, 0.0)
    for number, duration_s in enumerate(durations_s):
        health.succeeded(duration_s, float(number))
    assert limits.wait_min_s <= health.wait_s <= limits.age_max_s
    if len(durations_s) >= 64 and len(set(durations_s[-64:])) == 1:
        assert health.wait_s >= min(limits.age_max_s, durations_s[-1])


@given(st.floats(0.001, 0.5), st.floats(0.0, 0.05), st.integers(0, 1000))
def test_a_steady_network_is_never_given_up(rtt_s: float, jitter_s: float, seed: int) -> None:
    steady = Stretch(math.inf, min(rtt_s, 0.4), jitter_s, 0.0)
    world = World(durations={0: network([steady], seed), 1: local(seed)})
    run = drive(world, two_endpoints(world), 40.0, NAMES)
    assert len(run.changes_s) == 1 and run.endpoints[-1] == "remote"


def test_a_call_that_leaves_no_time_for_the_next_endpoint_is_not_begun() -> None:
    world = World(durations={0: lambda _: 0.1, 1: lambda _: 0.04})
    policy = two_endpoints(world)
    drive(world, policy, 10.0, NAMES)
    assert policy.endpoint == "remote"
    began_s = world.now_s
    policy.time_limit_s = 0.12  # 0.05 s of it are kept
    assert policy.predict_action_chunk(OBSERVATION)[0, 0] == 1
    assert world.now_s - began_s == pytest.approx(0.04)
    assert "a chunk takes 100 ms (p50) and there were 70 ms" in policy.status().reason


def test_an_endpoint_that_raises_or_answers_nonsense_is_left() -> None:
    for wrong, said in (
        (RuntimeError("out of memory"), "remote: out of memory"),
        (PolicyUnavailable("no server"), "remote: no server"),
    ):
        world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
        remote = Still(0)
        policy = FailoverPolicy(
            [Endpoint("remote", remote), Endpoint("local", Still(1))], clock=world.clock, worker=world.worker
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


def test_without_any_chunk_every_endpoint_says_why() -> None:
    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    policy = two_endpoints(world)
    drive(world, policy, 5.0, NAMES)
    for site, text in zip(policy._sites, ("cut", "broken"), strict=True):
        site.policy.error = PolicyUnavailable(text)  # type: ignore[attr-defined]
    with pytest.raises(PolicyUnavailable, match="remote: cut; local: broken"):
        policy.predict_action_chunk(OBSERVATION)


def test_the_next_endpoint_knows_how_much_later_it_began() -> None:
    world = World(durations={0: lambda now_s: 0.01 if now_s < 5.0 else math.inf, 1: lambda _: 0.01})
    policy = two_endpoints(world)
    drive(world, policy, 4.0, NAMES)
    assert policy.endpoint == "remote"
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
    policy = two_endpoints(world)
    drive(world, policy, 6.0, NAMES)
    policy.reset()
    before = [site.policy.resets for site in policy._sites]  # type: ignore[attr-defined]
    assert drive(world, policy, 12.0, NAMES).changes_s == []
    assert [site.policy.resets - n for site, n in zip(policy._sites, before, strict=True)] == [1, 0]  # type: ignore[attr-defined]


def test_an_endpoint_that_takes_over_forgets_what_it_knew_before_others_had_the_robot() -> None:
    world = World(durations={0: lambda now_s: 0.01 if now_s < 6.0 else math.inf, 1: lambda _: 0.01})
    policy = two_endpoints(world)
    drive(world, policy, 5.0, NAMES)
    resets = [site.policy.resets for site in policy._sites]  # type: ignore[attr-defined]
    assert resets == [1, 0]
    drive(world, policy, 12.0, NAMES)
    assert policy.endpoint == "local"
    assert policy._sites[1].policy.resets == 1  # type: ignore[attr-defined]


def test_only_what_this_computer_computes_enters_its_admission() -> None:
    entered: list[str] = []

    class Admission:
        def __enter__(self) -> None:
            entered.append(policy.endpoint)

        def __exit__(self, *_: object) -> None:
            pass

    world = World(durations={0: lambda _: 0.01, 1: lambda _: 0.01})
    policy = two_endpoints(world)
    policy.while_on_board = Admission()
    run = drive(world, policy, 8.0, NAMES)
    assert len(entered) == run.endpoints.count("local") < len(run.endpoints)
