# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The steps from what nodes are told now to what a mode wants: what goes out together, and in which order.

A plan is a list of waves; the next one goes out once the one before it is carried out. Exit hooks come first; then nodes go
down, background before essential before critical, so that memory and time are free before others want them; rates go down;
nodes come up in the opposite order; rates go up; entry hooks come last. A node that both modes want alike is in no wave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_stack_supervisor.modes.types import CLASSES, Hook, Mode, NodeTarget
from edge_stack_supervisor.supervision import NodeState

_HEIGHT = {NodeState.UNCONFIGURED: 0, NodeState.INACTIVE: 1, NodeState.ACTIVE: 2}


@dataclass(frozen=True)
class Wave:
    """
    What goes out together. Either a hook, or by node: states, settings that take effect at configure, and rates, Hz.

    leaving: whether the hook is an exit hook. down: whether nodes go down, where one that is missing is down as well.
    """

    title: str
    states: Mapping[str, NodeState] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    hook: Hook | None = None
    leaving: bool = False
    down: bool = False


def plan(
    told: Mapping[str, NodeTarget],
    mode: Mode,
    rates: Mapping[str, float],
    defaults: Mapping[str, Mapping[str, Any]],
    *,
    leaving: Sequence[Hook] = (),
    entering: Sequence[Hook] = (),
) -> list[Wave]:
    """
    Return the waves from what nodes are told now to a mode.

    rates: those of the mode, Hz. defaults: parameters of each node in robot.yaml, for those that only other modes set.
    leaving, entering: exit hooks of the mode before, entry hooks of this one.
    """
    waves = [Wave(f"exit: {hook}", hook=hook, leaving=True) for hook in leaving]
    settings = {name: _changes(told[name], mode.nodes[name], defaults.get(name, {})) for name in told}
    settings = {name: values for name, values in settings.items() if values}
    lows = {}
    for name, before in told.items():
        low = NodeState.UNCONFIGURED if name in settings else mode.nodes[name].state
        if _HEIGHT[low] < _HEIGHT[before.state]:
            lows[name] = low
    for priority_class in CLASSES:
        states = {n: s for n, s in lows.items() if told[n].priority_class == priority_class}
        waves.append(Wave(f"{priority_class} nodes down", states, down=True))
    slower = {name: hz for name, hz in rates.items() if hz < (told[name].rate_hz or 0.0)}
    waves.append(Wave("rates down", settings=settings, rates=slower))
    for priority_class in reversed(CLASSES):
        states = {
            name: target.state
            for name, target in mode.nodes.items()
            if target.priority_class == priority_class
            and _HEIGHT[target.state] > _HEIGHT[lows.get(name, told[name].state)]
        }
        waves.append(Wave(f"{priority_class} nodes up", states))
    faster = {name: hz for name, hz in rates.items() if hz > (told[name].rate_hz or 0.0)}
    waves.append(Wave("rates up", rates=faster))
    waves += entry_waves(entering)
    return [wave for wave in waves if wave.states or wave.settings or wave.rates or wave.hook]


def everything(
    told: Mapping[str, NodeTarget],
    mode: Mode,
    rates: Mapping[str, float],
    defaults: Mapping[str, Mapping[str, Any]],
) -> Wave:
    """Return one wave with all that a mode wants, where there is no order to keep: at the start, or in a paused stack."""
    changes = {name: _changes(told[name], mode.nodes[name], defaults.get(name, {})) for name in told}
    return Wave(
        "nodes up",
        {name: target.state for name, target in mode.nodes.items()},
        {name: values for name, values in changes.items() if values},
        {name: hz for name, hz in rates.items() if hz != told[name].rate_hz},
    )


def entry_waves(hooks: Sequence[Hook]) -> list[Wave]:
    """Return the waves of entry hooks."""
    return [Wave(f"entry: {hook}", hook=hook) for hook in hooks]


def _changes(before: NodeTarget, after: NodeTarget, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings to set; a parameter that the mode does not name has its value of robot.yaml again."""
    old = {**defaults, **before.settings}
    new = {**{name: defaults[name] for name in before.parameters}, **after.settings}
    return {name: value for name, value in new.items() if old.get(name) != value}
