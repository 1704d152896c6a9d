# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Following error: how far the robot is from where it is commanded, and whether that has gone on for too long.

Its unit of work is one look at the last command and the measured position. A measurement is compared with the commands from
its own time on: that it comes late is no following error (its age is judged elsewhere). While the robot moves, each joint
may be beyond its limit for its time: it lags, and the command waits for it, so that it lies little further from a robot that
is stuck than the limit. One that is to stand still has no reason to be beyond it at all, so that motion never begins towards
a robot that is somewhere else. A following error is over when the robot is back, or has stood still where it is for REST_S:
then it begins there (a hand that guides it, a pendant, a protective stop; ISO 10218-1 calls for no unexpected motion when a
stop is left).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from edge_stack_control.limits import JointLimits

FloatArray = npt.NDArray[np.float64]

REST_S = 1.0
"""A robot that was moved by others is at rest when it has not moved for so long."""
# Measurements are no older than this where their age is judged; commands are kept for so long.
_LATEST_S = 1.0
# Movement of less than this share of the limit is noise.
_REST_SHARE = 0.1


class FollowingError:
    """Compares command and measurement. For one thread."""

    def __init__(self, limits: JointLimits) -> None:
        """limits: whose following_error_max and following_error_s count."""
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        joints = len(self.limits.joint_names)
        self.exceeded = False
        """Whether the robot has been too far from its command for too long, and is not at rest since."""
        self.share = math.nan
        """The largest distance of a joint from its command, as a share of its limit; NaN while it cannot be told."""
        self._error = np.zeros(joints)
        self._sent: deque[tuple[float, FloatArray]] = deque()
        self._since_s = np.full(joints, math.inf)
        self._rest = np.full(joints, math.nan)
        self._rest_from_s = math.inf

    def forgive(self) -> None:
        """The last command is the measured position from now on."""
        self.exceeded = False
        self._since_s[:] = math.inf
        self._sent.clear()

    def joints_beyond(self) -> list[str]:
        """Return the joints that are beyond their limits, with figures."""
        limits = self.limits
        return [
            f"{name} {error:.3f} (at most {most:g})"
            for name, error, most in zip(
                limits.joint_names, self._error, limits.following_error_max, strict=True
            )
            if error > most
        ]

    def update(
        self,
        commanded: FloatArray | None,
        measured: FloatArray | None,
        measured_s: float,
        now_s: float,
        *,
        moving: bool,
        left: bool,
    ) -> None:
        """
        Look once. commanded, measured: [A], rad or m; None where there is none, or only an old one.

        measured_s: when it was measured; now_s: now; both monotonic. moving: the command follows actions. left: it is in
        force no more, as the robot was left to others.
        """
        if commanded is None or measured is None:
            self.share = math.nan
            self._since_s[:] = math.inf
            self._rest_from_s = math.inf
            return
        most = self.limits.following_error_max
        self._sent.append((now_s, commanded.copy()))
        since_s = max(measured_s, now_s - _LATEST_S)
        while len(self._sent) > 1 and self._sent[1][0] <= since_s:
            self._sent.popleft()
        sent = [positions for _, positions in self._sent]
        np.maximum(np.minimum.reduce(sent) - measured, measured - np.maximum.reduce(sent), out=self._error)
        np.maximum(self._error, 0.0, out=self._error)
        beyond = self._error > most
        self.share = float((self._error / most).max())
        at_rest = self._at_rest(measured, now_s)
        self._since_s[~beyond] = math.inf
        np.minimum(self._since_s, now_s, out=self._since_s, where=beyond)
        if self.exceeded or left:
            self.exceeded = bool(beyond.any()) and not at_rest
            return
        late = beyond & (now_s - self._since_s >= self.limits.following_error_s) if moving else beyond
        if late.any():
            self.exceeded = True
            self._rest_from_s = now_s  # where it is now, it has to stay for a while

    def _at_rest(self, measured: FloatArray, now_s: float) -> bool:
        moved = np.abs(measured - self._rest) > _REST_SHARE * self.limits.following_error_max
        if math.isinf(self._rest_from_s) or moved.any() or np.isnan(self._rest).any():
            self._rest[:] = measured
            self._rest_from_s = now_s
        return now_s - self._rest_from_s >= REST_S
