# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Lets models feel the clocks of a simulated board: an inference lasts longer when the board's GPU runs slower.

Off unless a simulated board is configured. The model is the roofline's: one share of an inference waits for the GPU and
goes with its clock, the rest waits for memory and goes with the memory's.
"""

from __future__ import annotations

# A vision network on the Orin Nano gains 1.3 to 1.7 times from 612 to 1020 MHz with 1.5 times the memory clock (NVIDIA's
# figures for the "super" modes): between what memory alone gives and what the GPU alone gives.
COMPUTE_SHARE = 0.7


def slowdown(gpu_ratio: float, memory_ratio: float = 1.0, compute_share: float = COMPUTE_SHARE) -> float:
    """
    Return how many times longer an inference takes than at the highest clocks.

    gpu_ratio, memory_ratio: clock now by the highest, above 0. compute_share: share of the time that goes with the GPU.
    """
    return compute_share / gpu_ratio + (1.0 - compute_share) / memory_ratio
