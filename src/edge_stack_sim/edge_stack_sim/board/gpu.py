# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated gpu: how long an inference takes at the clocks that the board has now."""

from __future__ import annotations

import math

from edge_stack_core.board.slowdown import COMPUTE_SHARE, slowdown
from edge_stack_sim.board.plant import PlantState


def inference_duration_s(nominal_s: float, state: PlantState, compute_share: float = COMPUTE_SHARE) -> float:
    """
    Return the duration of an inference that takes nominal_s at the highest clocks; infinite once the board shut down.

    compute_share: share of nominal_s that waits for the GPU's clock; the rest waits for memory.
    """
    if state.shut_down:
        return math.inf
    board = state.board
    gpu_ratio, memory_ratio = state.gpu_hz / board.gpu_steps_hz[-1], state.emc_hz / board.emc_hz
    return nominal_s * slowdown(gpu_ratio, memory_ratio, compute_share)
