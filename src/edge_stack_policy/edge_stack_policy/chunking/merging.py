# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How a new chunk becomes one with what is left of the chunk before, where the policy does not see to that itself.

Its unit of work is one pair of chunks on the same times. The names and weights are those of LeRobot's asynchronous inference
(lerobot.async_inference.configs, AGGREGATE_FUNCTIONS); "blend" leaves the chunk as it is: fusion then moves from the older
to the newer one over its blend_s. Fusion does so after any of them; with blend_s = 0 an aggregation stands alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLEND = "blend"
WEIGHTS = {"weighted_average": 0.7, "latest_only": 1.0, "average": 0.5, "conservative": 0.3}
"""Weight of the new action where two actions are for one time; the old one has the rest."""
MERGES = (BLEND, *WEIGHTS)


def merge(name: str, leftover: NDArray[np.float64] | None, chunk: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    Return the chunk to send, [H, A].

    name: of MERGES. leftover: [H', A] for the first H' times of the chunk, or None. chunk: [H, A].
    """
    if leftover is None or name == BLEND:
        return chunk
    weight, shared = WEIGHTS[name], min(len(leftover), len(chunk))
    merged = chunk.copy()
    merged[:shared] = (1.0 - weight) * leftover[:shared] + weight * chunk[:shared]
    return merged
