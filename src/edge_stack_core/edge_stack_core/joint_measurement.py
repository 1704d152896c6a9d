# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Measured joint positions, judged before anybody acts on them.

Its unit of work is one message with some of the joints; further joints are left out. Each joint is kept with its
age. A value is refused where it is not finite, not plausible, older than what is held, or further from it than the joint
can have moved. One that is refused changes nothing. Several within a short time mean that measurements contradict each
other (two publishers, a wrong calibration): then nothing may begin until they agree. Where what is held is no longer
confirmed and what was refused goes on consistently, that takes its place: the robot may really have been moved.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_stack_core.robot import Joint

FloatArray = npt.NDArray[np.float64]

# So far beyond its limits a joint may be measured, rad or m: one turn, which is where encoders start anew.
PLAUSIBLE_BEYOND = 2.0 * math.pi
# A joint may move at so many times its speed limit (guided by hand, or falling) ...
_JUMP_SPEEDS = 2.0
# ... and be so much further: noise, and time stamps that are not those of the measurement.
_JUMP_ROOM = 0.1
# So many refusals within so long are a contradiction; a single one is a bad value.
_CONTRADICTIONS = 2
CONTRADICTION_S = 0.5
# What is held is given up where it was not confirmed for so long, and so many refused values in a row agree.
_UNCONFIRMED_S = 0.25
_RIVALS = 3
SETTLE_S = 0.2
"""Measurements are to agree for so long, and at least twice, before a position is told."""


class MeasurementFault(enum.Enum):
    """Why a measured value was refused. The value is the name under which it is counted."""

    WRONG_SHAPE = "wrong_shape"
    NOT_FINITE = "not_finite"
    IMPLAUSIBLE = "implausible"
    OLDER = "out_of_order"
    JUMP = "jump"


@dataclass(frozen=True)
class MeasurementRefused:
    """One refused value: of which joint ("" for the whole message), why, and in words with figures."""

    fault: MeasurementFault
    joint: str
    text: str


class JointMeasurement:
    """The newest measured position of each joint. For one thread; `positions` and `seen_s` are replaced as whole objects."""

    def __init__(self, joints: Sequence[Joint]) -> None:
        """joints: those of a robot that are looked at, in the order of the positions."""
        self._joints = tuple(joints)
        self._index = {joint.name: i for i, joint in enumerate(self._joints)}
        self._low = np.array([joint.position_min - PLAUSIBLE_BEYOND for joint in joints])
        self._high = np.array([joint.position_max + PLAUSIBLE_BEYOND for joint in joints])
        self._speed = np.array([_JUMP_SPEEDS * joint.velocity_max for joint in joints])
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        joints = len(self._index)
        self._held = np.full(joints, math.nan)
        self._held_s = np.full(joints, -math.inf)
        self._confirmed_s = np.full(joints, -math.inf)
        self._rivals: dict[int, tuple[float, float, int]] = {}
        self._jumps: deque[tuple[float, str]] = deque(maxlen=_CONTRADICTIONS)
        self._settled_from_s = math.inf
        self._agreed = 0
        self.positions: FloatArray | None = None
        """Positions [A] in the order of the joints, rad or m; None until every joint was measured and they agree."""
        self.seen_s = -math.inf
        """When the joint that was measured longest ago was measured, monotonic."""

    def take(
        self, names: Sequence[str], positions: Sequence[float], measured_s: float, now_s: float
    ) -> list[MeasurementRefused]:
        """
        Take one message and return what of it was refused.

        names, positions: as they came, rad or m. measured_s: when, by their stamp; now_s: when they came. Both monotonic.
        """
        if len(positions) < len(names):
            text = f"{len(positions)} positions for {len(names)} joints"
            return [MeasurementRefused(MeasurementFault.WRONG_SHAPE, "", text)]
        refused: list[MeasurementRefused] = []
        ours = [(self._index[name], i) for i, name in enumerate(names) if name in self._index]
        for joint, i in ours:
            fault = self._judge(joint, float(positions[i]), measured_s, now_s)
            if fault is not None:
                refused.append(fault)
        if ours:
            self._settle(refused, now_s)
        return refused

    def missing(self) -> list[str]:
        """Return the joints that were never measured."""
        return [name for name, i in self._index.items() if math.isinf(self._held_s[i])]

    def oldest(self) -> str:
        """Return the joint that was measured longest ago."""
        return self._joints[int(self._held_s.argmin())].name

    def contradiction(self, now_s: float) -> str:
        """Return in words how measurements contradict each other; "" where they do not. now_s: monotonic."""
        jumps = self._jumps
        if len(jumps) < _CONTRADICTIONS or now_s - jumps[0][0] > CONTRADICTION_S:
            return ""
        return f"measurements contradict each other: {jumps[-1][1]}"

    def _judge(self, joint: int, value: float, measured_s: float, now_s: float) -> MeasurementRefused | None:
        """Take or refuse the value of one joint."""
        name = self._joints[joint].name
        if not math.isfinite(value):
            return MeasurementRefused(MeasurementFault.NOT_FINITE, name, f"{name}: {value}")
        if not self._low[joint] <= value <= self._high[joint]:
            text = (
                f"{name}: {value:.4g} is no position of this joint ({self._joints[joint].position_min:g} to"
                f" {self._joints[joint].position_max:g})"
            )
            return MeasurementRefused(MeasurementFault.IMPLAUSIBLE, name, text)
        held_s = self._held_s[joint]
        if measured_s < held_s:
            text = f"{name}: measured {held_s - measured_s:.3f} s before what is held"
            return MeasurementRefused(MeasurementFault.OLDER, name, text)
        if math.isinf(held_s) or abs(value - self._held[joint]) <= self._reach(joint, measured_s - held_s):
            self._hold(joint, value, measured_s, now_s)
            return None
        text = f"{name}: {value:.3f} within {measured_s - held_s:.3f} s of {self._held[joint]:.3f}"
        self._jumps.append((now_s, text))
        if (
            self._rival(joint, value, measured_s) >= _RIVALS
            and now_s - self._confirmed_s[joint] > _UNCONFIRMED_S
        ):
            self._hold(joint, value, measured_s, now_s)
        return MeasurementRefused(MeasurementFault.JUMP, name, f"{text}: further than the joint can move")

    def _reach(self, joint: int, dt_s: float) -> float:
        return float(self._speed[joint] * dt_s + _JUMP_ROOM)

    def _rival(self, joint: int, value: float, measured_s: float) -> int:
        """Count how many refused values in a row, this one included, are consistent with each other."""
        before = self._rivals.get(joint)
        follows = (
            before is not None
            and measured_s >= before[1]
            and abs(value - before[0]) <= self._reach(joint, measured_s - before[1])
        )
        count = before[2] + 1 if follows and before is not None else 1
        self._rivals[joint] = (value, measured_s, count)
        return count

    def _hold(self, joint: int, value: float, measured_s: float, now_s: float) -> None:
        self._held[joint], self._held_s[joint], self._confirmed_s[joint] = value, measured_s, now_s
        self._rivals.pop(joint, None)

    def _settle(self, refused: list[MeasurementRefused], now_s: float) -> None:
        """Tell the positions once they are whole and have agreed for a while; from then on as they come."""
        jumped = any(one.fault is MeasurementFault.JUMP for one in refused)
        self.seen_s = float(self._held_s.min())
        if math.isinf(self.seen_s):
            return
        if self.positions is None:
            if jumped or self._agreed == 0:
                self._settled_from_s, self._agreed = now_s, 0
            self._agreed += not refused
            if self._agreed < 2 or now_s - self._settled_from_s < SETTLE_S or self.contradiction(now_s):
                return
        self.positions = self._held.copy()
