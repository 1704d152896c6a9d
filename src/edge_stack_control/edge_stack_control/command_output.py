# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The last step before a command is published: every command of every state goes through here, and nothing sets one beside it.

Its unit of work is one command. What it holds is the last one that went out, of this process or of the one that it follows.
It is finite and within the position limits, always; move() takes it on by no more than speed and step allow. begin() alone
sets it anew, at a measured position. Holding is not calling move().
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_stack_control.limits import JointLimiter, JointLimits

FloatArray = npt.NDArray[np.float64]


class CommandOutput:
    """The last command. For the thread that commands."""

    def __init__(self, limiter: JointLimiter) -> None:
        """limiter: with the limits in force."""
        self.limiter = limiter
        self.held: FloatArray = np.zeros(len(limiter.limits.joint_names))
        """The last command [A], rad or m, overwritten by the next one; means nothing while there is none."""
        self._has_command = False

    @property
    def last(self) -> FloatArray | None:
        """The last command [A], overwritten by the next one; None before the first."""
        return self.held if self._has_command else None

    def reset(self) -> None:
        """Forget the last command."""
        self._has_command = False

    @staticmethod
    def may_begin(measured: FloatArray, limits: JointLimits, tolerance: float) -> bool:
        """Return whether a measured position [A] is at most a tolerance beyond the position limits, rad or m."""
        low, high = limits.position_min - tolerance, limits.position_max + tolerance
        return bool(((measured >= low) & (measured <= high)).all())  # not so for NaN

    def begin(self, measured: FloatArray, limits: JointLimits) -> None:
        """Begin at a measured position [A], or at the limit of a joint that stands beyond it."""
        np.clip(measured, limits.position_min, limits.position_max, out=self.held)
        self._has_command = True

    def follow(self, positions: FloatArray, limits: JointLimits) -> bool:
        """Take another process's command for the last one; False, and nothing is taken, if it is none that may go out."""
        if not self.may_begin(positions, limits, 0.0):
            return False
        self.held[:] = positions
        self._has_command = True
        return True

    def move(self, target: FloatArray, elapsed_s: float, speed: float) -> None:
        """
        Go on towards a target [A] by no more than the limits allow; a target that is not finite changes nothing.

        elapsed_s: since the last command. speed: share of the speed limits, 0..1.
        """
        self.held[:] = self.limiter.apply(target, self.held, elapsed_s, speed)
