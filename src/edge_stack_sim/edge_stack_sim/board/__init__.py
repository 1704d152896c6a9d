# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A simulated Jetson Orin Nano Super: heat, power, clocks and memory as physics, and as the files that the real board has.

Plant is the physics alone, in as small or large steps as wanted; BoardTree writes its state as sysfs and procfs files.
docs/board.md has the model and where each constant comes from.
"""

from edge_stack_sim.board.gpu import inference_duration_s
from edge_stack_sim.board.plant import Load, Plant, PlantState
from edge_stack_sim.board.spec import (
    OPEN_BENCH,
    ORIN_NANO_SUPER,
    ROBOT_BODY,
    BoardSpec,
    Cooling,
    SimulatedPowerMode,
)

__all__ = [
    "OPEN_BENCH",
    "ORIN_NANO_SUPER",
    "ROBOT_BODY",
    "BoardSpec",
    "Cooling",
    "Load",
    "Plant",
    "PlantState",
    "SimulatedPowerMode",
    "inference_duration_s",
]
