# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Faults on demand: a camera that stalls, is noisy or floods, a person's hand that reaches in, an arm that does not follow.

Its unit of work is one frame or one step of time. It changes what the robot sees and is told, never what the physics does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_stack_sim.world import World

REACH_S = 0.8  # time that the hand takes to reach in, and to go
_OUTSIDE = np.array((0.75, 0.35, 0.22))
_INSIDE = np.array((0.26, 0.06, 0.06))


@dataclass(slots=True)
class Faults:
    """Which faults are on.

    camera_stall: no frames come. camera_noise: standard deviation of noise on every pixel, grey levels. hand: a hand
    reaches in and stays over the table until switched off. frame_flood: further copies of each frame that are sent.
    arm_stuck: the drives stay where they were told to be when it began. arm_sag: how far below its command each joint but
    the gripper rests, rad.
    """

    camera_stall: bool = False
    camera_noise: float = 0.0
    hand: bool = False
    frame_flood: int = 0
    arm_stuck: bool = False
    arm_sag: float = 0.0
    _reached: float = 0.0  # how far the hand is in, 0..1
    _followed: NDArray[np.float64] | None = None  # the last command that the drives took

    def step(self, world: World, duration_s: float) -> None:
        """Move the hand for a step of time."""
        if not self.hand and self._reached == 0.0:
            return
        change = duration_s / REACH_S
        self._reached = min(1.0, max(0.0, self._reached + (change if self.hand else -change)))
        if self._reached == 0.0:
            world.hide_hand()
            return
        part = 0.5 - 0.5 * math.cos(math.pi * self._reached)
        x, y, z = _OUTSIDE + part * (_INSIDE - _OUTSIDE)
        world.set_hand(
            float(x), float(y), float(z), math.atan2(_OUTSIDE[1] - _INSIDE[1], _OUTSIDE[0] - _INSIDE[0])
        )

    def command(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """What becomes of a command [6], rad, on its way to the drives."""
        if not self.arm_stuck or self._followed is None:
            self._followed = command.copy()
            self._followed[:-1] -= self.arm_sag
        return self._followed

    def frame(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
        """What becomes of a rendered frame [H, W, 3]: None if the camera stalls."""
        if self.camera_stall:
            return None
        if self.camera_noise > 0.0:
            noise = rng.standard_normal(image.shape, dtype=np.float32) * self.camera_noise
            return np.clip(image + noise, 0.0, 255.0).astype(np.uint8)
        return image
