# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated board as a node: it feels the load of the stack's nodes and keeps the files that board readers read.

Its unit of work is one step, ten times a second. The GPU is as busy as the models' statuses say (rate times duration of
their inferences), cores and memory as the processes' are; parameters set surroundings and faults while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from edge_stack_msgs.msg import NodeStatus

from edge_stack_core.board.files import SIMULATED, board_folder
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.main import run
from edge_stack_core.ros.parameters import Parameter
from edge_stack_sim.board.live import BoardSurroundings, LiveBoard, log_to
from edge_stack_sim.board.plant import Plant
from edge_stack_sim.board.spec import COOLINGS, ORIN_NANO_SUPER, RELEASES
from edge_stack_sim.board.stack_load import StackLoad

PERIOD_S = 0.1


class BoardNode(StackNode):
    """The simulated Jetson Orin Nano Super."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "root", SIMULATED, "Folder of the board's files; simulated: where board readers look for them."
        ),
        Parameter(
            "cooling",
            ORIN_NANO_SUPER.cooling.name,
            "Where its heat goes: on a bench, or in a robot's closed body.",
            choices=tuple(COOLINGS),
        ),
        Parameter(
            "release",
            ORIN_NANO_SUPER.release,
            "Jetson Linux whose files it has.",
            choices=tuple(RELEASES),
        ),
        Parameter(
            "psi",
            ORIN_NANO_SUPER.psi,
            "Whether its kernel tells pressure stall information; no stock one does.",
        ),
        Parameter("tegrastats", "", "File that tegrastats lines are added to; empty: none."),
        Parameter("others", ("sim",), "Nodes that run on another computer and are no load for this board."),
        Parameter("ambient_c", 25.0, "Temperature of the room, C.", minimum=-20.0, maximum=80.0, live=True),
        Parameter("fan", "ok", "A failed fan stands still.", choices=("ok", "failed"), live=True),
        Parameter(
            "power_mode",
            ORIN_NANO_SUPER.default_mode,
            "The nvpmodel mode.",
            choices=tuple(ORIN_NANO_SUPER.modes),
            live=True,
        ),
        Parameter(
            "time_scale", 1.0, "Simulated seconds in one real one.", minimum=0.1, maximum=1000.0, live=True
        ),
        Parameter(
            "extra_power_w", 0.0, "What else the module draws, W.", minimum=0.0, maximum=100.0, live=True
        ),
        Parameter(
            "memory_used_mb",
            0.0,
            "What else is used of its memory, MiB.",
            minimum=0.0,
            maximum=1e5,
            live=True,
        ),
        Parameter(
            "gpu_load_scale",
            1.0,
            "How much heavier the models are for this board's GPU than their statuses say.",
            minimum=0.0,
            maximum=1000.0,
            live=True,
        ),
    )

    def __init__(self, name: str = "board", **kwargs: Any) -> None:
        self._board: LiveBoard | None = None
        super().__init__(name, **kwargs)

    # ---- lifecycle

    def configure_node(self) -> None:
        """Start cold, and make the files."""
        p = self.params
        spec = replace(RELEASES[p.release], cooling=COOLINGS[p.cooling], psi=p.psi)
        try:
            plant = Plant(spec, ambient_c=p.ambient_c, power_mode=p.power_mode)
        except ValueError as error:
            raise ConfigurationError(f"power_mode: {error}") from error
        root = board_folder(p.root)
        try:
            self._board = LiveBoard(plant, root, log_to(p.tegrastats) if p.tegrastats else None)
        except OSError as error:
            raise ConfigurationError(f"root: {error}") from error
        own = {self.get_name(), *p.others}
        self._load = StackLoad(own)
        self.subscription(NodeStatus, "node_status", self._take_status, qos.status(), always=True)
        self.get_logger().info(f"the board's files are below {root}")

    def activate_node(self) -> None:
        """Let its time run."""
        self._last_s = time.monotonic()
        self._timer = self.steady_timer(PERIOD_S, self._guarded_step)

    def deactivate_node(self) -> None:
        """Stop its time. The files stay as they are."""
        self.destroy_timer(self._timer)

    def cleanup_node(self) -> None:
        """Remove the files."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def on_parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Nothing: each step takes the values as they are."""

    def target_hz(self) -> float:
        """Rate of steps."""
        return 1.0 / PERIOD_S

    # ---- work

    def _take_status(self, status: NodeStatus) -> None:
        inference_ms = next((stage.p50_ms for stage in status.stages if stage.name == "inference"), 0.0)
        self._load.take(
            time.monotonic(),
            status.name,
            rate_hz=status.rate_hz,
            inference_s=inference_ms * 1e-3,
            cores=status.cpu_pct / 100.0,
            memory_mb=status.rss_mb,
        )

    def _guarded_step(self) -> None:
        try:
            self._step()
        except Exception as error:  # noqa: BLE001 (a full disk must show in the node's status, not end the process)
            self.count_raised("step", error)
            self.report_problem(f"the board stands still: {type(error).__name__}: {error}")

    def _step(self) -> None:
        p, board = self.params, self._board
        if board is None:
            return
        began_s = time.monotonic()
        cores = board.plant.state().cores
        load, memory_mb = self._load.now(began_s, cores, p.gpu_load_scale)
        around = BoardSurroundings(
            ambient_c=p.ambient_c,
            fan_failed=p.fan == "failed",
            power_mode=p.power_mode,
            time_scale=p.time_scale,
            extra_power_w=p.extra_power_w,
            memory_used_mb=p.memory_used_mb + memory_mb,
        )
        state = board.advance(began_s - self._last_s, load, around)
        self._last_s = began_s
        if state.shut_down:
            self.report_problem("the board shut down: it reached its critical temperature")
        else:
            self.clear_problem()
        self.stats.work_done((time.monotonic() - began_s) * 1e3, {})


def main() -> None:
    """Run the simulated board."""
    run(lambda: BoardNode())


if __name__ == "__main__":
    main()
