# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The demo's stack and a policy server behind an emulated network, measured on one network after another.

Its unit is one row: the episodes of one phase. All rows of a transport are of the same processes. Only episodes that were
driven under the row's conditions count; those between, in which the policy finds its way to the server, are told apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks.offload_network import EmulatedNetwork, Network
from edge_stack_bench.benchmarks.offload_observe import Chunk, OffloadObservations, PolicyReport
from edge_stack_bench.benchmarks.offload_plan import CUT_S, ON_BOARD, NetworkPhase, Subject, Transport
from edge_stack_core.stack_config import load_config
from edge_stack_sim.success_rate import wilson

CUTS_AFTER_S = (1.0, 2.0, 3.0)  # into an episode, one after another: while it reaches, grasps, carries
_CUT_WINDOW_S = 0.3
# How long a row waits for the server to be used: on a network that may be too bad for it, and where it has to be.
SETTLE_LIMIT_S, RETURN_LIMIT_S = 15.0, 45.0
STARTUP_LIMIT_S = 90.0
EPISODE_LIMIT_S = 60.0  # its own time-out and the pause after it, with a margin for a slow machine


@dataclass
class JudgedEpisodes:
    """
    What a row's episodes came to.

    attempts, successes: those that count. cuts_s: when the network was cut and mended. not_cut: episodes that should have
    been cut and were not, because the server was not in use any more.
    """

    attempts: int = 0
    successes: int = 0
    cuts_s: list[float] = field(default_factory=list)
    not_cut: int = 0

    def row(self, all_attempts: int, all_successes: int) -> dict[str, Any]:
        """Return them as a row has them, with those that do not count, out of all that ended meanwhile."""
        share = round(self.successes / self.attempts, 3) if self.attempts else None
        interval = [round(bound, 4) for bound in wilson(self.successes, self.attempts)]
        return {
            "cuts": len(self.cuts_s) // 2,
            "attempts": self.attempts,
            "successes": self.successes,
            "success": share,
            "success_95": interval if self.attempts else None,
            "between_attempts": all_attempts - self.attempts,
            "between_successes": all_successes - self.successes,
            "not_cut": self.not_cut,
        }


class OffloadStack:
    """One stack with one server, on one network after another."""

    def __init__(
        self,
        transport: Transport,
        subject: Subject,
        config_path: str | None,
        folder: Path,
        disabled: Collection[str] = (),
    ) -> None:
        """
        Start everything, with the network cut; disabled: nodes that do not run.

        OSError or ConfigurationError says why that cannot be.
        """
        from edge_stack.runner.stack import StackProcesses
        from edge_stack_bench.ros.monitor import Monitor
        from edge_stack_bench.views.report import RunRecord

        self.transport = transport
        self.seen = OffloadObservations()
        self.record = RunRecord(started_s=time.monotonic())
        self._lock = threading.Lock()
        self._running_since_s: float | None = None
        config = subject.configure(load_config(config_path or shipped_config()), transport)
        self._models = [name for name in config.run_by("yolo") if name not in disabled]
        self._server_log = folder / "server.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.network = EmulatedNetwork(transport.server, self._server_log)
        try:
            self.network.set(Network(cut=True))
            self._processes = StackProcesses(config, sim=True, disabled=disabled, run_folder=folder)
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

    def measure(self, phase: NetworkPhase) -> dict[str, Any]:
        """Let a phase's episodes happen and return its row."""
        self.network.set(phase.network)
        all_before = self._task()
        if not phase.network.cut and not self._remote():
            self._wait(self._remote, SETTLE_LIMIT_S)
            # The episode in which it moved was not driven under this row's conditions.
            self._wait(partial(self._ended, self._task()[0]), EPISODE_LIMIT_S)
        before = self.network.counts()
        begin_s = time.time()
        episodes = self._cut_episodes(phase) if phase.cuts else self._episodes(phase)
        end_s = time.time()
        after = self.network.counts()
        all_after = self._task()
        with self._lock:
            figures = self.seen.figures(begin_s, end_s, episodes.cuts_s)
        sent, received = (after[name] - before[name] for name in ("bytes_sent", "bytes_received"))
        endpoints = figures.pop("endpoints")
        return {
            "network": phase.name,
            "transport": self.transport.name if phase.name != ON_BOARD else "none",
            "endpoint": next(iter(endpoints), ""),
            "endpoints": endpoints,
            **figures,
            "bytes": round((sent + received) / max(figures["chunks"], 1)),
            "bytes_sent": sent,
            "bytes_received": received,
            "seconds": round(end_s - begin_s, 1),
            "models_hz": self._model_rates(),
            **episodes.row(all_after[0] - all_before[0], all_after[1] - all_before[1]),
        }

    def _episodes(self, phase: NetworkPhase) -> JudgedEpisodes:
        """Let a row's episodes run to their ends."""
        attempts, successes = self._task()
        self._wait(partial(self._ended, attempts + phase.episodes - 1), phase.episodes * EPISODE_LIMIT_S)
        now_attempts, now_successes = self._task()
        return JudgedEpisodes(now_attempts - attempts, now_successes - successes)

    def _cut_episodes(self, phase: NetworkPhase) -> JudgedEpisodes:
        """Cut the network once in each of a row's episodes."""
        result = JudgedEpisodes()
        for number in range(phase.episodes):
            after_s = CUTS_AFTER_S[number % len(CUTS_AFTER_S)]
            if not self._wait(partial(self._cut_due, after_s), RETURN_LIMIT_S + EPISODE_LIMIT_S):
                result.not_cut += 1
                continue
            attempts, successes = self._task()
            self.network.set(replace(phase.network, cut=True))
            result.cuts_s.append(time.time())
            time.sleep(CUT_S)
            self.network.set(phase.network)
            result.cuts_s.append(time.time())
            if self._wait(partial(self._ended, attempts), EPISODE_LIMIT_S):
                result.attempts += 1
                result.successes += self._task()[1] > successes
        return result

    def _cut_due(self, after_s: float) -> bool:
        """Whether an episode runs since so long, and from off board."""
        since_s = self._running_since_s
        in_window = since_s is not None and 0.0 <= time.time() - since_s - after_s <= _CUT_WINDOW_S
        return in_window and self._remote()

    def _ended(self, attempts: int) -> bool:
        return self._task()[0] > attempts

    def _wait(self, condition: Callable[[], bool], limit_s: float) -> bool:
        until_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        return True

    def _remote(self) -> bool:
        """Whether the newest chunk came from the server."""
        with self._lock:
            return bool(self.seen.reports) and "://" in self.seen.reports[-1].endpoint

    def _task(self) -> tuple[int, int]:
        with self._monitor.lock:
            return self.record.task.attempts, self.record.task.successes

    def _model_rates(self) -> dict[str, float]:
        """Return how many inferences a second each perception node has made since the start."""
        with self._monitor.lock:
            return {name: round(self.record.node(name).mean_rate_hz, 2) for name in self._models}

    def _listen(self) -> None:
        from edge_stack_msgs.msg import ActionChunk, FusionStatus, PolicyStatus, TaskStatus
        from sensor_msgs.msg import JointState

        from edge_stack_core.ros import qos
        from edge_stack_core.ros.stamps import to_seconds

        def command(message: JointState) -> None:
            with self._lock:
                self.seen.commands_s.append(to_seconds(message.header.stamp))

        def chunk(message: ActionChunk) -> None:
            start_s, step_s = to_seconds(message.start), to_seconds(message.step)
            actions = len(message.positions) // max(len(message.joint_names), 1)
            with self._lock:
                self.seen.chunks.append(Chunk(time.time(), start_s, start_s + actions * step_s, step_s))

        def policy(message: PolicyStatus) -> None:
            report = PolicyReport(
                time.time(),
                message.endpoint,
                message.endpoint_changes,
                message.endpoint_reason,
                message.rtt_p50_s,
                message.rtt_p99_s,
            )
            with self._lock:
                self.seen.reports.append(report)

        def control(message: FusionStatus) -> None:
            with self._lock:
                self.seen.ages_s.append((to_seconds(message.header.stamp), message.action_age_s))

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
        node.create_subscription(FusionStatus, "fusion_status", control, qos.status())
        node.create_subscription(TaskStatus, "task_status", task, qos.state())
