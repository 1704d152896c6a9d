# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
When a node is parked: it died too often in a short time, or its output is wrong again and again.

A unit of work is one death or one count of wrong outputs. A parked node is left cleaned up for a while, then tried once;
if that fails it is parked for twice as long. Time is monotonic, s.
"""

from __future__ import annotations

import enum
import math
from collections import deque

DEATHS = 5
WITHIN_S = 30.0
PARKED_S = 60.0
PARKED_MAX_S = 600.0
# A node that was not parked again for so long after its trial is taken for well.
WELL_S = 60.0

# So many wrong outputs within so long are one offence; offences further apart than the second number are new ones.
WRONG_OUTPUTS = 3
WRONG_WITHIN_S = 5.0
OFFENCES_WITHIN_S = 60.0


class CrashLoop:
    """Deaths of one node, and until when it is parked."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.reason = ""
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._until_s = -math.inf
        self._parked_s = 0.0  # for how long it was parked last

    def died(self, now_s: float) -> None:
        """Count a death."""
        self._deaths.append(now_s)
        often = len(self._deaths) == DEATHS and now_s - self._deaths[0] <= WITHIN_S
        if often or self._on_trial(now_s):
            span_s = now_s - self._deaths[0]
            self.park(now_s, f"{len(self._deaths)} deaths in {span_s:.0f} s" if often else "it died again")

    def park(self, now_s: float, reason: str) -> None:
        """Park the node; each time within its trial for twice as long as before."""
        self._parked_s = min(2.0 * self._parked_s, PARKED_MAX_S) if self._on_trial(now_s) else PARKED_S
        self._until_s = now_s + self._parked_s
        self.reason = reason

    def left_s(self, now_s: float) -> float:
        """Return for how long the node stays parked, s; 0 if it is not parked."""
        return max(0.0, self._until_s - now_s)

    def release(self) -> None:
        """Forget everything."""
        self._deaths.clear()
        self._until_s = -math.inf
        self._parked_s = 0.0

    def _on_trial(self, now_s: float) -> bool:
        return now_s - self._until_s < WELL_S


class Offence(enum.Enum):
    """What follows wrong output."""

    NONE = enum.auto()
    RECYCLE = enum.auto()  # deactivate, clean up, configure, activate
    KILL = enum.auto()
    PARK = enum.auto()


class WrongOutputs:
    """Wrong outputs of one node, as it counts them itself since activation."""

    def __init__(self) -> None:
        """Have seen none."""
        self._count = 0
        self._times: deque[float] = deque(maxlen=WRONG_OUTPUTS)
        self._offences: deque[float] = deque(maxlen=2)

    def observe(self, count: int, now_s: float) -> Offence:
        """Take a node's count; return what follows: at first a recycle, then a kill, then it is parked."""
        new, self._count = max(count - self._count, 0) if count >= self._count else count, count
        self._times.extend([now_s] * min(new, WRONG_OUTPUTS))
        if len(self._times) < WRONG_OUTPUTS or now_s - self._times[0] > WRONG_WITHIN_S or not new:
            return Offence.NONE
        self._times.clear()
        earlier = sum(1 for at_s in self._offences if now_s - at_s <= OFFENCES_WITHIN_S)
        self._offences.append(now_s)
        return (Offence.RECYCLE, Offence.KILL, Offence.PARK)[earlier]

    def begin_process(self) -> None:
        """Start counting anew; earlier offences stay."""
        self._count = 0
        self._times.clear()

    def release(self) -> None:
        """Forget everything."""
        self.begin_process()
        self._offences.clear()
