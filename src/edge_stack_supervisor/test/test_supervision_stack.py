# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole stack under supervision: order, verbs, recovery, and convergence whatever goes wrong."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from supervised_world import World

from edge_stack_supervisor.supervision import Health, NodeSpec, NodeState, StackPhase, Transition, Verb

SPECS = [
    NodeSpec("sim", "essential", 1),
    NodeSpec("fusion", "critical", 1),
    NodeSpec("detect", "essential", 1, rate_hz=5.0),
    NodeSpec("segment", "background", 2, rate_hz=2.0),
    NodeSpec("pose", "background", 2, rate_hz=2.0),
    NodeSpec("speech", "background", 3),
]
STAGE = {spec.name: spec.stage for spec in SPECS}


@pytest.fixture
def world() -> World:
    return World(SPECS)


def start(world: World) -> None:
    assert world.supervision.request(Verb.STARTUP, world.now_s) == ""
    world.run(10.0)
    assert world.supervision.phase is StackPhase.ACTIVE


def ask(world: World, verb: Verb) -> str:
    return world.supervision.request(verb, world.now_s)


def test_nothing_is_done_before_a_verb(world: World) -> None:
    world.run(5.0)
    assert world.begun == []
    assert world.supervision.phase is StackPhase.DOWN
    assert {view.state for view in world.supervision.view(world.now_s)} == {NodeState.UNCONFIGURED}


def test_startup_brings_up_stage_after_stage(world: World) -> None:
    start(world)
    stages = [STAGE[name] for name, _ in world.begun]
    assert stages == sorted(stages)
    assert len(world.begun) == 2 * len(SPECS)
    assert {view.health for view in world.supervision.view(world.now_s)} == {Health.OK}


def test_nodes_of_one_stage_configure_at_the_same_time(world: World) -> None:
    for node in world.nodes.values():
        node.configure_ticks = 40
    ask(world, Verb.STARTUP)
    world.run(3.0)
    assert [world.nodes[name].state for name in ("sim", "fusion", "detect")] == [NodeState.ACTIVE] * 3


def test_a_later_stage_says_for_whom_it_waits(world: World) -> None:
    world.nodes["sim"].configure_ticks = 100
    ask(world, Verb.STARTUP)
    world.run(2.0)
    messages = {view.name: view.message for view in world.supervision.view(world.now_s)}
    assert messages["segment"] == "waits for sim"
    assert world.supervision.phase is StackPhase.STARTING


def test_a_node_that_fails_holds_nobody_back_and_shows_its_reason(world: World) -> None:
    world.nodes["detect"].failures[Transition.CONFIGURE] = -1
    ask(world, Verb.STARTUP)
    world.run(20.0)
    states = {name: node.state for name, node in world.nodes.items()}
    assert states.pop("detect") is NodeState.UNCONFIGURED
    assert set(states.values()) == {NodeState.ACTIVE}
    assert world.supervision.phase is StackPhase.DEGRADED
    assert world.supervision.settled
    assert world.supervision.unsettled(world.now_s) == (
        "detect is unconfigured (given up after 4 attempts: configure failed: told to)"
    )


def test_a_node_that_never_appears_holds_others_back_for_a_limited_time(world: World) -> None:
    world.nodes["sim"].respawn_ticks = 10**9
    world.kill("sim")
    world.restart_supervisor()
    ask(world, Verb.STARTUP)
    world.run(2.0)
    assert world.nodes["segment"].state is NodeState.UNCONFIGURED
    world.run(4.0)
    assert world.nodes["segment"].state is NodeState.ACTIVE
    view = {view.name: view for view in world.supervision.view(world.now_s)}
    assert view["sim"].message == "no sign of it yet"
    assert view["sim"].health is Health.STALE
    assert view["sim"].pid == 0


def test_a_died_node_comes_back_without_a_step_of_any_other(world: World) -> None:
    start(world)
    world.begun.clear()
    world.kill("fusion")
    world.run(3.0)
    assert world.begun == [("fusion", Transition.CONFIGURE), ("fusion", Transition.ACTIVATE)]
    view = {view.name: view for view in world.supervision.view(world.now_s)}
    assert view["fusion"].recoveries == 1
    assert 0.5 < view["fusion"].last_recovery_s < 1.5
    assert math.isnan(view["sim"].last_recovery_s)
    assert world.supervision.phase is StackPhase.ACTIVE


def test_a_died_node_does_not_wait_for_one_of_an_earlier_stage_that_is_away(world: World) -> None:
    start(world)
    world.nodes["sim"].respawn_ticks = 10**9
    world.kill("sim")
    world.kill("speech")
    world.run(3.0)
    assert world.nodes["speech"].state is NodeState.ACTIVE
    assert world.supervision.phase is StackPhase.DEGRADED


def test_the_stack_goes_down_in_reverse_order(world: World) -> None:
    start(world)
    for verb, state in (
        (Verb.PAUSE, NodeState.INACTIVE),
        (Verb.RESET, NodeState.UNCONFIGURED),
        (Verb.SHUTDOWN, NodeState.FINALIZED),
    ):
        world.begun.clear()
        assert ask(world, verb) == ""
        assert world.supervision.phase is StackPhase.STOPPING
        world.run(5.0)
        stages = [STAGE[name] for name, _ in world.begun]
        assert stages == sorted(stages, reverse=True)
        assert {node.state for node in world.nodes.values()} == {state}
        assert world.supervision.phase is StackPhase.DOWN


def test_resume_activates_a_paused_stack_without_configuring_it(world: World) -> None:
    start(world)
    ask(world, Verb.PAUSE)
    world.run(3.0)
    world.begun.clear()
    assert ask(world, Verb.RESUME) == ""
    world.run(3.0)
    assert {transition for _, transition in world.begun} == {Transition.ACTIVATE}
    assert world.supervision.phase is StackPhase.ACTIVE


def test_a_node_that_dies_while_paused_is_made_ready_again(world: World) -> None:
    start(world)
    ask(world, Verb.PAUSE)
    world.run(3.0)
    world.kill("detect")
    world.run(3.0)
    assert world.nodes["detect"].state is NodeState.INACTIVE


def test_pause_and_resume_are_refused_with_a_reason_while_the_stack_is_not_up(world: World) -> None:
    assert "pause is for a stack that is up" in ask(world, Verb.PAUSE)
    ask(world, Verb.RESET)
    world.run(1.0)
    assert "wanted unconfigured" in ask(world, Verb.RESUME)
    assert world.supervision.goal is NodeState.UNCONFIGURED


def test_a_new_supervisor_adopts_active_nodes_as_they_are(world: World) -> None:
    start(world)
    world.begun.clear()
    world.kill("pose")
    world.restart_supervisor()
    ask(world, Verb.STARTUP)
    world.run(3.0)
    assert world.begun == [("pose", Transition.CONFIGURE), ("pose", Transition.ACTIVATE)]
    assert world.supervision.phase is StackPhase.ACTIVE


def test_rates_are_set_on_nodes_that_have_one_and_again_after_a_death(world: World) -> None:
    start(world)
    assert world.nodes["detect"].target_hz == 5.0
    assert world.nodes["sim"].target_hz == 1.0
    world.supervision.want_rate("segment", 0.5)
    world.run(1.0)
    assert world.nodes["segment"].target_hz == 0.5
    world.kill("segment")
    world.run(3.0)
    assert world.nodes["segment"].target_hz == 0.5
    view = {view.name: view.target_hz for view in world.supervision.view(world.now_s)}
    assert view["segment"] == 0.5
    assert view["sim"] == -1.0


def test_a_supervisor_that_was_held_up_does_not_take_its_nodes_for_dead(world: World) -> None:
    start(world)
    world.now_s += 5.0
    world.supervision.step(world.now_s)
    assert world.supervision.phase is StackPhase.ACTIVE
    world.run(3.0)
    assert [view.recoveries for view in world.supervision.view(world.now_s)] == [0] * len(SPECS)


def test_an_unknown_node_is_ignored(world: World) -> None:
    from edge_stack_supervisor.supervision import Report

    world.supervision.observe("stranger", Report(1, NodeState.ACTIVE), world.now_s)
    assert "stranger" not in {view.name for view in world.supervision.view(world.now_s)}


def test_an_empty_stack_is_active_at_once() -> None:
    world = World([])
    ask(world, Verb.STARTUP)
    world.run(0.1)
    assert world.supervision.phase is StackPhase.ACTIVE


NAMES = st.sampled_from([spec.name for spec in SPECS])


class AnyTrouble(RuleBasedStateMachine):
    """Deaths, failures, lost calls: once they stop, every node is where it is wanted, or says why not."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(SPECS)
        self.world.supervision.request(Verb.STARTUP, self.world.now_s)

    @rule(duration_s=st.floats(0.05, 4.0))
    def time_passes(self, duration_s: float) -> None:
        self.world.run(duration_s)

    @rule(name=NAMES, respawn_ticks=st.integers(1, 60))
    def a_node_dies(self, name: str, respawn_ticks: int) -> None:
        self.world.nodes[name].respawn_ticks = respawn_ticks
        self.world.kill(name)

    @rule(
        name=NAMES,
        transition=st.sampled_from(list(Transition)),
        count=st.integers(-1, 6),
        errors=st.booleans(),
    )
    def transitions_fail(self, name: str, transition: Transition, count: int, errors: bool) -> None:
        self.world.nodes[name].failures[transition] = count
        self.world.nodes[name].errors = errors

    @rule(name=NAMES, ticks=st.integers(1, 80))
    def configure_takes_long(self, name: str, ticks: int) -> None:
        self.world.nodes[name].configure_ticks = ticks

    @rule(name=NAMES, count=st.integers(1, 5))
    def calls_are_lost(self, name: str, count: int) -> None:
        self.world.nodes[name].lose_calls = count

    @rule(name=NAMES, transition=st.sampled_from(list(Transition)[:-1]))
    def somebody_moves_a_node(self, name: str, transition: Transition) -> None:
        self.world.by_hand(name, transition)

    @rule(verb=st.sampled_from([Verb.STARTUP, Verb.PAUSE, Verb.RESUME, Verb.RESET]))
    def a_verb_is_requested(self, verb: Verb) -> None:
        self.world.supervision.request(verb, self.world.now_s)

    @rule()
    def the_supervisor_is_restarted(self) -> None:
        self.world.restart_supervisor()
        self.world.supervision.request(Verb.STARTUP, self.world.now_s)

    @invariant()
    def a_node_that_is_not_where_it_is_wanted_says_why(self) -> None:
        phase = self.world.supervision.phase
        for view in self.world.supervision.view(self.world.now_s):
            if view.health is Health.ERROR:
                assert view.message, view
            if phase is StackPhase.ACTIVE:
                assert view.state is view.wanted, view

    def teardown(self) -> None:
        self.world.run(90.0)
        for view in self.world.supervision.view(self.world.now_s):
            truth = self.world.nodes[view.name]
            assert view.state is truth.state, (view, truth)
            assert view.pid == truth.pid
            reached = view.state is view.wanted
            assert reached or view.message.startswith("given up after"), (view, truth)
        assert self.world.supervision.settled


AnyTrouble.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestAnyTrouble = AnyTrouble.TestCase


@pytest.mark.parametrize("state", [NodeState.INACTIVE, NodeState.UNCONFIGURED])
def test_one_node_can_be_wanted_lower_than_the_stack_and_stays_there_in_its_next_process(
    world: World, state: NodeState
) -> None:
    start(world)
    assert world.supervision.want_node("segment", state, "memory is short")
    world.run(2.0)
    assert world.nodes["segment"].state is state
    assert world.supervision.phase is StackPhase.ACTIVE
    view = next(v for v in world.supervision.view(world.now_s) if v.name == "segment")
    assert (view.wanted, view.reason, view.health) == (state, "memory is short", Health.OK)
    world.kill("segment")
    world.run(3.0)
    assert world.nodes["segment"].state is (
        NodeState.UNCONFIGURED if state is NodeState.UNCONFIGURED else state
    )
    assert world.supervision.want_node("segment", NodeState.ACTIVE)
    world.run(2.0)
    assert world.nodes["segment"].state is NodeState.ACTIVE


def test_a_reason_that_state_and_rate_share_is_shown_once(world: World) -> None:
    start(world)
    world.supervision.want_node("segment", NodeState.UNCONFIGURED, "memory: 300 MiB available")
    world.supervision.want_rate("segment", 1.0, "memory: 300 MiB available")
    view = next(v for v in world.supervision.view(world.now_s) if v.name == "segment")
    assert view.reason == "memory: 300 MiB available"


def test_what_is_wanted_of_a_node_yields_to_the_stack_and_holds_after_it(world: World) -> None:
    start(world)
    world.supervision.want_node("pose", NodeState.UNCONFIGURED)
    assert ask(world, Verb.PAUSE) == ""
    world.run(3.0)
    assert world.nodes["pose"].state is NodeState.UNCONFIGURED
    assert world.nodes["segment"].state is NodeState.INACTIVE
    assert ask(world, Verb.RESUME) == ""
    world.run(3.0)
    assert world.nodes["pose"].state is NodeState.UNCONFIGURED
    assert world.nodes["segment"].state is NodeState.ACTIVE


def test_a_node_taken_down_by_hand_stays_down_but_can_be_taken_further_down(world: World) -> None:
    start(world)
    world.by_hand("pose", Transition.DEACTIVATE)
    world.run(1.0)
    world.supervision.want_node("pose", NodeState.INACTIVE)
    world.supervision.want_node("pose", NodeState.ACTIVE)
    world.run(2.0)
    assert world.nodes["pose"].state is NodeState.INACTIVE
    world.supervision.want_node("pose", NodeState.UNCONFIGURED)
    world.run(2.0)
    assert world.nodes["pose"].state is NodeState.UNCONFIGURED


def test_parameters_are_set_once_and_again_on_the_next_process(world: World) -> None:
    start(world)
    assert world.supervision.want_parameters("detect", {"confidence": 0.5})
    world.run(1.0)
    assert world.nodes["detect"].parameters == {"rate_hz": 5.0, "confidence": 0.5}
    world.nodes["detect"].parameters["confidence"] = 0.7  # by a user, whose value holds
    world.supervision.want_parameters("detect", {"confidence": 0.5})
    world.run(2.0)
    assert world.nodes["detect"].parameters["confidence"] == 0.7
    world.kill("detect")
    world.run(3.0)
    assert world.nodes["detect"].parameters["confidence"] == 0.5
    assert world.nodes["detect"].state is NodeState.ACTIVE


def test_a_parameter_that_takes_effect_at_configure_takes_the_node_down_and_up(world: World) -> None:
    start(world)
    world.begun.clear()
    world.supervision.want_parameters("segment", {"size": 160}, reconfigure=True)
    world.run(3.0)
    assert world.nodes["segment"].parameters["size"] == 160
    assert [step for name, step in world.begun if name == "segment"] == [
        Transition.DEACTIVATE,
        Transition.CLEANUP,
        Transition.CONFIGURE,
        Transition.ACTIVATE,
    ]
    assert {name for name, _ in world.begun} == {"segment"}
    assert {view.message for view in world.supervision.view(world.now_s)} == {""}


def test_a_refused_parameter_is_shown_and_the_node_comes_back_without_it(world: World) -> None:
    start(world)
    world.supervision.want_parameters("segment", {"bad": 1}, reconfigure=True)
    world.run(3.0)
    assert world.nodes["segment"].state is NodeState.ACTIVE
    view = next(v for v in world.supervision.view(world.now_s) if v.name == "segment")
    assert view.message == "bad refused: no"
    assert view.health is Health.WARN


def test_what_is_wanted_of_a_node_that_is_away_waits_for_it(world: World) -> None:
    start(world)
    world.nodes["segment"].respawn_ticks = 60
    world.kill("segment")
    world.run(1.0)
    assert world.supervision.want_rate("segment", 0.5, "hot")
    assert world.supervision.want_parameters("segment", {"size": 160}, reconfigure=True)
    world.run(6.0)
    assert world.nodes["segment"].state is NodeState.ACTIVE
    assert world.nodes["segment"].parameters == {"rate_hz": 0.5, "size": 160}


def test_what_is_wanted_of_a_node_that_is_not_supervised_is_answered_with_no(world: World) -> None:
    assert not world.supervision.want_node("nobody", NodeState.INACTIVE)
    assert not world.supervision.want_rate("nobody", 1.0)
    assert not world.supervision.want_parameters("nobody", {"size": 160})
    with pytest.raises(ValueError, match="finalized"):
        world.supervision.want_node("segment", NodeState.FINALIZED)
