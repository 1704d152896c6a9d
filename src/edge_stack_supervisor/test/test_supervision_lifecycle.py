# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle tables: complete, and every walk along them ends where it should."""

from __future__ import annotations

import pytest

from edge_stack_supervisor.supervision.lifecycle import (
    VERBS,
    WANTABLE,
    NodeState,
    Step,
    Transition,
    Verb,
    leads_away,
    next_step,
)

PRIMARY = (NodeState.UNCONFIGURED, NodeState.INACTIVE, NodeState.ACTIVE, NodeState.FINALIZED)


@pytest.mark.parametrize("wanted", WANTABLE)
@pytest.mark.parametrize("observed", list(NodeState))
def test_every_pair_of_wanted_and_observed_state_has_a_step(wanted: NodeState, observed: NodeState) -> None:
    assert isinstance(next_step(wanted, observed), Step)


@pytest.mark.parametrize("wanted", WANTABLE)
@pytest.mark.parametrize("start", PRIMARY)
def test_following_the_steps_reaches_the_wanted_state_or_gives_up(
    wanted: NodeState, start: NodeState
) -> None:
    state = start
    for _ in range(4):
        step = next_step(wanted, state)
        if step.transition is None:
            break
        assert step.transition.origin is state, "a transition starts where the node is"
        state = step.transition.result
    assert state is wanted or (start is NodeState.FINALIZED and step is Step.GIVE_UP)


@pytest.mark.parametrize("observed", list(NodeState))
def test_nothing_is_done_about_a_node_of_which_nothing_is_wanted(observed: NodeState) -> None:
    assert next_step(None, observed) is Step.DONE


@pytest.mark.parametrize("observed", [state for state in NodeState if state.is_transition])
def test_a_node_in_a_transition_is_waited_for(observed: NodeState) -> None:
    assert all(next_step(wanted, observed) is Step.WAIT for wanted in WANTABLE)


@pytest.mark.parametrize("transition", list(Transition))
def test_a_transition_passes_through_a_state_of_its_own(transition: Transition) -> None:
    assert transition.origin.is_primary
    assert transition.result.is_primary
    assert transition.through.is_transition


def test_moves_are_towards_or_away_from_what_is_wanted() -> None:
    assert leads_away(NodeState.ACTIVE, NodeState.INACTIVE, NodeState.ACTIVE)
    assert leads_away(NodeState.INACTIVE, NodeState.ACTIVE, NodeState.INACTIVE)
    assert not leads_away(NodeState.UNCONFIGURED, NodeState.INACTIVE, NodeState.ACTIVE)


def test_pause_and_resume_need_a_stack_that_is_up_or_paused() -> None:
    for verb in (Verb.PAUSE, Verb.RESUME):
        assert {before for one, before in VERBS if one is verb} == {NodeState.ACTIVE, NodeState.INACTIVE}


def test_the_numbers_are_those_of_the_messages() -> None:
    diagnostic_msgs = pytest.importorskip("diagnostic_msgs.msg")
    lifecycle_msgs = pytest.importorskip("lifecycle_msgs.msg")
    stack_msgs = pytest.importorskip("edge_stack_msgs.msg")
    stack_srvs = pytest.importorskip("edge_stack_msgs.srv")
    from edge_stack_supervisor.supervision import Health, StackPhase

    for state in PRIMARY:
        assert getattr(lifecycle_msgs.State, f"PRIMARY_STATE_{state.name}") == state
    assert lifecycle_msgs.State.PRIMARY_STATE_UNKNOWN == NodeState.MISSING
    for state in NodeState:
        if state.is_transition:
            assert getattr(lifecycle_msgs.State, f"TRANSITION_STATE_{state.name}") == state
    for transition in (Transition.CONFIGURE, Transition.CLEANUP, Transition.ACTIVATE, Transition.DEACTIVATE):
        assert getattr(lifecycle_msgs.Transition, f"TRANSITION_{transition.name}") == transition
    assert lifecycle_msgs.Transition.TRANSITION_UNCONFIGURED_SHUTDOWN == Transition.SHUTDOWN
    for verb in Verb:
        assert getattr(stack_srvs.ManageStack.Request, verb.name) == verb
    for phase in StackPhase:
        assert getattr(stack_msgs.StackState, phase.name) == phase
    for health in Health:
        assert getattr(diagnostic_msgs.DiagnosticStatus, health.name) == bytes([health])
