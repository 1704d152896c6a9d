# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where every node is while modes are switched, and what the benchmark of modes concludes from it.

Its unit is one switch. A node is in its mode when it says itself that it is in the state that the file wants of it, and,
where it is active, at the rate that the supervisor wants. Nothing here knows ROS; times are monotonic, s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_stack_supervisor.modes import Mode
from edge_stack_supervisor.supervision import NodeState

SETTLED_LIMIT_S = 2.0
GAP_PERIODS = 1.5
_RATE_TOLERANCE_HZ = 0.01


@dataclass
class NodeStates:
    """
    Where the nodes are, from what they and the supervisor say.

    nodes: those that are looked for. mode: in force, by the supervisor. wanted_hz: what the supervisor wants of each node;
    below 0 where it sets no rate. said: each node's own state and rate.
    """

    nodes: Sequence[str]
    mode: str = ""
    changed_s: float = 0.0
    wanted_hz: dict[str, float] = field(default_factory=dict)
    said: dict[str, tuple[str, float]] = field(default_factory=dict)

    def stack(self, now_s: float, mode: str, wanted_hz: Mapping[str, float]) -> None:
        """Take what the supervisor says."""
        if (mode, wanted_hz) != (self.mode, self.wanted_hz):
            self.mode, self.wanted_hz, self.changed_s = mode, dict(wanted_hz), max(now_s, self.changed_s)

    def node(self, now_s: float, name: str, state: str, rate_hz: float) -> None:
        """Take what a node says of itself."""
        if self.said.get(name) != (state, rate_hz):
            self.said[name] = state, rate_hz
            self.changed_s = max(now_s, self.changed_s)

    def missing(self, mode: Mode) -> list[str]:
        """Return what is not as a mode wants it yet, in words; empty: every node is in its place, since changed_s."""
        if self.mode != mode.name:
            return [f"mode {self.mode or 'none'} is in force"]
        texts = []
        for name in self.nodes:
            state, rate_hz = self.said.get(name, ("missing", 0.0))
            wanted_hz = self.wanted_hz.get(name, -1.0)
            if state != mode.nodes[name].state.label:
                texts.append(f"{name} is {state}")
            elif (
                state == NodeState.ACTIVE.label
                and wanted_hz >= 0.0
                and abs(rate_hz - wanted_hz) > _RATE_TOLERANCE_HZ
            ):
                texts.append(f"{name} is at {rate_hz:g} Hz of {wanted_hz:g}")
        return texts


@dataclass(frozen=True)
class Switch:
    """
    One switch that was asked for.

    settled_s: from the request until every node was in its place; None: not within the limit that was waited for. gaps_s:
    every time between two commands from the request to the next one. refused: why it was not done; empty: it was.
    """

    load: str
    source: str
    target: str
    settled_s: float | None
    gaps_s: tuple[float, ...]
    refused: str = ""
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one line."""
        settled = ", ".join(self.missing) if self.settled_s is None else f"settled in {self.settled_s:.2f} s"
        longest_ms = 1e3 * max(self.gaps_s, default=0.0)
        return f"{self.source} -> {self.target}: {self.refused or settled}, longest gap {longest_ms:.1f} ms"


def tour(names: Sequence[str], count: int) -> list[str]:
    """
    Return so many modes to switch to one after another, from the first name on: each switch from one to another in turn.

    After n (n - 1) switches each was there once, and the tour begins again: Hierholzer's walk over every edge.
    """
    left = {name: [other for other in names if other != name] for name in names}
    path, walk = [names[0]], []
    while path:
        if left[path[-1]]:
            path.append(left[path[-1]].pop(0))
        else:
            walk.append(path.pop())
    steps = walk[-2::-1]
    return list(itertools.islice(itertools.cycle(steps), count)) if steps else []


def rows_of(switches: Iterable[Switch], period_s: float) -> list[dict[str, Any]]:
    """Return one row for each kind of switch under each load, in the order of their first ones."""
    kinds: dict[tuple[str, str], list[Switch]] = {}
    for switch in switches:
        kinds.setdefault((switch.load, f"{switch.source} -> {switch.target}"), []).append(switch)
    return [_row(load, name, of_kind, GAP_PERIODS * period_s) for (load, name), of_kind in kinds.items()]


def _row(load: str, name: str, switches: Sequence[Switch], limit_s: float) -> dict[str, Any]:
    done = [switch for switch in switches if not switch.refused]
    settled_s = [switch.settled_s for switch in done if switch.settled_s is not None]
    return {
        "load": load,
        "switch": name,
        "n": len(done),
        "gap_ms": _quantiles([max(switch.gaps_s) for switch in done if switch.gaps_s]),
        "over_limit": sum(gap_s > limit_s for switch in done for gap_s in switch.gaps_s),
        "settled_ms": _quantiles(settled_s),
        "late": sum(s.settled_s is None or s.settled_s > SETTLED_LIMIT_S for s in done),
        "refused": len(switches) - len(done),
        "said": sorted({text for s in switches for text in (s.refused, *s.missing) if text}),
    }


def _quantiles(values_s: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max, ms; empty without values. Of few values, p99 is the largest of them."""
    if not values_s:
        return {}
    p50, p99 = np.quantile(values_s, (0.5, 0.99), method="higher")
    return {"p50": round(1e3 * p50, 1), "p99": round(1e3 * p99, 1), "max": round(1e3 * max(values_s), 1)}
