# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The supervisor's board: reads heat, power and memory once a second, asks the governor, and sets the nodes' rates.

A unit of work is one reading. The reading happens in a thread of its own, because a source may hang; the governor and all
that follows in step(). What a node gets is the smaller of what its mode and the governor allow, and is said with its reason.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_stack_msgs.msg import BoardState as BoardStateMessage
from edge_stack_msgs.msg import GovernorState

from edge_stack_core.board.clocks import CpuClock
from edge_stack_core.board.files import BoardFiles
from edge_stack_core.board.limits import UNKNOWN, find_board, load_limits
from edge_stack_core.board.reader import READERS, BoardReader, open_reader
from edge_stack_core.board.types import BoardState
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.ros import qos
from edge_stack_core.ros.base import DIAGNOSTICS_PERIOD_S
from edge_stack_core.ros.parameters import Parameter
from edge_stack_core.stack_config import NodeConfig
from edge_stack_supervisor.governor import (
    CONTROLLERS,
    Allocation,
    GovernorSettings,
    StackGovernor,
    load_settings,
    open_governor,
)
from edge_stack_supervisor.governor.memory import MEMORY
from edge_stack_supervisor.ros.governor_messages import (
    board_diagnostics,
    board_message,
    demand_of,
    governor_diagnostics,
    governor_message,
)
from edge_stack_supervisor.ros.supervisor_parameters import stack_of
from edge_stack_supervisor.ros.supervisor_part import SupervisingNode, SupervisorPart
from edge_stack_supervisor.supervision import ManagedNode, NodeSpec, NodeState, StackPhase

NONE = "none"
# A reader that has told nothing for so many periods hangs: what it told last counts no more.
SILENT_PERIODS = 4
# Cores that are this busy, at every look for so long, are worth a word. A look is a step of the parts.
BUSY_LOAD, BUSY_S = 0.97, 1.0


class BoardThread:
    """Reads a board in a thread of its own."""

    def __init__(self, reader: BoardReader, period_s: float) -> None:
        """Begin to read."""
        self._reader = reader
        self._period_s = period_s
        self._ended = threading.Event()
        self._latest: BoardState | None = None
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def watch(self, pids: Collection[int]) -> None:
        """Take the processes whose memory is told."""
        self._reader.watch(pids)

    def latest(self, now_s: float) -> BoardState | None:
        """Return the newest reading; None before the first. One that is overdue has lost its source."""
        state = self._latest
        if state is not None and now_s - state.time_s > SILENT_PERIODS * self._period_s:
            return replace(state, time_s=now_s, lost=(*state.lost, self._reader.name))
        return state

    def close(self) -> None:
        """End; a reading that hangs is left behind."""
        self._ended.set()
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._reader.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._latest = self._reader.read(time.monotonic())
            self._ended.wait(self._period_s)


@dataclass(frozen=True)
class _Node:
    """What the files say of a node."""

    config: NodeConfig
    full_name: str


class BoardPart(SupervisorPart):
    """The board and the governor of the supervised stack."""

    PARAMETERS = (
        Parameter("board", "auto", "What reads the board.", choices=READERS),
        Parameter(
            "sysfs_root", "/", "Folder below which the board's files are; simulated: the simulated board."
        ),
        Parameter(
            "board_file",
            "",
            "Limits of the board, by a file or a shipped one's name; empty: those that its device tree names.",
        ),
        Parameter(
            "board_period_s", 1.0, "Time between two readings of the board, s.", minimum=0.1, maximum=10.0
        ),
        Parameter(
            "governor",
            "predictive",
            "What lowers rates for heat, power, memory and time.",
            choices=(NONE, *CONTROLLERS),
            live=True,
        ),
        Parameter("governor_file", "", "The stack's governor.yaml; empty: the shipped one."),
        Parameter(
            "governor_pinned", (), "Names of nodes that the governor leaves alone.", element=str, live=True
        ),
    )

    def __init__(self, node: SupervisingNode) -> None:
        """Have no board yet."""
        super().__init__(node)
        self._settings = GovernorSettings()
        self._nodes: dict[str, _Node] = {}
        self._thread: BoardThread | None = None
        self._governor: StackGovernor | None = None
        self._allocation: Allocation | None = None
        self._decided_s = self._diagnosed_s = -math.inf
        # Of the machine on which the models run, whatever board is read.
        self._cores = CpuClock(BoardFiles())
        self._idle_s = math.inf  # when a core was last seen idle; infinite: nobody looks
        self._said_unknown = False
        self._off: dict[str, str] = {}  # nodes that are cleaned up to free memory, and why
        self._variant: dict[str, int] = {}
        self._governed: set[str] = set()  # nodes whose rates are set here
        self._board_publisher: Any = None
        self._governor_publisher: Any = None

    # ---- lifecycle ------------------------------------------------------------------------------------------------------

    def configure(self, specs: Sequence[NodeSpec]) -> None:
        """Read the files and open the board's reader."""
        p, node = self.node.params, self.node
        self._settings = load_settings(p.governor_file or None)
        stack = stack_of(p)
        by_short = {spec.name.rsplit("/", 1)[-1]: spec.name for spec in specs}
        self._nodes = {
            n.name: _Node(n, by_short[n.name])
            for n in stack.select(sim=p.sim, disabled=p.disabled)
            if n.name in by_short
        }
        # What a former supervisor lowered or cleaned up is adopted with the nodes, and comes back from here.
        self._governed = set(self._nodes)
        managed = {name: node.supervision.nodes[n.full_name] for name, n in self._nodes.items()}
        reasons = {name: m.reasons.get("state", "") for name, m in managed.items()}
        self._off = {name: why for name, why in reasons.items() if why.startswith(MEMORY)}
        self._variant = {name: _variant_of(self._nodes[name].config, m) for name, m in managed.items()}
        self._check_pinned(p.governor_pinned)
        self._board_publisher = node.publisher(BoardStateMessage, "board_state", qos.state())
        self._governor_publisher = node.publisher(GovernorState, "governor_state", qos.state())
        limits = load_limits(find_board(p.board_file)) if p.board_file else None
        self._thread = BoardThread(open_reader(p.sysfs_root, p.board, limits), p.board_period_s)
        self._choose(p.governor)

    def cleanup(self) -> None:
        """Let go of the board."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()
        self._governor = None
        self._allocation = None
        self._off = {}
        self._variant = {}
        self._governed.clear()

    def parameters_changed(self, changed: Mapping[str, Any]) -> None:
        """Take another governor, or other pinned nodes."""
        if "governor_pinned" in changed and self._thread is not None:
            self._check_pinned(changed["governor_pinned"])
        if "governor" in changed:
            self._choose(changed["governor"])

    # ---- work -----------------------------------------------------------------------------------------------------------

    def step(self, now_s: float) -> None:
        """Decide when there is a new reading; hold the nodes to what was decided last."""
        self._keep_off()
        self._watch_cores(now_s)
        thread = self._thread
        state = None if thread is None else thread.latest(now_s)
        self.node.memory_available_mb = None if state is None else state.memory_available_mb
        if thread is None or state is None:
            return
        self._say_what_is_unknown(state)
        if now_s - self._decided_s >= 0.9 * self.node.params.board_period_s:
            self._decided_s = now_s
            self._decide(thread, state, now_s)
        self._apply()

    def _say_what_is_unknown(self, state: BoardState) -> None:
        """Say once of a board that no file knows, and where heat is not governed."""
        if self._said_unknown or state.memory_total_mb is None:  # a simulated board that is not there yet
            return
        self._said_unknown = True
        if not state.board:
            self.node.get_logger().info(
                f"this board is not known ({UNKNOWN}; board_file gives one): what the kernel tells has to do"
            )
        if self._governor is not None and self._settings.limit(state) is None:
            self.node.get_logger().warning(
                "nobody tells where this board throttles: heat lowers no rate until limit_c in governor.yaml, or throttle_c"
                " in a board_file, says how hot it may get"
            )

    def _watch_cores(self, now_s: float) -> None:
        """Count and say that all cores are busy, with other programs too: control is safe from them, perception is not."""
        load = self._cores.load()
        # While nodes come up, their models are what the cores are busy with.
        if load is None or load < BUSY_LOAD or self.node.supervision.phase is not StackPhase.ACTIVE:
            self._idle_s = now_s
        elif now_s - self._idle_s >= BUSY_S and self.node.log_state(
            "every core is busy; models may get less than their rates"
        ):
            self.node.stats.event("board", "cpu_busy")
            self.node.publish_status()

    def _decide(self, thread: BoardThread, state: BoardState, now_s: float) -> None:
        pids = [status.pid for n in self._nodes.values() if (status := self.node.status(n.full_name))]
        thread.watch(pids)
        pinned = self.node.params.governor_pinned
        demands = []
        for name, node in self._nodes.items():
            managed = self.node.supervision.nodes[node.full_name]
            ceiling = self._ceiling(node.full_name)
            if ceiling is NodeState.UNCONFIGURED:
                continue
            # One that a mode keeps inactive does no work, and holds memory all the same.
            wanted_hz = self._wanted_hz(name) if ceiling is NodeState.ACTIVE else 0.0
            demand = demand_of(
                node.config,
                managed.spec.priority_class,
                wanted_hz,
                self.node.status(node.full_name),
                state.memory_by_pid_mb,
            )
            demands.append(replace(demand, pinned=name in pinned))
        if self._governor is not None:
            self._allocation = self._governor.update(state, demands, now_s)
        stamp = self.node.get_clock().now().to_msg()
        self._board_publisher.publish(board_message(state, stamp))
        changes = 0 if self._governor is None else self._governor.rate_changes
        full_names = {name: node.full_name for name, node in self._nodes.items()}
        message = governor_message(self._allocation, demands, pinned, full_names, changes, stamp)
        self._governor_publisher.publish(message)
        if now_s - self._diagnosed_s >= 0.9 * DIAGNOSTICS_PERIOD_S:
            self._diagnosed_s = now_s
            self._publish_diagnostics(state)

    def _publish_diagnostics(self, state: BoardState) -> None:
        name, host = self.node.diagnostic_name, self.node.hardware_id()
        self.node.publish_diagnostics(
            [
                board_diagnostics(name("board_state"), state, host),
                governor_diagnostics(name("governor_state"), self._allocation, host),
            ]
        )

    def _apply(self) -> None:
        """Want of each node the smaller of what its mode and the governor allow."""
        allocation, supervision = self._allocation, self.node.supervision
        if allocation is None:
            return
        for name, rate_hz in allocation.rate_hz.items():
            node = self._nodes[name]
            wanted_hz = self._wanted_hz(name)
            if wanted_hz is None or self._ceiling(node.full_name) is not NodeState.ACTIVE:
                continue
            reason = allocation.reason.get(name, "")
            if reason or name in self._governed:
                supervision.limit_rate(node.full_name, min(wanted_hz, rate_hz), reason)
                self._governed.add(name) if reason else self._governed.discard(name)
            self._apply_variant(name, node, allocation.variant.get(name, 0))
        self._apply_off(allocation)

    def _apply_variant(self, name: str, node: _Node, variant: int) -> None:
        if variant == self._variant.get(name, 0):
            return
        self._variant[name] = variant
        full = {key: node.config.parameters[key] for one in node.config.variants for key in one}
        values = {**full, **(node.config.variants[variant - 1] if variant else {})}
        self.node.get_logger().info(f"{name}: {f'variant {variant}' if variant else 'the full model'}")
        self.node.supervision.want_parameters(node.full_name, values, reconfigure=True)

    def _apply_off(self, allocation: Allocation) -> None:
        before, self._off = self._off, {name: allocation.reason[name] for name in allocation.off}
        for name in self._off.keys() - before.keys():
            self.node.get_logger().warning(f"{name} is cleaned up: {self._off[name]}")
        for name in before.keys() - self._off.keys():
            self.node.get_logger().info(f"{name} comes back: there is memory for it again")
            full_name = self._nodes[name].full_name
            self.node.supervision.want_node(full_name, self._ceiling(full_name))
        self._keep_off()

    def _keep_off(self) -> None:
        """Hold what is off down in every step: a switch of modes may have wanted it up."""
        for name, reason in self._off.items():
            self.node.supervision.want_node(self._nodes[name].full_name, NodeState.UNCONFIGURED, reason)

    # ---- inside ---------------------------------------------------------------------------------------------------------

    def _choose(self, name: str) -> None:
        """Begin with a governor anew; what another one has lowered comes back, what is off for memory once there is some."""
        self._governor = None if name == NONE else open_governor(name, self._settings)
        if self._governor is not None:
            self._governor.keep_off(self._off)
        else:
            wanted = {n: self._wanted_hz(n) for n in self._nodes}
            self._allocation = Allocation({n: hz for n, hz in wanted.items() if hz is not None})
            self._apply()
            self._allocation = None

    def _check_pinned(self, names: Sequence[str]) -> None:
        unknown = sorted(set(names) - set(self._nodes))
        if unknown:
            known = ", ".join(self._nodes)
            raise ConfigurationError(f"governor_pinned: no node is called {unknown[0]}; there are {known}")

    def _ceiling(self, full_name: str) -> NodeState:
        """Return the state that the mode wants of a node."""
        return self.node.ceilings.get(full_name, NodeState.ACTIVE)

    def _wanted_hz(self, name: str) -> float | None:
        """Return the rate that somebody wants of a node by hand, else its mode or the file; None where there is none."""
        managed = self.node.supervision.nodes.get(self._nodes[name].full_name)
        return None if managed is None else managed.wished_hz


def _variant_of(config: NodeConfig, node: ManagedNode) -> int:
    """Return the variant that a former supervisor has set on a node, 0 for the full model."""
    wanted = node.settings.wanted
    matches = [all(wanted.get(key) == value for key, value in one.items()) for one in config.variants]
    return matches.index(True) + 1 if True in matches else 0
