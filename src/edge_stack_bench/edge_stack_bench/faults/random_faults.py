# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A random but repeatable list of faults: the same seed, nodes and duration give the same list.

A unit is one list. Every kind of fault comes as often as every other, one every few seconds, and they overlap as they fall.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from edge_stack_bench.faults.kinds import KINDS, NODE, POWER_MODES, WATTS
from edge_stack_bench.faults.schedule import ScheduledFault

PAUSE_S = (4.0, 12.0)
"""Between the begins of two faults: the least and the most."""
LONGEST_S = 10.0


def random_faults(
    seed: int, duration_s: float, nodes: Sequence[str], without: Collection[str] = ()
) -> tuple[ScheduledFault, ...]:
    """
    Return faults that begin within duration_s, by their times.

    nodes: those that may be killed or hung. without: kinds that cannot be done here. Those that leave nothing are never
    among them: no command can be given then.
    """
    chance = random.Random(seed)
    kinds = [kind for name, kind in KINDS.items() if name not in without and not kind.leaves_nothing]
    faults = []
    at_s = chance.uniform(*PAUSE_S)
    while at_s < duration_s:
        kind = chance.choice(kinds)
        what = {NODE: chance.choice(nodes), WATTS: chance.choice(POWER_MODES).removesuffix("W"), "": ""}[
            kind.argument
        ]
        longest_s = min(kind.duration_s, LONGEST_S, duration_s - at_s)
        lasts_s = round(chance.uniform(0.2, 1.0) * longest_s, 1)
        if not (kind.duration_s and lasts_s <= 0.0):
            faults.append(ScheduledFault(kind.name, what, round(at_s, 1), lasts_s))
        at_s += chance.uniform(*PAUSE_S)
    return tuple(faults)
