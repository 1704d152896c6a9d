# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A board's state under the field names of edge_stack_msgs/BoardState.

The supervisor publishes them, and `./edge board` shows the same names, so that a reading without ROS can be compared with
the topic. What the message has no field for is apart.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from edge_stack_core.board.types import BoardState

# How the message has what the state has under another name or in another form.
_IN_ANOTHER_FORM = ("time_s", "temperatures_c", "power_w")


def board_fields(state: BoardState) -> dict[str, Any]:
    """Return the message's fields in its order, without the header; NaN for what the board does not tell."""
    return {
        "source": state.source,
        "board": state.board,
        "zone": list(state.temperatures_c),
        "temperature_c": [float(value) for value in state.temperatures_c.values()],
        "max_temperature_c": _known(state.max_temperature_c),
        "throttle_temperature_c": _known(state.throttle_temperature_c),
        "throttling": bool(state.throttling),
        "rail": list(state.power_w),
        "power_w": [float(value) for value in state.power_w.values()],
        "total_power_w": _known(state.total_power_w),
        "power_mode": state.power_mode or "",
        "power_budget_w": _known(state.power_budget_w),
        "power_limit_w": _known(state.power_limit_w),
        "over_current_per_s": _known(state.over_current_per_s),
        "cpu_frequency_hz": _known(state.cpu_frequency_hz),
        "gpu_frequency_hz": _known(state.gpu_frequency_hz),
        "cpu_load": _known(state.cpu_load),
        "gpu_load": _known(state.gpu_load),
        "memory_pressure": _known(state.memory_pressure),
        "memory_total_mb": _known(state.memory_total_mb),
        "memory_available_mb": _known(state.memory_available_mb),
        "lost": list(state.lost),
    }


def unpublished_fields(state: BoardState) -> dict[str, Any]:
    """Return what the reader tells beyond the message, by the names of BoardState; None for what is not told."""
    published = {*board_fields(state), *_IN_ANOTHER_FORM}
    return {name: value for name, value in dataclasses.asdict(state).items() if name not in published}


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)
