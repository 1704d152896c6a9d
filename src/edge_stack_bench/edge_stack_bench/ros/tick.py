# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Benchmark `tick`: how late a 24 Hz tick starts, from an rclpy timer and from the control thread, idle and saturated.

Its unit of work is one row: one configuration under one load, in a process of its own with a node, a publisher of
JointState at the tick, a subscription to it, and an executor that spins. Lateness is the time from a release on the grid to
the first line of the tick. The load stands for the other programs of a robot: on each core several that never wait. Measured
process and load are programs of equal weight, each in a session of its own; configurations take turns, several rounds, so
that both meet the same load and the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from edge_stack_bench.benchmarks import common
from edge_stack_core.process_environment import send_small_messages_only
from edge_stack_core.runtime.control_thread import ControlThread, ControlThreadSettings
from edge_stack_core.runtime.histogram import Histogram

RATE_HZ = 24.0
CONFIGS = ("executor_timer", "control_thread")
LOADS = ("idle", "saturated")
# Ticks at the start that warm caches and imports and are not counted.
_WARM_UP_S = 1.0
PER_CORE = 8


def measure_executor_timer(seconds: float, rate_hz: float = RATE_HZ) -> dict[str, Any]:
    """Return lateness of a timer in a single-threaded executor."""
    from rclpy.clock import Clock
    from rclpy.clock_type import ClockType
    from rclpy.executors import SingleThreadedExecutor

    with _bench_node(rate_hz) as (node, publish):
        lateness = Histogram()
        begin_ns = time.monotonic_ns() + int(_WARM_UP_S * 1e9)
        expected_ns = 0
        skipped = 0

        def tick() -> None:
            nonlocal expected_ns, skipped
            now_ns = time.monotonic_ns()
            if expected_ns and now_ns >= begin_ns:
                lateness.add(max(0, now_ns - expected_ns))
            publish(now_ns)
            following_ns = time.monotonic_ns() + timer.time_until_next_call()
            if expected_ns:
                skipped += max(0, round((following_ns - expected_ns) / period_ns) - 1)
            expected_ns = following_ns

        period_ns = round(1e9 / rate_hz)
        timer = node.create_timer(1.0 / rate_hz, tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        while time.monotonic_ns() < begin_ns + seconds * 1e9:
            executor.spin_once(timeout_sec=0.5)
        return _figures(lateness, skipped, "normal policy, as rclpy starts it")


def measure_control_thread(seconds: float, rate_hz: float = RATE_HZ, priority: int = 80) -> dict[str, Any]:
    """Return lateness of the control thread beside a spinning executor."""
    from rclpy.executors import SingleThreadedExecutor

    with _bench_node(rate_hz) as (node, publish):
        thread = ControlThread(publish, rate_hz, ControlThreadSettings(priority=priority))
        node.create_timer(0.2, lambda: thread.figures().lateness.summary())
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        executor.spin_once(timeout_sec=0.1)
        # The figures begin anew with each start: the first run warms up.
        for duration_s in (_WARM_UP_S, seconds):
            refused = thread.start()
            try:
                end_ns = time.monotonic_ns() + int(duration_s * 1e9)
                while time.monotonic_ns() < end_ns:
                    executor.spin_once(timeout_sec=0.5)
            finally:
                thread.stop()
        figures = thread.figures()
        return _figures(figures.lateness, figures.skipped, thread.granted, refused)


def run(
    seconds: float,
    rounds: int = 3,
    per_core: int = PER_CORE,
    priority: int = 80,
    configs: Sequence[str] = CONFIGS,
    loads: Sequence[str] = LOADS,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure every configuration under every load, seconds each in all; return the rows and what was refused."""
    rows, refused = [], set()
    for load in loads:
        merged = {config: Histogram() for config in configs}
        last: dict[str, dict[str, Any]] = {}
        skipped, stolen_s = dict.fromkeys(configs, 0), dict.fromkeys(configs, 0.0)
        with common.busy_cores(per_core) if load == "saturated" else contextlib.nullcontext(0):
            for number in range(rounds):
                for config in configs:
                    print(f"{load}, round {number + 1}: {config}", file=sys.stderr, flush=True)
                    stolen_before_s = common.stolen_s()
                    measured = last[config] = _in_child(config, seconds / rounds, priority)
                    stolen_s[config] += common.stolen_s() - stolen_before_s
                    merged[config].merge(Histogram.from_dict(measured["lateness"]))
                    skipped[config] += measured["skipped"]
                    refused.update(measured["refused"])
        rows += [
            {
                "config": config,
                "load": load,
                "lateness_ms": {
                    name: round(ms, 4) for name, ms in merged[config].summary().as_dict().items()
                },
                "n": len(merged[config]),
                "skipped": skipped[config],
                "stolen_ms": round(1e3 * stolen_s[config]),
                "scheduling": last[config]["scheduling"],
            }
            for config in configs
        ]
    return rows, sorted(refused)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench tick", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time of each row (default: 30)")
    parser.add_argument("--rounds", type=int, default=3, help="in how many turns (default: 3)")
    parser.add_argument(
        "--per-core", type=int, default=PER_CORE, help=f"busy programs on each core (default: {PER_CORE})"
    )
    parser.add_argument("--priority", type=int, default=80, help="SCHED_FIFO priority; 0: none (default: 80)")
    parser.add_argument("--config", choices=CONFIGS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.config:
        send_small_messages_only()  # as the fusion node does
        measured = (
            measure_executor_timer(arguments.seconds)
            if arguments.config == "executor_timer"
            else measure_control_thread(arguments.seconds, priority=arguments.priority)
        )
        print(json.dumps(measured))
        return 0
    rows, notes = run(arguments.seconds, arguments.rounds, arguments.per_core, arguments.priority)
    notes.append(
        f"saturated: {arguments.per_core} programs that never wait on each core, each in a session of its own"
    )
    for load in LOADS:
        timer, thread = (
            next(row["lateness_ms"]["p99"] for row in rows if (row["config"], row["load"]) == (config, load))
            for config in CONFIGS
        )
        notes.append(
            f"{load}: p99 of the executor timer is {timer / thread:.0f} times that of the control thread"
        )
    return common.report(arguments, "tick", rows, notes, rate_hz=RATE_HZ, load_per_core=arguments.per_core)


def _in_child(config: str, seconds: float, priority: int) -> dict[str, Any]:
    """Measure in a process of its own: no setting of one configuration outlives it."""
    command = [sys.executable, "-m", "edge_stack_bench.ros.tick", "--config", config]
    command += ["--seconds", str(seconds), "--priority", str(priority)]
    # Under a saturating load, start and end take many times longer than alone.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, timeout=seconds + 120.0, check=True, start_new_session=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextlib.contextmanager
def _bench_node(rate_hz: float) -> Any:
    """Yield a node and a function that publishes one preallocated JointState, stamped with a monotonic time."""
    import rclpy
    from rclpy.context import Context
    from sensor_msgs.msg import JointState

    from edge_stack_core.ros import qos

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("bench_tick", context=context)
    publisher = node.create_publisher(JointState, "bench_tick", qos.command(rate_hz))
    node.create_subscription(JointState, "bench_tick", lambda _: None, qos.command(rate_hz, offered=False))
    message = JointState(name=[f"joint_{i}" for i in range(6)], position=[0.0] * 6)

    def publish(now_ns: int) -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
        publisher.publish(message)

    try:
        yield node, publish
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def _figures(
    lateness: Histogram, skipped: int, granted: str, refused: list[str] | None = None
) -> dict[str, Any]:
    return {
        "lateness": lateness.as_dict(),
        "skipped": skipped,
        "scheduling": granted,
        "refused": refused or [],
    }


if __name__ == "__main__":
    sys.exit(main())
