# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The demo with its policy on a server behind an emulated network: chunks in time, changes of endpoint, success.

Its unit is one row: some episodes of the task on one network (offload_plan). The stack (simulated robot, fusion, supervisor,
policy, perception) and the policy server are real processes; between them each IP packet is delayed, lost or held back. The
first row is the policy on board, with the network cut. fallback_gap_ms: longest time between two commands around a change
of endpoint or a cut. no_fresh_action_ms: longest time for which the newest chunk was over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.offload_plan import CUT_S, Subject, Transport, left_out, phases, subject_of
from edge_stack_bench.faults.injections import own_network
from edge_stack_bench.ros.offload_stack import OffloadStack
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import load_config


def run(
    transports: Sequence[Transport],
    subject: Subject,
    options: argparse.Namespace,
    disabled: Collection[str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure every transport; return the rows and what could not be done. The first one meets every network."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    episodes, judged = (1, 1) if options.quick else (options.episodes, options.judged_episodes)
    for index, transport in enumerate(transports):
        with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
            _say(f"{transport.name}: starting the stack and the server")
            try:
                stack = OffloadStack(transport, subject, options.config, Path(folder), disabled)
            except (OSError, ConfigurationError) as error:
                notes.append(f"{transport.name}: not done: {error}")
                continue
            try:
                stack.wait_for_start()
                todo = phases(episodes, judged, quick=options.quick, transport_only=index > 0)
                for number, phase in enumerate(todo, 1):
                    _say(f"{transport.name} {number}/{len(todo)}: {phase.name}, {phase.episodes} episodes")
                    row = stack.measure(phase)
                    rows.append(row)
                    _say(
                        f"  {row['endpoint']}, {row['successes']} of {row['attempts']} (and {row['between_successes']} of"
                        f" {row['between_attempts']} between), {row['changes']} changes of endpoint, longest gap"
                        f" {row['control_gap_ms']:.0f} ms, {row['seconds']:.0f} s"
                    )
                    stack.check_server()
            except RuntimeError as error:
                notes.append(f"{transport.name}: not done: {error}")
            finally:
                stack.close()
    return rows, notes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    import os

    from edge_stack_core.process_environment import process_environment

    options = _arguments(argv)
    try:
        config = load_config(options.config or shipped_config())
        subject = subject_of(
            config,
            options.policy,
            options.policy_path,
            options.contract,
            options.checkpoint,
            options.lerobot_python,
        )
        own_network()
    except ConfigurationError as error:
        print(f"offload: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"offload: no emulated network here: {error.strerror}", file=sys.stderr)
        return 1
    os.environ.update(process_environment(os.environ))
    chosen = [t for t in subject.transports() if t.name in (options.transport or [t.name])]
    if not chosen:
        print(f"offload: there is no transport {', '.join(options.transport)} for it", file=sys.stderr)
        return 2
    rows, notes = run(
        chosen, subject, options, left_out(config, subject.policy, without_yolo=options.without_yolo)
    )
    notes.append(
        "the network is emulated packet by packet between two TUN devices, one in the server's own network namespace:"
        " TCP's retransmissions are the kernel's own"
    )
    return common.report(options, "offload", rows, notes, device=subject.policy, emulation="tun", cut_s=CUT_S)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge bench offload", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument(
        "--policy", default="", help="at both endpoints, such as visual_servo (default: the stack's own)"
    )
    parser.add_argument("--policy-path", default="", help="its weights")
    parser.add_argument(
        "--contract", default="", help="what its features are: a file, or a shipped one's name"
    )
    parser.add_argument(
        "--checkpoint",
        default="",
        help="the same as a LeRobot checkpoint: LeRobot's own server is measured too",
    )
    parser.add_argument(
        "--lerobot-python", default=sys.executable, help="an interpreter that has lerobot (default: this one)"
    )
    parser.add_argument("--episodes", type=int, default=2, help="of each network (default: %(default)s)")
    parser.add_argument(
        "--judged-episodes",
        type=int,
        default=12,
        help="of what success is judged by: on board, and with cuts (default: %(default)s)",
    )
    parser.add_argument(
        "--without-yolo",
        action="store_true",
        help="leave out the perception nodes that the policy can do without",
    )
    parser.add_argument("--quick", action="store_true", help="few networks, one episode each")
    parser.add_argument("--transport", action="append", help="only this one: grpc, jpeg; grpc, raw; lerobot")
    parser.add_argument("--config", metavar="FILE", help="another robot.yaml")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
