# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The flow from noise to actions, and real-time chunking, in numpy.

Its unit of work is one chunk: explicit Euler steps from t = 1 (noise) to t = 0, as LeRobot's euler_integrate. Guidance is
LeRobot's RTCProcessor: there, the velocity is computed before its gradient is asked for, so the correction is the weighted
error itself and needs no gradient of the model. Source of the method: "Real-Time Execution of Action Chunking Flow
Policies", Black et al. 2025.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCHEDULES = ("LINEAR", "EXP", "ONES", "ZEROS")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Guidance:
    """
    How a new chunk is held to the running one.

    schedule: how the hold fades between the delay and the horizon, one of SCHEDULES. max_weight: of the correction.
    horizon: actions after which nothing is held.
    """

    schedule: str = "LINEAR"
    max_weight: float = 10.0
    horizon: int = 10


@dataclass(frozen=True)
class Leftover:
    """What is left of the running chunk, in the model's units: actions [H', A]; delay: how many will have been executed."""

    actions: Floats
    delay: int
    horizon: int


def time_embeddings(steps: int, width: int, min_period: float, max_period: float) -> Floats:
    """Return what the denoiser is told of time at each step, float32 [steps, width]; computed in float64 as LeRobot does."""
    times = np.array([np.float32(_time(step, steps)) for step in range(steps)], dtype=np.float64)
    periods = min_period * (max_period / min_period) ** np.linspace(0.0, 1.0, width // 2)
    angles = times[:, None] * (2.0 * math.pi / periods)[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def prefix_weights(schedule: str, start: int, end: int, total: int) -> Floats:
    """Return how much each of `total` actions is held: 1 before `start`, fading to 0 at `end`."""
    start = min(start, end)
    weights = np.zeros(total, dtype=np.float32)
    if schedule == "ONES":
        weights[:end] = 1.0
        return weights
    weights[:start] = 1.0
    fading = min(end, total) - start
    if schedule == "ZEROS" or fading <= 0:
        return weights
    fade = np.linspace(1.0, 0.0, fading + 2)[1:-1]
    if schedule == "EXP":
        fade = fade * np.expm1(fade) / (math.e - 1.0)
    weights[start : start + fading] = fade
    return weights


def guidance_weight(time: float, max_weight: float) -> float:
    """Return the weight of the correction at flow time `time`, which goes from 1 to 0."""
    tau = 1.0 - time
    if tau <= 0.0:
        return max_weight
    if time <= 0.0:
        return 0.0
    return min(time / tau * (time**2 + tau**2) / time**2, max_weight)


def integrate(
    denoise: Callable[[Floats, int], Floats],
    noise: Floats,
    steps: int,
    guidance: Guidance | None = None,
    leftover: Leftover | None = None,
) -> Floats:
    """
    Return a chunk [1, H, A] in the model's units.

    denoise: velocity [1, H, A] of a noisy chunk at a step. noise: [1, H, A]. leftover: held to if there is any.
    """
    chunk = noise
    held = weights = None
    if guidance is not None and leftover is not None and len(leftover.actions):
        held = np.zeros_like(noise)
        rows = leftover.actions[: noise.shape[1]]
        held[0, : rows.shape[0], : rows.shape[1]] = rows
        end = min(leftover.horizon, len(rows))
        weights = prefix_weights(guidance.schedule, leftover.delay, end, noise.shape[1])[None, :, None]
    for step in range(steps):
        time = _time(step, steps)
        velocity = denoise(chunk, step)
        if guidance is not None and held is not None:
            error = (held - (chunk - np.float32(time) * velocity)) * weights
            velocity = velocity - np.float32(guidance_weight(time, guidance.max_weight)) * error
        chunk = chunk - np.float32(1.0 / steps) * velocity
    return chunk


def _time(step: int, steps: int) -> float:
    return 1.0 + step * (-1.0 / steps)
