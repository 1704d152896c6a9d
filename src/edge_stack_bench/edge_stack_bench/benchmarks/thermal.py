# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `thermal`: an hour of full load at 35 C on a simulated board, under each governor.

Its unit of work is one run of a whole hour in a few seconds: the board is simulated; the governor and admission's
decisions are the real ones. It says how the governors compare on this model of a board, not how warm a board gets.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.thermal_stack import (
    CONTROL_DEADLINE_S,
    Record,
    StackSimulation,
    ThermalModel,
)
from edge_stack_core.board.types import BoardState
from edge_stack_core.errors import ConfigurationError
from edge_stack_supervisor.governor import GovernorSettings, load_settings, open_governor

GOVERNORS = ("none", "table", "predictive")
AMBIENT_C = 35.0
DURATION_S = 3600.0
THROTTLE_C = 99.0  # where the simulated board does
# Load of the six cores: cameras, DDS, control; and each inference's preparation and post-processing, 30 ms of one core.
CPU_BASE = 0.2
CPU_S_PER_INFERENCE = 0.03 / 6

# What runs. Durations as of a small policy and YOLO26 models in TensorRT on an Orin Nano; together they fill the slack.
MODELS = (
    ThermalModel("policy", "critical", 24.0, 0.022),
    ThermalModel("detect", "essential", 10.0, 0.008, floor_hz=5.0),
    ThermalModel("segment", "background", 8.0, 0.011),
    ThermalModel("pose", "background", 8.0, 0.009),
    ThermalModel("obb", "background", 8.0, 0.009),
    ThermalModel("classify", "background", 8.0, 0.003),
    ThermalModel("depth", "background", 4.0, 0.014),
)


class SimulatedBoard:
    """The simulated board with the stack's load on it."""

    def __init__(
        self, ambient_c: float, step_c: float = 0.0, step_at_s: float = 0.0, warm: bool = True
    ) -> None:
        """step_c: by how much the room gets warmer at step_at_s. warm: the policy has run alone for long."""
        try:
            from edge_stack_sim.board import Load, Plant
            from edge_stack_sim.board.gpu import inference_duration_s
        except ImportError as error:
            raise ConfigurationError(
                f"the benchmark needs the simulated board of the package edge_stack_sim: {error}"
            ) from error
        self._load = Load
        self._plant = Plant(ambient_c=ambient_c)
        if warm:
            use = sum(m.wanted_hz * m.nominal_s for m in MODELS if m.priority_class == "critical")
            self._plant.settle(Load(cpu=CPU_BASE, gpu=use))
        self._duration_s = inference_duration_s
        self._step_c, self._step_at_s = step_c, step_at_s

    def step(self, dt_s: float, use: float, inferences_per_s: float) -> tuple[BoardState, float]:
        """Go on; see thermal_stack.Board."""
        cpu = min(1.0, CPU_BASE + CPU_S_PER_INFERENCE * inferences_per_s)
        state = self._plant.step(dt_s, self._load(cpu=cpu, gpu=use))
        if self._step_c and state.time_s >= self._step_at_s:
            self._plant.ambient_c += self._step_c
            self._step_c = 0.0
        return state.board_state(), self._duration_s(1.0, state)


def measure(
    name: str, settings: GovernorSettings, board: SimulatedBoard, seconds: float, seed: int
) -> dict[str, Any]:
    """Run one governor and return its row."""
    governor = None if name == "none" else open_governor(name, settings)
    record = StackSimulation(MODELS, board, governor, seed).run(seconds)
    return {"governor": name, **_figures(record, seconds), "series": record.series}


def _figures(record: Record, seconds: float) -> dict[str, Any]:
    background = sum(record.inferences[m.name] for m in MODELS if m.priority_class == "background")
    return {
        "throttled_s": record.throttled_s,
        "control_misses": record.control_misses,
        "control_jobs": record.control_jobs,
        "detections_per_s": round(record.inferences["detect"] / seconds, 2),
        "background_per_s": round(background / seconds, 2),
        "max_temp_c": round(record.max_temp_c, 2),
        "lowered_from_c": round(record.lowered_from_c, 2) if math.isfinite(record.lowered_from_c) else None,
        "mean_power_w": round(record.energy_j / seconds, 2),
        "rate_changes": record.rate_changes,
        "most_rate_changes_per_minute": record.most_changes_per_minute,
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench thermal", description=__doc__)
    parser.add_argument("--seconds", type=float, default=DURATION_S, help="simulated time (default: 3600)")
    parser.add_argument("--ambient", type=float, default=AMBIENT_C, help="of the room, C (default: 35)")
    parser.add_argument(
        "--ambient-step", type=float, default=0.0, help="how much warmer the room is in the second half, C"
    )
    parser.add_argument(
        "--cold", action="store_true", help="begin as cold as the room, not warm from the policy alone"
    )
    parser.add_argument("--governors", nargs="+", choices=GOVERNORS, default=GOVERNORS, help="default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the inferences' jitter (default: 0)")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="a governor.yaml (default: the shipped one)"
    )
    common.add_output_options(parser)
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(arguments.config)
        rows = [
            measure(
                name,
                settings,
                SimulatedBoard(
                    arguments.ambient, arguments.ambient_step, 0.5 * arguments.seconds, not arguments.cold
                ),
                arguments.seconds,
                arguments.seed,
            )
            for name in arguments.governors
        ]
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    notes = [
        f"the board is simulated: Jetson Orin Nano Super, MAXN_SUPER, in a closed body; room {arguments.ambient:g} C",
        "at the start: cold"
        if arguments.cold
        else "at the start: as warm as with the policy alone; from then on full load",
        f"a control miss: the policy's inference ends later than {1e3 * CONTROL_DEADLINE_S:.0f} ms after its release",
        "rate changes: every change of every node's rate; lowered from: the coolest at which a rate was lowered",
    ]
    return common.report(
        arguments,
        "thermal",
        rows,
        notes,
        ambient_c=arguments.ambient,
        seconds=arguments.seconds,
        seed=arguments.seed,
        throttle_c=THROTTLE_C,
    )


if __name__ == "__main__":
    sys.exit(main())
