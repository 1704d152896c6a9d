# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Switches of modes: order, atomicity, refusals, and the old mode back when one fails, whatever happens."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given
from modes_world import BASE, DEFAULTS, RATES, World, config, mode

from edge_stack_supervisor.modes import CallTrigger, PublishText, candidates, found_mode
from edge_stack_supervisor.supervision import NodeState

HOOKS = {"entry": (PublishText("instruction", "look"),), "exit": (CallTrigger("gripper/close"),)}
WORK = mode("work", {}, entry=(CallTrigger("gripper/open"),), exit=(CallTrigger("arm/park"),))
LOOK = mode(
    "look",
    {
        "policy": {"state": NodeState.INACTIVE},
        "detect": {"rate_hz": 10.0},
        "segment": {"state": NodeState.UNCONFIGURED},
        "pose": {"rate_hz": 2.0},
    },
    **HOOKS,
)
FINE = mode("fine", {"detect": {"parameters": {"imgsz": 640}}, "pose": {"priority_class": "essential"}})


@pytest.fixture
def world() -> World:
    world = World(config(WORK, LOOK, FINE))
    world.run()
    assert world.machine.mode == "work"
    world.waves.clear()
    world.hooks.clear()
    world.modes.clear()
    return world


def told(world: World) -> dict:
    return {
        name: (target.state, target.rate_hz, target.settings) for name, target in world.machine.told.items()
    }


def wanted(name: str, world: World) -> dict:
    nodes = world.config.modes[name].nodes
    return {node: (target.state, target.rate_hz, target.settings) for node, target in nodes.items()}


def test_it_starts_in_the_start_mode_once_every_node_is_up() -> None:
    world = World(config(WORK, LOOK))
    world.stuck.add("pose")
    world.run(20.0)
    assert world.machine.mode == ""
    assert "start -> work (start)" in world.machine.text(world.now_s, world.seen())
    assert "pose is unconfigured (told to)" in world.machine.text(world.now_s, world.seen())
    world.stuck.clear()
    world.run(1.0)
    assert world.machine.mode == "work"
    assert world.hooks == ["call gripper/open"]


def test_a_node_that_was_given_up_does_not_hold_the_start_back() -> None:
    world = World(config(WORK, LOOK))
    world.given_up.add("pose")
    world.run(1.0)
    assert world.machine.mode == "work"


def test_a_node_that_never_appears_does_not_hold_the_start_back_for_ever() -> None:
    world = World(config(WORK, LOOK))
    world.stuck.add("pose")
    world.states["pose"] = NodeState.MISSING
    world.run(4.0)
    assert world.machine.mode == ""
    world.run(2.0)
    assert world.machine.mode == "work"


def test_a_node_that_the_governor_holds_down_holds_neither_start_nor_switch_back() -> None:
    world = World(config(WORK, LOOK))
    world.stuck.add("pose")
    world.held_down.add("pose")
    world.run(1.0)
    assert world.machine.mode == "work"
    assert world.request("look") == ""
    world.run(2.0)
    assert world.request("work") == ""
    world.run(2.0)
    assert [outcome.success for outcome in world.outcomes] == [True, True, True]


def test_an_adopted_mode_runs_no_entry_hook_and_moves_no_node() -> None:
    world = World(config(WORK, LOOK), adopted="work")
    world.run(1.0)
    assert (world.machine.mode, world.hooks) == ("work", [])
    assert set(world.states.values()) == {NodeState.ACTIVE}


def test_a_switch_goes_down_in_reverse_priority_then_up_and_its_name_changes_once(world: World) -> None:
    assert world.request("look") == ""
    world.run()
    assert [wave.title for wave in world.waves] == [
        "exit: call arm/park",
        "background nodes down",
        "critical nodes down",
        "rates down",
        "rates up",
        "entry: publish 'look' on instruction",
    ]
    assert world.modes == ["work", "look"]
    assert world.states["segment"] is NodeState.UNCONFIGURED
    assert world.rates == {"detect": 10.0, "segment": 5.0, "pose": 2.0}
    assert told(world) == wanted("look", world)
    world.waves.clear()
    world.request("work")
    world.run()
    assert [wave.title for wave in world.waves][1:4] == [
        "rates down",
        "critical nodes up",
        "background nodes up",
    ]
    assert world.rates == RATES
    assert world.outcomes[-1].message.startswith("look -> work in ")


def test_the_old_mode_is_told_until_every_node_is_where_the_new_one_wants_it(world: World) -> None:
    world.stuck.add("segment")
    world.request("look")
    world.run(2.0)
    assert world.machine.mode == "work"
    text = world.machine.text(world.now_s, world.seen())
    assert text.startswith(
        "work -> look (test) since 2.0 s, background nodes down: segment is active (told to)"
    )
    assert world.waves[-1].title == "background nodes down"
    world.stuck.clear()
    world.run(1.0)
    assert (world.machine.mode, world.machine.text(world.now_s, world.seen())) == ("look", "")


def test_a_node_whose_parameters_or_class_differ_is_reloaded_and_has_its_own_back_afterwards(
    world: World,
) -> None:
    world.request("fine")
    world.run()
    assert world.reloads == ["detect", "pose"]
    assert world.settings["detect"]["imgsz"] == 640
    assert world.settings["pose"]["priority_class"] == "essential"
    assert set(world.states.values()) == {NodeState.ACTIVE}
    world.request("work")
    world.run()
    assert world.settings == DEFAULTS
    assert set(world.states.values()) == {NodeState.ACTIVE}


def test_a_node_that_is_parked_holds_no_switch_up(world: World) -> None:
    world.stuck.add("policy")
    world.parked.add("policy")
    world.request("look")
    world.run()
    outcome = world.outcomes[-1]
    assert outcome.success and outcome.mode == "look"
    assert outcome.message.endswith("; without policy: parked")
    world.stuck.clear()  # its time is over
    world.run()
    assert world.states["policy"] is world.machine.told["policy"].state


def test_a_node_that_does_not_follow_in_time_brings_the_old_mode_back(world: World) -> None:
    world.stuck.add("policy")
    world.request("look")
    world.run(15.0)
    assert world.modes == ["work"]
    outcome = world.outcomes[-1]
    assert not outcome.success
    assert outcome.message == (
        "critical nodes down was not done within 5 s: policy is active (told to); mode work is restored"
    )
    assert told(world) == wanted("work", world)
    assert world.states["segment"] is NodeState.ACTIVE
    assert world.hooks == ["call arm/park", "call gripper/open"]  # what the exit hook undid is done again


def test_a_node_that_was_given_up_on_the_way_brings_the_old_mode_back_at_once(world: World) -> None:
    world.request("look")
    world.run()
    world.given_up.add("segment")
    world.request("work")
    world.run(2.0)
    assert world.machine.mode == "look"
    assert "segment is unconfigured; mode look is restored" in world.outcomes[-1].message


@pytest.mark.parametrize("hook", ["call arm/park", "publish 'look' on instruction"])
def test_a_hook_that_fails_brings_the_old_mode_back(world: World, hook: str) -> None:
    world.failing[hook] = "the arm is in the way"
    world.request("look")
    world.run()
    assert world.modes == ["work"]
    assert f"{hook}: the arm is in the way; mode work is restored" in world.outcomes[-1].message
    assert told(world) == wanted("work", world)
    if hook.startswith("publish"):
        assert world.hooks[2:] == ["call gripper/close", "call gripper/open"]


def test_one_switch_at_a_time_and_the_same_one_again_is_no_other(world: World) -> None:
    world.stuck.add("segment")
    assert world.request("look") == ""
    world.run(1.0)
    assert world.request("look") == ""
    assert world.request("fine").startswith("work -> look (test) is under way")
    assert world.request("nowhere") == "there is no mode 'nowhere'; there are work, look, fine"


def test_the_mode_in_force_is_no_switch(world: World) -> None:
    assert world.request("work") == ""
    assert not world.machine.under_way


def test_an_interrupted_switch_leaves_the_old_mode_in_force(world: World) -> None:
    world.stuck.add("policy")
    world.request("look")
    world.run(1.0)
    outcome = world.machine.interrupt("the stack is paused", world._carry_out)
    assert outcome is not None
    assert (outcome.success, outcome.message) == (False, "the stack is paused; mode work holds")
    assert told(world) == wanted("work", world)
    world.run(1.0)
    assert world.states["segment"] is NodeState.ACTIVE


def test_fusion_is_in_no_wave_of_modes_that_leave_it_alone(world: World) -> None:
    for name in ("look", "fine", "work", "fine", "look", "work"):
        world.request(name)
        world.run()
        assert world.machine.mode == name
    assert all("fusion" not in {**wave.states, **wave.settings, **wave.rates} for wave in world.waves)


def test_running_nodes_tell_which_mode_they_are_in() -> None:
    slow = mode("slow", {"detect": {"rate_hz": 1.0}})
    modes = config(WORK, LOOK, slow)
    states = {name: target.state for name, target in LOOK.nodes.items()}
    assert found_mode(modes, states, {}) == "look"
    up = dict.fromkeys(BASE, NodeState.ACTIVE)
    assert found_mode(modes, up, dict(RATES)) == "work"
    assert found_mode(modes, up, {**RATES, "detect": 1.0}) == "slow"
    assert found_mode(modes, dict.fromkeys(BASE, NodeState.UNCONFIGURED), {}) == ""
    assert candidates(modes, {"fusion": NodeState.UNCONFIGURED}) == []
    assert [m.name for m in candidates(modes, {"segment": NodeState.UNCONFIGURED})] == ["look"]


CHANGES = st.dictionaries(
    st.sampled_from([name for name in BASE if name != "fusion"]),
    st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from([NodeState.ACTIVE, NodeState.INACTIVE, NodeState.UNCONFIGURED]),
            "parameters": st.sampled_from([{}, {"imgsz": 640}]),
            "priority_class": st.sampled_from(["critical", "essential", "background"]),
        },
    ),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sets(st.sampled_from(sorted(BASE))),
        st.sets(st.sampled_from(sorted(BASE))),
        st.booleans(),
    ),
    max_size=6,
)


@given(changes=st.tuples(CHANGES, CHANGES, CHANGES), events=EVENTS)
def test_whatever_fails_the_nodes_are_told_one_mode_and_its_name_is_the_one_in_force(changes, events) -> None:
    modes = [mode(name, change) for name, change in zip("abc", changes)]
    modes[1] = replace(modes[1], **HOOKS)
    world = World(config(*modes))
    world.run()
    for target, stuck, given_up, failing in events:
        world.stuck, world.given_up = stuck, given_up
        world.failing = {"publish 'look' on instruction": "no"} if failing else {}
        before = world.machine.mode
        world.modes.clear()
        world.request(target)
        world.run(15.0)
        assert not world.machine.under_way
        assert world.machine.mode in (before, target)
        assert len(world.modes) <= 2
        assert told(world) == wanted(world.machine.mode, world)
    world.stuck, world.given_up = set(), set()
    world.run(1.0)
    for name, target in world.config.modes[world.machine.mode].nodes.items():
        assert world.states[name] is target.state
        assert world.settings[name] == {**DEFAULTS[name], **target.settings}
