# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy sends, checked at the door: an action chunk is either right in every respect or refused with its reason.

Its unit of work is one chunk. A chunk that passes has the robot's joints in the robot's order, finite positions of a sane
size, a positive step, and times that make sense now. It never mends a chunk, and never raises anything but ChunkRefused.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# A clock that goes back by more than this has been set anew: what was accepted by the old one is void.
CLOCK_SET_BACK_S = 0.1
# No joint is anywhere near this, rad or m; larger numbers would overflow in the arithmetic that follows.
PLAUSIBLE_POSITION = 1e3


class Refusal(enum.Enum):
    """Why a chunk was refused. The value is the name under which it is counted."""

    TOO_LARGE = "too_large"
    WRONG_JOINTS = "wrong_joints"
    WRONG_SHAPE = "wrong_shape"
    NOT_FINITE = "not_finite"
    IMPLAUSIBLE = "implausible"
    BAD_STEP = "bad_step"
    FROM_FUTURE = "from_future"
    TOO_OLD = "too_old"
    OUT_OF_ORDER = "out_of_order"
    NOT_IN_FORCE = "not_in_force"

    @property
    def malformed(self) -> bool:
        """Whether the chunk itself is wrong, rather than early or late: then its policy is not to be trusted."""
        return self not in (
            Refusal.FROM_FUTURE,
            Refusal.TOO_OLD,
            Refusal.OUT_OF_ORDER,
            Refusal.NOT_IN_FORCE,
        )


class ChunkRefused(ValueError):
    """A chunk that is not executed; kind for counting, the text for people."""

    def __init__(self, kind: Refusal, text: str) -> None:
        """kind: under which it is counted. text: what is wrong, with figures."""
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class ActionChunk:
    """
    Future actions from one policy inference.

    stamp_s: capture time of the observation. Action i applies from start_s + i * step_s on, for one step.
    positions: float64 [H, A], rad or m. All times are of the node's clock, s. sequence: 0 = the policy does not count.
    """

    stamp_s: float
    start_s: float
    step_s: float
    joint_names: tuple[str, ...]
    positions: FloatArray
    sequence: int = 0
    policy: str = ""

    @property
    def end_s(self) -> float:
        """Time until which the last action applies."""
        return self.start_s + len(self.positions) * self.step_s


@dataclass(frozen=True)
class Outcomes:
    """
    What became of the actions since activation.

    accepted_sequence: of the newest chunk that was taken, 0: none. The others: of the newest message that was refused, as
    far as it told.
    """

    accepted_sequence: int = 0
    refused_policy: str = ""
    refused_sequence: int = 0
    refused_topic: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class IntakeLimits:
    """
    What times and sizes are accepted.

    future_s: how far a stamp may lie ahead of the clock (unsynchronised clocks). start_ahead_s: how far the first action
    may lie ahead. max_age_s: oldest observation. max_horizon: most actions of a chunk.
    """

    future_s: float = 0.1
    start_ahead_s: float = 2.0
    max_age_s: float = 2.0
    max_horizon: int = 1000


def actions_from_flat(values: npt.ArrayLike, joints: int) -> FloatArray:
    """Return row-major values as [H, joints]; ChunkRefused if they do not divide, or are none."""
    flat = np.array(values, dtype=np.float64).reshape(-1)
    if joints == 0:
        raise ChunkRefused(Refusal.WRONG_JOINTS, "joint_names is empty")
    if flat.size == 0 or flat.size % joints:
        raise ChunkRefused(
            Refusal.WRONG_SHAPE, f"{flat.size} positions are not a multiple of {joints} joints"
        )
    return flat.reshape(-1, joints)


class ChunkIntake:
    """Checks chunks one after another and remembers the newest, to know what is out of order."""

    def __init__(self, joint_names: Sequence[str], limits: IntakeLimits | None = None) -> None:
        """joint_names: the robot's joints in the order of every command."""
        self.joint_names = tuple(joint_names)
        self.limits = limits or IntakeLimits()
        self.refused: Counter[Refusal] = Counter()
        self.accepted = 0
        self._order: dict[tuple[str, ...], npt.NDArray[np.intp]] = {}
        self._newest_stamp_s = -math.inf
        self._newest_sequence = 0
        self._newest_now_s = -math.inf

    @property
    def total_refused(self) -> int:
        """Count of chunks refused for any reason."""
        return sum(self.refused.values())

    def reset(self) -> None:
        """Forget the newest chunk and the counts."""
        self.refused.clear()
        self.accepted = 0
        self._newest_stamp_s, self._newest_sequence, self._newest_now_s = -math.inf, 0, -math.inf

    def take(self, chunk: ActionChunk, now_s: float) -> ActionChunk:
        """Return the chunk with its joints in the robot's order, ready to execute; ChunkRefused says why not."""
        try:
            order = self._joint_order(chunk.joint_names)
            self._check_values(chunk)
            chunk = _with_times(chunk, now_s)
            self._check_times(chunk, now_s)
            self._check_order(chunk, now_s)
        except ChunkRefused as refused:
            self.refuse(refused)
            raise
        positions = np.ascontiguousarray(chunk.positions[:, order])
        positions.flags.writeable = False
        self._newest_stamp_s, self._newest_sequence = chunk.stamp_s, chunk.sequence
        self._newest_now_s = now_s
        self.accepted += 1
        return ActionChunk(
            chunk.stamp_s,
            chunk.start_s,
            chunk.step_s,
            self.joint_names,
            positions,
            chunk.sequence,
            chunk.policy,
        )

    def refuse(self, refused: ChunkRefused) -> None:
        """Count a chunk that was refused before take()."""
        self.refused[refused.kind] += 1

    def _joint_order(self, names: tuple[str, ...]) -> npt.NDArray[np.intp]:
        order = self._order.get(names)
        if order is None:
            missing = [name for name in self.joint_names if name not in names]
            unknown = [name for name in names if name not in self.joint_names]
            if missing or unknown or len(names) != len(self.joint_names):
                parts = []
                parts += [f"missing: {_listed(missing)}"] if missing else []
                parts += [f"not of this robot: {_listed(unknown)}"] if unknown else []
                parts += [] if parts else ["a joint is named twice"]
                raise ChunkRefused(Refusal.WRONG_JOINTS, "wrong joints: " + "; ".join(parts))
            order = np.array([names.index(name) for name in self.joint_names], dtype=np.intp)
            # At most A! orders exist, but nobody needs more than a few.
            if len(self._order) < 16:
                self._order[names] = order
        return order

    def _check_values(self, chunk: ActionChunk) -> None:
        shape = chunk.positions.shape
        if chunk.positions.ndim != 2 or shape[0] == 0 or shape[1] != len(self.joint_names):
            raise ChunkRefused(
                Refusal.WRONG_SHAPE, f"positions are {list(shape)}, not [horizon, {len(self.joint_names)}]"
            )
        if shape[0] > self.limits.max_horizon:
            raise ChunkRefused(
                Refusal.WRONG_SHAPE, f"{shape[0]} actions, at most {self.limits.max_horizon} are taken"
            )
        finite = np.isfinite(chunk.positions)
        if not finite.all():
            action, joint = np.argwhere(~finite)[0]
            raise ChunkRefused(
                Refusal.NOT_FINITE,
                f"action {action}, {chunk.joint_names[joint]}: {chunk.positions[action, joint]} is not a position",
            )
        largest = float(np.abs(chunk.positions).max())
        if largest > PLAUSIBLE_POSITION:
            raise ChunkRefused(Refusal.IMPLAUSIBLE, f"position {largest:g} is not one of a joint (rad or m)")

    def _check_times(self, chunk: ActionChunk, now_s: float) -> None:
        limits = self.limits
        if not 0.0 < chunk.step_s < math.inf:
            raise ChunkRefused(Refusal.BAD_STEP, f"step {chunk.step_s:g} s, must be above 0")
        if not (math.isfinite(chunk.stamp_s) and math.isfinite(chunk.start_s)):
            raise ChunkRefused(Refusal.NOT_FINITE, "stamp or start is not a time")
        if chunk.stamp_s > now_s + limits.future_s:
            raise ChunkRefused(
                Refusal.FROM_FUTURE, f"its observation is {chunk.stamp_s - now_s:.3f} s ahead of the clock"
            )
        if chunk.start_s > now_s + limits.start_ahead_s:
            raise ChunkRefused(
                Refusal.FROM_FUTURE,
                f"starts in {chunk.start_s - now_s:.3f} s, at most {limits.start_ahead_s:g} s ahead is taken",
            )
        age_s = now_s - chunk.stamp_s
        if age_s > limits.max_age_s:
            raise ChunkRefused(
                Refusal.TOO_OLD,
                f"its observation is {age_s:.3f} s old, at most {limits.max_age_s:g} s is taken",
            )
        if chunk.end_s <= now_s:
            raise ChunkRefused(Refusal.TOO_OLD, f"its last action was over {now_s - chunk.end_s:.3f} s ago")

    def _check_order(self, chunk: ActionChunk, now_s: float) -> None:
        if now_s < self._newest_now_s - CLOCK_SET_BACK_S:  # the order begins anew with the clock
            self._newest_stamp_s, self._newest_sequence = -math.inf, 0
        if chunk.stamp_s < self._newest_stamp_s:
            raise ChunkRefused(
                Refusal.OUT_OF_ORDER,
                f"its observation is {self._newest_stamp_s - chunk.stamp_s:.3f} s older than that of the chunk before",
            )
        # A lower number from a newer observation is a policy that started anew.
        if 0 < chunk.sequence <= self._newest_sequence and chunk.stamp_s <= self._newest_stamp_s:
            raise ChunkRefused(
                Refusal.OUT_OF_ORDER, f"sequence {chunk.sequence} came after {self._newest_sequence}"
            )


def _with_times(chunk: ActionChunk, now_s: float) -> ActionChunk:
    """Return a chunk whose times are given: one without a stamp, or without a start, is taken as of its arrival."""
    if chunk.stamp_s and chunk.start_s:
        return chunk
    return replace(chunk, stamp_s=chunk.stamp_s or now_s, start_s=chunk.start_s or now_s)


def _listed(names: Sequence[str]) -> str:
    """Name a few names: the text goes into every status, and a stranger's message may hold thousands."""
    return ", ".join(name[:40] for name in names[:8]) + (
        f" and {len(names) - 8} more" if len(names) > 8 else ""
    )
