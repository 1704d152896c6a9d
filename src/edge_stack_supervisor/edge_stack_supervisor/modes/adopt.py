# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which mode running nodes are in: a supervisor that was started again takes the stack as it is.

A unit is one look at all nodes that were heard. Nothing is kept anywhere: the states and rates of the nodes tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_stack_supervisor.modes.types import Mode, ModesConfig
from edge_stack_supervisor.supervision import NodeState

_RATE_TOLERANCE_HZ = 0.01


def candidates(config: ModesConfig, states: Mapping[str, NodeState]) -> list[Mode]:
    """Return the modes that fit the states of the nodes that were heard; none where the stack is on its way up."""
    return [
        mode
        for mode in config.modes.values()
        if all(mode.nodes[name].state is state for name, state in states.items() if name in mode.nodes)
    ]


def found_mode(config: ModesConfig, states: Mapping[str, NodeState], rates: Mapping[str, float]) -> str:
    """
    Return the mode that the nodes are in, or an empty string where none was active.

    Where several fit, the one whose rates fit best, then the start mode.
    """
    if NodeState.ACTIVE not in states.values():
        return ""

    def misfits(mode: Mode) -> tuple[int, bool]:
        wanted = {name: target.rate_hz for name, target in mode.nodes.items() if target.rate_hz is not None}
        wrong = [n for n, hz in wanted.items() if n in rates and abs(rates[n] - hz) > _RATE_TOLERANCE_HZ]
        return len(wrong), mode.name != config.start

    best = min(candidates(config, states), key=misfits, default=None)
    return "" if best is None else best.name
