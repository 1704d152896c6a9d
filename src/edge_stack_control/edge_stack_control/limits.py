# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Joint limits: whatever is asked for, the command stays within positions, speeds and steps that the robot may have.

Its unit of work is one command. From a command within the position limits the result never leaves them, and it never moves a
joint by more than its speed or step allows. It never plans: a clipped command is safe, not
clever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Rounding of a position that lies on a limit is not a limit that was hit.
_EPSILON = 1e-9


@dataclass(frozen=True)
class JointLimits:
    """
    Limits of every joint, each [A]: positions (rad or m), speed (per s), and largest change from tick to tick.

    following_error_max: how far it may be from its command, rad or m; following_error_s: for how long it may be further.
    """

    joint_names: tuple[str, ...]
    position_min: FloatArray
    position_max: FloatArray
    velocity_max: FloatArray
    step_max: FloatArray
    following_error_max: FloatArray
    following_error_s: FloatArray

    def __post_init__(self) -> None:
        """Refuse limits that allow nothing or everything."""
        shape = (len(self.joint_names),)
        for name in (
            "position_min",
            "position_max",
            "velocity_max",
            "step_max",
            "following_error_max",
            "following_error_s",
        ):
            values = getattr(self, name)
            if values.shape != shape:
                raise ValueError(f"{name}: {list(values.shape)} values for {shape[0]} joints")
            if np.isnan(values).any():
                raise ValueError(f"{name}: NaN is no limit")
        if not (self.position_min < self.position_max).all():
            raise ValueError("position_min must be below position_max for every joint")
        if not (np.isfinite(self.position_min).all() and np.isfinite(self.position_max).all()):
            raise ValueError("position limits must be finite")
        if not ((self.velocity_max > 0.0).all() and (self.step_max > 0.0).all()):
            raise ValueError("velocity_max and step_max must be above 0")
        if not ((self.following_error_max > 0.0).all() and (self.following_error_s >= 0.0).all()):
            raise ValueError("following_error_max must be above 0, following_error_s at least 0")

    @classmethod
    def of(
        cls,
        joint_names: Sequence[str],
        position_min: npt.ArrayLike,
        position_max: npt.ArrayLike,
        velocity_max: npt.ArrayLike,
        step_max: npt.ArrayLike = np.inf,
        following_error_max: npt.ArrayLike = np.inf,
        following_error_s: npt.ArrayLike = 0.5,
    ) -> JointLimits:
        """Make limits from anything array-like; a single number counts for every joint."""
        shape = (len(joint_names),)
        return cls(
            tuple(joint_names),
            *(
                np.broadcast_to(np.asarray(values, dtype=np.float64), shape).copy()
                for values in (
                    position_min,
                    position_max,
                    velocity_max,
                    step_max,
                    following_error_max,
                    following_error_s,
                )
            ),
        )


@dataclass(frozen=True)
class LimitHit:
    """
    Which joints asked for more than they may, [A] each.

    position: beyond its range by more than the tolerance. velocity: faster than its full speed. step: a larger step.
    """

    position: npt.NDArray[np.bool_]
    velocity: npt.NDArray[np.bool_]
    step: npt.NDArray[np.bool_]


class JointLimiter:
    """Applies limits to one command after another. For one thread; limits may be replaced between two commands."""

    def __init__(self, limits: JointLimits, position_tolerance: float = 0.0) -> None:
        """position_tolerance: how far beyond a position limit may be asked for without counting as a hit, rad or m."""
        joints = len(limits.joint_names)
        self.limits = limits
        self.position_tolerance = position_tolerance
        self.hit = LimitHit(np.zeros(joints, bool), np.zeros(joints, bool), np.zeros(joints, bool))
        self._out = np.zeros(joints)
        self._delta = np.zeros(joints)
        self._size = np.zeros(joints)
        self._bound = np.zeros(joints)

    def apply(self, target: FloatArray, last: FloatArray, elapsed_s: float, speed: float = 1.0) -> FloatArray:
        """
        Return the command nearest to a target that the limits allow; the array is overwritten by the next call.

        target, last: [A], asked for and commanded before (finite). elapsed_s: time since the last command. speed: 0..1,
        scales how fast the joints may move; being held back by it is not a hit. A target that is not finite gives `last`.
        """
        limits, hit, delta, bound = self.limits, self.hit, self._delta, self._bound
        if not np.isfinite(target).all():
            for flags in (hit.position, hit.velocity, hit.step):
                flags[:] = False
            self._out[:] = last
            return self._out
        np.clip(target, limits.position_min, limits.position_max, out=self._out)
        np.subtract(target, self._out, out=delta)
        np.abs(delta, out=delta)
        np.greater(delta, self.position_tolerance + _EPSILON, out=hit.position)

        np.subtract(self._out, last, out=delta)
        np.abs(delta, out=self._size)
        elapsed_s = max(elapsed_s, 0.0)
        np.multiply(limits.velocity_max, elapsed_s, out=bound)
        np.greater(self._size, bound + _EPSILON, out=hit.velocity)
        np.greater(self._size, limits.step_max + _EPSILON, out=hit.step)
        np.minimum(bound, limits.step_max, out=bound)
        bound *= min(max(speed, 0.0), 1.0)
        np.clip(delta, -bound, bound, out=delta)
        np.add(last, delta, out=self._out)
        return self._out
