# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Switches of modes in the whole demo, idle and loaded: the commands' gaps, and how soon each node is in its mode's state.

Its unit is one switch, asked for by the service set_mode. gap_ms: longest time between two commands from the request to the
next one, by their stamps. settled_ms: from the request until every node says that it is in the state that its mode wants, at
the rate that the supervisor wants; nodes say so five times a second. over_limit: gaps above 1.5 control periods. late:
switches that were not settled within 2 s. All kinds of switches take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.modes_observe import (
    GAP_PERIODS,
    SETTLED_LIMIT_S,
    NodeStates,
    Switch,
    rows_of,
    tour,
)
from edge_stack_bench.faults.injections import Hog
from edge_stack_bench.ros.running import RunningDemo, running_demo
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import StackConfig, load_config
from edge_stack_supervisor.modes import ModesConfig, load_modes

LOADS = ("idle", "saturated")
WELL_S = 3.0
# A switch that takes longer than it may is waited for all the same, so that the next one begins from its end.
WAIT_S = 20.0


def run(
    config: StackConfig, modes: ModesConfig, switches: int, pause_s: float, loads: Sequence[str] = LOADS
) -> list[Switch]:
    """Do so many switches under every load; return them. RuntimeError if the stack does not come up well."""
    done: list[Switch] = []
    targets = tour([modes.start, *(name for name in modes.modes if name != modes.start)], switches)
    for load in loads:
        print(load, file=sys.stderr, flush=True)
        with contextlib.ExitStack() as ends:
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="edge_bench_")))
            demo = ends.enter_context(running_demo(config, folder))
            switcher = _Switcher(demo, modes)
            demo.wait_until_well(WELL_S)
            if load == "saturated":
                ends.enter_context(common.busy_cores(Hog.PER_CORE))
            time.sleep(pause_s)
            for target in targets:
                done.append(switcher.switch(load, target, pause_s))
                print(f"  {done[-1]}", file=sys.stderr, flush=True)
    return done


class _Switcher:
    """Asks a running stack for modes and watches what its nodes do."""

    def __init__(self, demo: RunningDemo, modes: ModesConfig) -> None:
        """Listen."""
        from edge_stack_msgs.msg import NodeStatus, StackState
        from edge_stack_msgs.srv import SetMode

        from edge_stack_bench.ros.faults_listen import sent_at_s
        from edge_stack_core.ros import qos

        self._demo, self._modes = demo, modes
        self._places = NodeStates(list(modes.base))

        def stack(message: StackState) -> None:
            wanted_hz = {node.name.rsplit("/", 1)[-1]: node.target_hz for node in message.nodes}
            with demo.lock:
                self._places.stack(sent_at_s(message), message.mode, wanted_hz)

        def status(message: NodeStatus) -> None:
            name = message.name.rsplit("/", 1)[-1]
            with demo.lock:
                self._places.node(sent_at_s(message), name, message.state, message.target_hz)

        node = demo.monitor.node
        node.create_subscription(StackState, "stack_state", stack, qos.state())
        node.create_subscription(NodeStatus, "node_status", status, qos.status())
        self._request = SetMode.Request
        self._client = node.create_client(SetMode, "supervisor/set_mode")

    def switch(self, load: str, target: str, pause_s: float) -> Switch:
        """Ask for a mode, wait until it is there, and then so long."""
        mode, source = self._modes.modes[target], self._places.mode
        answered = threading.Event()
        self._client.wait_for_service(5.0)
        begun_s = time.monotonic()
        future = self._client.call_async(self._request(mode=target))
        future.add_done_callback(lambda _: answered.set())

        def over() -> bool:
            return not self._places.missing(mode) or (answered.is_set() and not future.result().success)

        self._demo.wait(over, WAIT_S)
        with self._demo.lock:
            missing = self._places.missing(mode)
            settled_s = None if missing else max(0.0, self._places.changed_s - begun_s)
        refused = ""
        if answered.is_set() and not future.result().success:
            refused = str(future.result().message)
        time.sleep(pause_s)
        with self._demo.lock:
            gaps_s = tuple(gap_s for _, gap_s in self._demo.seen.gaps(begun_s, time.monotonic()))
        return Switch(load, source, target, settled_s, gaps_s, refused, () if refused else tuple(missing))


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; 1 if a switch was refused, late, or left a gap above the limit."""
    parser = argparse.ArgumentParser(prog="edge bench modes", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--switches", type=int, default=24, help="under each load (default: 24)")
    parser.add_argument("--pause", type=float, default=3.0, metavar="SECONDS", help="after each (default: 3)")
    parser.add_argument("--load", choices=LOADS, action="append", help="only this one")
    parser.add_argument("--config", metavar="FILE", help="another robot.yaml, with its modes.yaml beside it")
    options = parser.parse_args(argv)
    if options.switches < 1:
        parser.error(f"--switches {options.switches}: must be 1 at least")
    try:
        config = load_config(options.config or shipped_config())
        nodes = config.select(sim=True)
        modes = load_modes(config.path.parent / "modes.yaml", nodes, known=[n.name for n in config.nodes])
        switches = run(config, modes, options.switches, options.pause, options.load or LOADS)
    except (ConfigurationError, RuntimeError) as error:
        print(f"modes: {error}", file=sys.stderr)
        return 1
    period_s = 1.0 / config.control_rate_hz
    rows = rows_of(switches, period_s)
    notes = [
        f"over the limit: gaps above {GAP_PERIODS:g} control periods; late: not settled within {SETTLED_LIMIT_S:g} s",
        f"saturated: {Hog.PER_CORE} programs that never wait on each core, each in a session of its own",
        *(f"{row['load']}, {row['switch']}: {text}" for row in rows for text in row["said"]),
    ]
    common.report(options, "modes", rows, notes, limit_ms=1e3 * GAP_PERIODS * period_s)
    return 1 if any(row["over_limit"] or row["late"] or row["refused"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
