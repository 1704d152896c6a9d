# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The demo's stack while a benchmark does something to it, and everything that is seen of it meanwhile.

Its unit is one run: processes up, until the end of the block, processes down. It adds nothing to the stack.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_stack_bench.benchmarks.faults_observe import CommandLimits, FaultObservations
from edge_stack_core.robot import Robot, load_robot
from edge_stack_core.stack_config import StackConfig
from edge_stack_supervisor.governor.settings import GovernorSettings, load_settings

if TYPE_CHECKING:
    from edge_stack.runner.stack import StackProcesses
    from edge_stack_bench.ros.monitor import Monitor
    from edge_stack_bench.views.report import RunRecord

STARTUP_LIMIT_S = 90.0
"""A machine whose cores others keep busy takes its time to load six models."""


@dataclass
class RunningDemo:
    """A stack that runs. lock: hold it while reading seen; that of the monitor while reading record."""

    processes: StackProcesses
    monitor: Monitor
    record: RunRecord
    seen: FaultObservations
    lock: threading.Lock

    def wait(self, condition: Callable[[], Any], limit_s: float) -> bool:
        """Wait for a condition, which is looked at with the lock held; return whether it came within limit_s."""
        until_s = time.monotonic() + limit_s
        while time.monotonic() < until_s:
            with self.lock:
                if condition():
                    return True
            time.sleep(0.02)
        return False

    def wait_until_well(self, for_s: float) -> None:
        """Wait until the stack is up and has been well for so long. RuntimeError if it is not in time: what is wrong."""
        begun_s = time.monotonic()
        if not self.wait(
            lambda: self.seen.well_since(begun_s, for_s, time.monotonic()) is not None,
            STARTUP_LIMIT_S + for_s,
        ):
            raise RuntimeError("the stack did not come up well: " + "; ".join(self.seen.troubles()))


@contextlib.contextmanager
def running_demo(config: StackConfig, folder: Path) -> Iterator[RunningDemo]:
    """Run a stack on the simulated robot, its files below a folder. ConfigurationError if it cannot be started."""
    from edge_stack.runner.stack import StackProcesses
    from edge_stack_bench.ros.faults_listen import observe
    from edge_stack_bench.ros.monitor import Monitor
    from edge_stack_bench.views.report import RunRecord
    from edge_stack_core.process_environment import process_environment

    os.environ.update(process_environment(os.environ))
    record = RunRecord(started_s=time.monotonic())
    seen = FaultObservations(command_limits(load_robot(config.robot_file), config.control_rate_hz))
    lock = threading.Lock()

    def ended(name: str, _returncode: int, _respawning: bool) -> None:
        with lock:
            seen.exit(time.monotonic(), name)

    processes = StackProcesses(config, sim=True, run_folder=folder, on_exit=ended)
    monitor: Monitor | None = None
    try:
        processes.start()
        monitor = Monitor(record)
        observe(monitor, seen, lock, _governor(config))
        yield RunningDemo(processes, monitor, record, seen, lock)
    finally:
        processes.stop()
        if monitor is not None:
            monitor.close()


def _governor(config: StackConfig) -> GovernorSettings:
    """Return what the stack's governor goes by."""
    supervisors = [node for node in config.nodes if node.executable == "supervisor"]
    return load_settings(next((node.parameters.get("governor_file") for node in supervisors), None) or None)


def command_limits(robot: Robot, rate_hz: float) -> CommandLimits:
    """Return what no command to this robot may exceed."""
    low, high, speed = (np.asarray(v) for v in (robot.position_min, robot.position_max, robot.velocity_max))
    return CommandLimits(low, high, speed, 1.0 / rate_hz)
