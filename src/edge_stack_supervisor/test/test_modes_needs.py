# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a mode fits memory and slack, with the figures, and who gets what it frees."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given
from modes_world import BASE, World, config, mode

from edge_stack_supervisor.modes import ModeFigures, Needs
from edge_stack_supervisor.supervision import NodeState

FIGURES = {
    "fusion": ModeFigures(),
    "policy": ModeFigures(memory_mb=300.0, duration_s=0.02, rate_hz=10.0),
    "detect": ModeFigures(memory_mb=100.0, duration_s=0.02, max_rate_hz=15.0),
    "segment": ModeFigures(memory_mb=200.0, duration_s=0.04, max_rate_hz=10.0),
    "pose": ModeFigures(memory_mb=150.0, duration_s=0.03),
}
WORK = mode("work", {})
BARE = mode("bare", {name: {"state": NodeState.UNCONFIGURED} for name in ("segment", "pose")})
FAST = mode("fast", {"segment": {"rate_hz": 15.0}, "detect": {"rate_hz": 10.0}})
SHARING = mode(
    "sharing", {"segment": {"state": NodeState.INACTIVE}, "pose": {"rate_hz": 4.0}}, share_freed=True
)


@pytest.fixture
def world() -> World:
    world = World(config(WORK, BARE, FAST, SHARING, figures=FIGURES))
    world.run()
    return world


def test_a_mode_that_does_not_fit_the_memory_is_refused_with_the_figures(world: World) -> None:
    assert world.request("bare", available_mb=10.0) == ""  # it only frees
    world.run()
    refusal = world.request("work", available_mb=500.0)
    assert refusal == (
        "mode work does not fit the memory: 350 MiB (segment 200 + pose 150) come, 0 MiB go, "
        "500 MiB are available: 150 MiB would be left of the 200 to keep free"
    )
    assert world.machine.mode == "bare"
    assert world.request("work", available_mb=560.0) == ""


def test_a_board_that_does_not_tell_its_memory_refuses_nothing(world: World) -> None:
    world.request("bare", None)
    world.run()
    assert world.request("work", None) == ""


def test_a_mode_that_does_not_fit_the_slack_is_refused_with_the_figures(world: World) -> None:
    # The policy takes 20 %; of the 80 % that it leaves, 90 % may be planned: 72 %. 0.2 + 0.6 + 0.15 are wanted.
    assert world.request("fast") == (
        "mode fast does not fit cpu: 95 % (detect 20 + segment 60 + pose 15) are wanted of 72 %, "
        "which is 0.9 of the slack that policy leaves"
    )


def test_giving_way_is_never_refused_even_if_it_still_does_not_fit(world: World) -> None:
    for name in ("detect", "segment", "pose"):
        world.needs.observe(name, NodeState.ACTIVE, 100.0, inference_ms=200.0)
    assert world.request("bare") == ""


def test_the_way_back_to_the_start_mode_is_open_however_slow_the_machine_was(world: World) -> None:
    assert world.request("bare") == ""
    world.run()
    for name in ("detect", "segment", "pose"):
        world.needs.observe(name, NodeState.ACTIVE, 100.0, inference_ms=200.0)
    assert "does not fit cpu" in world.request("fast")
    assert world.request("work") == ""


def test_memory_and_times_are_learned_from_what_nodes_report() -> None:
    needs = Needs(config(WORK))
    needs.observe("segment", NodeState.UNCONFIGURED, 75.0)
    needs.observe("segment", NodeState.ACTIVE, 195.0, inference_ms=50.0)
    needs.observe("segment", NodeState.UNCONFIGURED, 90.0)  # what a cleanup leaves is not a bare process
    needs.observe("policy", NodeState.ACTIVE, 100.0, inference_ms=4.0, rate_hz=24.0)
    assert needs.figures("segment") == ModeFigures(memory_mb=120.0, duration_s=0.05)
    assert (needs.figures("policy").rate_hz, needs.figures("policy").memory_mb) == (24.0, None)


def test_freed_time_goes_to_the_higher_class_first_up_to_what_is_of_use(world: World) -> None:
    # segment frees 5 Hz x 40 ms = 0.2 and pose 1 Hz x 30 ms = 0.03; detect may take (15 - 5) Hz x 20 ms = 0.2.
    rates = world.needs.shared(SHARING)
    assert rates == {"detect": pytest.approx(15.0), "segment": 5.0, "pose": 4.0}
    assert world.request("sharing") == ""
    world.run()
    assert world.rates["detect"] == pytest.approx(15.0)
    assert world.request("work") == ""
    world.run()
    assert world.rates == {"detect": 5.0, "segment": 5.0, "pose": 5.0}


def test_without_share_freed_rates_are_the_modes_own(world: World) -> None:
    assert world.needs.shared(replace(SHARING, share_freed=False)) == {
        "detect": 5.0,
        "segment": 5.0,
        "pose": 4.0,
    }


NODES = ("detect", "segment", "pose")


@given(
    durations=st.tuples(*[st.floats(0.001, 0.2)] * 3),
    limits=st.tuples(*[st.one_of(st.none(), st.floats(1.0, 30.0))] * 3),
    rates=st.tuples(*[st.floats(0.0, 5.0)] * 3),
    states=st.tuples(*[st.sampled_from([NodeState.ACTIVE, NodeState.INACTIVE])] * 3),
)
def test_sharing_never_gives_more_than_was_freed_nor_less_than_the_mode_wants(
    durations, limits, rates, states
) -> None:
    sharing = mode(
        "sharing",
        {name: {"rate_hz": hz, "state": state} for name, hz, state in zip(NODES, rates, states)},
        share_freed=True,
    )
    figures = {
        "fusion": ModeFigures(),
        "policy": ModeFigures(),
        **{name: ModeFigures(duration_s=d, max_rate_hz=hz) for name, d, hz in zip(NODES, durations, limits)},
    }
    shared = Needs(config(WORK, sharing, figures=figures)).shared(sharing)
    active = [name for name, state in zip(NODES, states) if state is NodeState.ACTIVE]
    load = sum(shared[name] * figures[name].duration_s for name in active)
    own = sum(sharing.nodes[name].rate_hz * figures[name].duration_s for name in active)
    base = sum(BASE[name].rate_hz * figures[name].duration_s for name in NODES)
    assert load <= max(own, min(base, 0.9)) + 1e-6
    for name in NODES:
        rate_hz = sharing.nodes[name].rate_hz
        assert shared[name] >= rate_hz
        assert shared[name] == rate_hz or shared[name] <= figures[name].max_rate_hz + 1e-6
