# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The demo with its policy on a server behind an emulated network: chunks in time, changes of place, success.

Its unit is one row: some episodes of the task on one network. The stack (simulated robot, fusion, supervisor, vla, detect)
and the policy server are real processes; between them each IP packet is delayed, lost or held back. The first row
is the policy on board, with the network cut; all rows of a transport are of the same processes. fallback_gap_ms: longest
time between two commands around a change of place or a cut. no_fresh_action_ms: longest time for which the newest chunk was
over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_stack.bench import common
from edge_stack.bench.offload_network import THERE, EmulatedNetwork, Network
from edge_stack.bench.offload_observe import Chunk, Observations, PolicyReport
from edge_stack.config import StackConfig, load_config
from edge_stack.errors import ConfigurationError
from edge_stack.faults.injections import own_network

PORT = 8443
CUT_S = 5.0
CUTS_AFTER_S = (1.0, 2.0, 3.0)  # into an episode, one after another: while it reaches, grasps, carries
# How long a row waits for the server to be used: on a network that may be too bad for it, and where it has to be.
SETTLE_LIMIT_S, RETURN_LIMIT_S = 15.0, 45.0
STARTUP_LIMIT_S = 90.0
ON_BOARD = "on board"
EPISODE_LIMIT_S = 60.0  # its own time-out and the pause after it, with a margin for a slow machine
LEFT_OUT = ("segment", "pose", "obb", "classify")  # the policy does not need them


@dataclass(frozen=True)
class Phase:
    """
    One row: a network, for some episodes.

    cuts: each of them is an episode that begins off board and in which the network is cut once, for CUT_S; those between,
    in which the policy finds its way back, do not count.
    """

    name: str
    network: Network
    episodes: int
    cuts: bool = False


def phases(episodes: int, *, quick: bool = False, transport_only: bool = False) -> list[Phase]:
    """
    Return the rows of one run.

    episodes: of most rows; those that success is judged by have twice as many. quick: fewer networks. transport_only: what
    says how it compares with another transport that has met everything else.
    """
    near = Network(rtt_ms=20.0)
    slow = replace(near, mbit_s=5.0)
    networks = [near, slow]
    if not quick and not transport_only:
        # The worst last: after it the way back to the server is the longest.
        networks = [Network(rtt_ms=1.0), near, Network(rtt_ms=80.0), slow]
        networks += [replace(near, loss=0.02), replace(near, loss=0.1)]
    rows = [Phase(str(network), network, episodes) for network in networks]
    if transport_only:
        return rows
    cut = Phase(f"20 ms, cut for {CUT_S:g} s", near, 2 * episodes, cuts=True)
    return [Phase(ON_BOARD, Network(cut=True), 2 * episodes), *rows, cut]


@dataclass(frozen=True)
class Transport:
    """A way to a policy server. place: how `places` names it. server: its command line."""

    name: str
    place: str
    server: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """The policy that is measured, at both places. checkpoint: the same one as LeRobot keeps it, for LeRobot's server."""

    policy: str
    path: str = ""
    contract: str = ""
    checkpoint: str = ""
    lerobot_python: str = sys.executable

    def transports(self) -> list[Transport]:
        """Return every way to a server that there is for it."""
        where, module = f"{THERE}:{PORT}", "edge_stack.offboard.server"
        ours = [sys.executable, "-m", module, "--policy", self.policy, "--path", self.path]
        ours += ["--contract", self.contract, "--address", where, "--insecure"]
        ways = [
            Transport(f"grpc, {images}", f"grpc://{where}?images={images}", tuple(ours))
            for images in ("jpeg", "raw")
        ]
        if self.checkpoint:
            # Its interpreter is one of its own, and not to find this one's packages.
            theirs = ["env", "-u", "PYTHONPATH", "HF_HUB_OFFLINE=1", self.lerobot_python]
            theirs += ["-m", "lerobot.async_inference.policy_server", f"--host={THERE}", f"--port={PORT}"]
            theirs += ["--fps=24", "--inference_latency=0"]  # the latter is a pause that it makes
            ways.append(Transport("lerobot", f"lerobot://{where}?path={self.checkpoint}", tuple(theirs)))
        return ways

    def configure(self, config: StackConfig, transport: Transport) -> StackConfig:
        """Return a stack whose policy is this one, at a server and here."""
        (vla,) = config.run_by("vla")
        values = {
            "policy": self.policy,
            "policy_path": self.path,
            "policy_contract": self.contract,
            "places": [transport.place, "local"],
        }
        for name, value in values.items():
            config = config.with_parameter(vla, name, value)
        return config


class Run:
    """One stack with one server, on one network after another."""

    def __init__(self, transport: Transport, subject: Subject, config_path: str | None, folder: Path) -> None:
        """Start everything, with the network cut. OSError or ConfigurationError says why that cannot be."""
        from edge_stack.runner.stack import StackProcesses
        from edge_stack.tools.monitor import Monitor
        from edge_stack.tools.report import RunRecord

        self.transport = transport
        self.seen = Observations()
        self.record = RunRecord(started_s=time.monotonic())
        self._lock = threading.Lock()
        self._running_since_s: float | None = None
        config = subject.configure(load_config(config_path), transport)
        self._server_log = folder / "server.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.network = EmulatedNetwork(transport.server, self._server_log)
        try:
            self.network.set(Network(cut=True))
            self._processes = StackProcesses(config, sim=True, disabled=LEFT_OUT, run_folder=folder)
            self._processes.start()
            self._monitor = Monitor(self.record)
            self._listen()
        except BaseException:
            self.network.close()
            raise

    def close(self) -> None:
        """End everything."""
        self._processes.stop()
        self._monitor.close()
        self.network.close()

    def wait_for_start(self) -> None:
        """Wait until an episode runs. RuntimeError with what the nodes said if none does."""
        if not self._wait(lambda: self._running_since_s is not None, STARTUP_LIMIT_S):
            raise RuntimeError("the robot was never commanded:\n" + self._processes.tails())

    def check_server(self) -> None:
        """RuntimeError with what the server wrote if it ended."""
        if not self.network.server_alive():
            text = self._server_log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError("the policy server ended: " + " ".join(text.splitlines()[-3:]))

    def measure(self, phase: Phase) -> dict[str, Any]:
        """Let a phase's episodes happen and return its row."""
        self.network.set(phase.network)
        if not phase.network.cut and "://" not in self._place():
            self._settle(SETTLE_LIMIT_S)
            # The episode in which it moved belongs to no row.
            self._wait(partial(self._ended, self._task()[0]), EPISODE_LIMIT_S)
        before = self.network.counts()
        attempts, successes = self._task()
        begin_s = time.time()
        if phase.cuts:
            tried, done, cuts_s = self._cut_episodes(phase)
        else:
            cuts_s = []
            self._wait(partial(self._ended, attempts + phase.episodes - 1), phase.episodes * EPISODE_LIMIT_S)
            tried, done = (now - then for now, then in zip(self._task(), (attempts, successes), strict=True))
        end_s = time.time()
        after = self.network.counts()
        with self._lock:
            figures = self.seen.figures(begin_s, end_s, cuts_s)
        sent, received = (after[name] - before[name] for name in ("bytes_sent", "bytes_received"))
        places = figures.pop("places")
        return {
            "network": phase.name,
            "transport": self.transport.name if phase.name != ON_BOARD else "none",
            "place": next(iter(places), ""),
            "places": places,
            **figures,
            "bytes": round((sent + received) / max(figures["chunks"], 1)),
            "bytes_sent": sent,
            "bytes_received": received,
            "seconds": round(end_s - begin_s, 1),
            "cuts": len(cuts_s) // 2,
            "attempts": tried,
            "successes": done,
            "success": round(done / tried, 3) if tried else None,
        }

    def _cut_episodes(self, phase: Phase) -> tuple[int, int, list[float]]:
        """Cut the network in so many episodes; return how many ended and succeeded, and when it was cut and mended."""
        tried = done = 0
        cuts_s: list[float] = []
        for number in range(phase.episodes):
            self._settle(RETURN_LIMIT_S)
            after_s = CUTS_AFTER_S[number % len(CUTS_AFTER_S)]

            def due(after_s: float = after_s) -> bool:
                since_s = self._running_since_s
                return since_s is not None and 0.0 <= time.time() - since_s - after_s <= 0.3

            if not self._wait(due, EPISODE_LIMIT_S):
                break
            attempts, successes = self._task()
            self.network.set(replace(phase.network, cut=True))
            cuts_s.append(time.time())
            self._wait(lambda: False, CUT_S)
            self.network.set(phase.network)
            cuts_s.append(time.time())
            self._wait(partial(self._ended, attempts), EPISODE_LIMIT_S)
            tried += 1
            done += self._task()[1] > successes
        return tried, done, cuts_s

    def _ended(self, attempts: int) -> bool:
        return self._task()[0] > attempts

    def _settle(self, limit_s: float) -> None:
        """Wait until chunks come from the server, or until it is clear that they will not."""
        self._wait(lambda: "://" in self._place(), limit_s)

    def _wait(self, condition: Callable[[], bool], limit_s: float) -> bool:
        until_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        return True

    def _place(self) -> str:
        with self._lock:
            return self.seen.reports[-1].place if self.seen.reports else ""

    def _task(self) -> tuple[int, int]:
        with self._monitor.lock:
            return self.record.task.attempts, self.record.task.successes

    def _listen(self) -> None:
        from edge_stack_msgs.msg import ActionChunk, ControlStatus, PolicyStatus, TaskStatus
        from sensor_msgs.msg import JointState

        from edge_stack.nodes import qos

        def command(message: JointState) -> None:
            with self._lock:
                self.seen.commands_s.append(_seconds(message.header.stamp))

        def chunk(message: ActionChunk) -> None:
            start_s, step_s = _seconds(message.start), _seconds(message.step)
            actions = len(message.positions) // max(len(message.joint_names), 1)
            with self._lock:
                self.seen.chunks.append(Chunk(time.time(), start_s, start_s + actions * step_s, step_s))

        def policy(message: PolicyStatus) -> None:
            report = PolicyReport(
                time.time(),
                message.place,
                message.place_changes,
                message.place_reason,
                message.rtt_p50_s,
                message.rtt_p99_s,
            )
            with self._lock:
                self.seen.reports.append(report)

        def control(message: ControlStatus) -> None:
            with self._lock:
                self.seen.ages_s.append((_seconds(message.header.stamp), message.action_age_s))

        def task(message: TaskStatus) -> None:
            running = message.state == "running"
            self._running_since_s = time.time() - message.episode_s if running else None

        node = self._monitor.node
        # Deep queues: this process may come late to read, which is not the stack's doing.
        every_command, every_chunk = qos.command(0.0, offered=False), qos.chunk()
        every_command.depth = every_chunk.depth = 200
        node.create_subscription(JointState, "joint_command", command, every_command)
        node.create_subscription(ActionChunk, "action_chunk", chunk, every_chunk)
        node.create_subscription(PolicyStatus, "policy_status", policy, qos.status())
        node.create_subscription(ControlStatus, "control_status", control, qos.status())
        node.create_subscription(TaskStatus, "task_status", task, qos.state())


def _seconds(stamp: Any) -> float:
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def run(
    transports: Sequence[Transport],
    subject: Subject,
    config_path: str | None,
    episodes: int,
    quick: bool,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure every transport; return the rows and what could not be done. The first one meets every network."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for index, transport in enumerate(transports):
        with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
            _say(f"{transport.name}: starting the stack and the server")
            try:
                stack = Run(transport, subject, config_path, Path(folder))
            except (OSError, ConfigurationError) as error:
                notes.append(f"{transport.name}: not done: {error}")
                continue
            try:
                stack.wait_for_start()
                todo = phases(episodes, quick=quick, transport_only=index > 0)
                for number, phase in enumerate(todo, 1):
                    _say(f"{transport.name} {number}/{len(todo)}: {phase.name}, {phase.episodes} episodes")
                    row = stack.measure(phase)
                    rows.append(row)
                    _say(
                        f"  {row['place']}, {row['successes']} of {row['attempts']}, {row['changes']} changes of place,"
                        f" longest gap {row['control_gap_ms']:.0f} ms"
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

    from edge_stack.runner.environment import process_environment

    parser = argparse.ArgumentParser(prog="edge bench offload", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--policy", default="visual_servo", help="at both places (default: visual_servo)")
    parser.add_argument("--policy-path", default="", help="its weights")
    parser.add_argument(
        "--contract", default="", help="what its features are: a file, or a name in config/policies"
    )
    parser.add_argument(
        "--checkpoint",
        default="",
        help="the same as a LeRobot checkpoint: LeRobot's own server is measured too",
    )
    parser.add_argument(
        "--lerobot-python", default=sys.executable, help="an interpreter that has lerobot (default: this one)"
    )
    parser.add_argument(
        "--episodes", type=int, default=2, help="of each row, twice as many on board and with cuts"
    )
    parser.add_argument("--quick", action="store_true", help="few networks, one episode each")
    parser.add_argument("--transport", action="append", help="only this one: grpc, jpeg; grpc, raw; lerobot")
    parser.add_argument("--config", metavar="FILE", help="another robot.yaml")
    options = parser.parse_args(argv)
    try:
        own_network()
    except OSError as error:
        print(f"offload: no emulated network here: {error.strerror}", file=sys.stderr)
        return 1
    os.environ.update(process_environment(os.environ))
    subject = Subject(
        options.policy, options.policy_path, options.contract, options.checkpoint, options.lerobot_python
    )
    chosen = [t for t in subject.transports() if t.name in (options.transport or [t.name])]
    if not chosen:
        print(f"offload: there is no transport {', '.join(options.transport)} for it", file=sys.stderr)
        return 2
    episodes = 1 if options.quick else options.episodes
    rows, notes = run(chosen, subject, options.config, episodes, options.quick)
    notes.append(
        "the network is emulated packet by packet between two TUN devices, one in the server's own network namespace:"
        " TCP's retransmissions are the kernel's own"
    )
    return common.report(options, "offload", rows, notes, device=options.policy, emulation="tun", cut_s=CUT_S)


if __name__ == "__main__":
    sys.exit(main())
