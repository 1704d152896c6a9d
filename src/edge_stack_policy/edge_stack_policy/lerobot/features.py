# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Observations of the stack in the shapes that LeRobot's policies and datasets have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_policy.base import DETECTION_FIELDS


def best_rows(detections: NDArray[Any], rows: int) -> NDArray[np.float32]:
    """Return the `rows` detections [N, 8] of highest score as one vector, zeros where there are fewer."""
    table = np.asarray(detections, dtype=np.float32).reshape(-1, len(DETECTION_FIELDS))
    order = np.argsort(-table[:, DETECTION_FIELDS.index("score")], kind="stable")[:rows]
    result = np.zeros((rows, len(DETECTION_FIELDS)), dtype=np.float32)
    result[: len(order)] = table[order]
    return result.ravel()
