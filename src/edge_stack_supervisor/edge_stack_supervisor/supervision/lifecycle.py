# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The lifecycle of a managed node as tables: states, transitions, and the next step from any state to any other.

A unit is one lookup: next_step(wanted, observed). Nothing here keeps state or knows ROS; the numbers are
those of lifecycle_msgs, and a test holds them to it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class NodeState(enum.IntEnum):
    """State of a node by its lifecycle_msgs/State id; MISSING (its 'unknown') without a sign of the node."""

    MISSING = 0
    UNCONFIGURED = 1
    INACTIVE = 2
    ACTIVE = 3
    FINALIZED = 4
    CONFIGURING = 10
    CLEANINGUP = 11
    SHUTTINGDOWN = 12
    ACTIVATING = 13
    DEACTIVATING = 14
    ERRORPROCESSING = 15

    @property
    def label(self) -> str:
        """Label as in lifecycle_msgs."""
        return self.name.lower()

    @property
    def is_primary(self) -> bool:
        """Whether the node rests in this state, as opposed to passing through it."""
        return NodeState.UNCONFIGURED <= self <= NodeState.FINALIZED

    @property
    def is_transition(self) -> bool:
        """Whether the node passes through this state."""
        return self >= NodeState.CONFIGURING


class Transition(enum.IntEnum):
    """Transitions that the supervisor asks for, by their lifecycle_msgs/Transition id."""

    CONFIGURE = 1
    CLEANUP = 2
    ACTIVATE = 3
    DEACTIVATE = 4
    SHUTDOWN = 5  # from unconfigured, the only state in which the supervisor asks for it

    @property
    def label(self) -> str:
        """Name of the transition."""
        return self.name.lower()

    @property
    def origin(self) -> NodeState:
        """State in which the transition may start."""
        return _ROUTES[self][0]

    @property
    def through(self) -> NodeState:
        """State that the node passes through."""
        return _ROUTES[self][1]

    @property
    def result(self) -> NodeState:
        """State in which the transition ends if it succeeds; it ends in the origin if it fails."""
        return _ROUTES[self][2]


_ROUTES: Mapping[Transition, tuple[NodeState, NodeState, NodeState]] = MappingProxyType(
    {
        Transition.CONFIGURE: (NodeState.UNCONFIGURED, NodeState.CONFIGURING, NodeState.INACTIVE),
        Transition.CLEANUP: (NodeState.INACTIVE, NodeState.CLEANINGUP, NodeState.UNCONFIGURED),
        Transition.ACTIVATE: (NodeState.INACTIVE, NodeState.ACTIVATING, NodeState.ACTIVE),
        Transition.DEACTIVATE: (NodeState.ACTIVE, NodeState.DEACTIVATING, NodeState.INACTIVE),
        Transition.SHUTDOWN: (NodeState.UNCONFIGURED, NodeState.SHUTTINGDOWN, NodeState.FINALIZED),
    }
)


class Step(enum.Enum):
    """What to do next about a node."""

    DONE = "done"  # the node is where it is wanted
    WAIT = "wait"  # for the node, which is away or under way
    GIVE_UP = "give up"  # no transition leads there
    CONFIGURE = Transition.CONFIGURE
    CLEANUP = Transition.CLEANUP
    ACTIVATE = Transition.ACTIVATE
    DEACTIVATE = Transition.DEACTIVATE
    SHUTDOWN = Transition.SHUTDOWN

    @property
    def transition(self) -> Transition | None:
        """The transition that this step asks for, or None where it asks for none."""
        return self.value if isinstance(self.value, Transition) else None


WANTABLE = (NodeState.ACTIVE, NodeState.INACTIVE, NodeState.UNCONFIGURED, NodeState.FINALIZED)

# Rows: the wanted state. Columns: the observed one. A node that is missing is as good as cleaned up or shut
# down.
_COLUMNS = (
    NodeState.MISSING,
    NodeState.UNCONFIGURED,
    NodeState.INACTIVE,
    NodeState.ACTIVE,
    NodeState.FINALIZED,
)
_ROWS: Mapping[NodeState, tuple[Step, ...]] = MappingProxyType(
    {
        NodeState.ACTIVE: (Step.WAIT, Step.CONFIGURE, Step.ACTIVATE, Step.DONE, Step.GIVE_UP),
        NodeState.INACTIVE: (Step.WAIT, Step.CONFIGURE, Step.DONE, Step.DEACTIVATE, Step.GIVE_UP),
        NodeState.UNCONFIGURED: (Step.DONE, Step.DONE, Step.CLEANUP, Step.DEACTIVATE, Step.GIVE_UP),
        NodeState.FINALIZED: (Step.DONE, Step.SHUTDOWN, Step.CLEANUP, Step.DEACTIVATE, Step.DONE),
    }
)


def next_step(wanted: NodeState | None, observed: NodeState) -> Step:
    """Return the next step for a node; None wants nothing of it."""
    if wanted is None:
        return Step.DONE
    if observed.is_transition:
        return Step.WAIT
    return _ROWS[wanted][_COLUMNS.index(observed)]


# How far up a state is, to tell whether a move leads towards a wanted state or away from it.
_HEIGHT = {NodeState.FINALIZED: 0, NodeState.UNCONFIGURED: 1, NodeState.INACTIVE: 2, NodeState.ACTIVE: 3}


def lower(one: NodeState, other: NodeState) -> NodeState:
    """Return the lower of two primary states."""
    return min(one, other, key=_HEIGHT.__getitem__)


def leads_away(before: NodeState, after: NodeState, wanted: NodeState) -> bool:
    """Whether a move between primary states leaves the node farther from the wanted one."""
    return abs(_HEIGHT[after] - _HEIGHT[wanted]) > abs(_HEIGHT[before] - _HEIGHT[wanted])


class Verb(enum.IntEnum):
    """What a user may ask of the whole stack, by the constants of edge_stack_msgs/ManageStack."""

    STARTUP = 0
    PAUSE = 1
    RESUME = 2
    RESET = 3
    SHUTDOWN = 4
    RELEASE = 5  # of nodes, not of the stack: what is wanted stays

    @property
    def label(self) -> str:
        """Name of the verb."""
        return self.name.lower()


# Wanted state of every node after a verb, by the one before it (None: the stack is left as it is). Pairs that
# are not listed are refused: there is nothing to pause or resume in a stack that is not up.
VERBS: Mapping[tuple[Verb, NodeState | None], NodeState] = MappingProxyType(
    {
        **{(Verb.STARTUP, before): NodeState.ACTIVE for before in (None, *WANTABLE)},
        **{(Verb.PAUSE, before): NodeState.INACTIVE for before in (NodeState.ACTIVE, NodeState.INACTIVE)},
        **{(Verb.RESUME, before): NodeState.ACTIVE for before in (NodeState.ACTIVE, NodeState.INACTIVE)},
        **{
            (Verb.RESET, before): NodeState.UNCONFIGURED
            for before in (None, NodeState.ACTIVE, NodeState.INACTIVE, NodeState.UNCONFIGURED)
        },
        **{(Verb.SHUTDOWN, before): NodeState.FINALIZED for before in (None, *WANTABLE)},
    }
)
