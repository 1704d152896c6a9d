# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Watches the processes of the supervised nodes: notices those that have ended, and ends those that hang.

A unit of work is one tick over all nodes, which costs a few system calls a node as long as all is well. Nodes on another
machine, in another container or of another user are judged by what they say alone, and cannot be ended from here.
"""

from __future__ import annotations

from edge_stack_core.runtime.local_process import LocalProcess, machine
from edge_stack_supervisor.supervision.lifecycle import NodeState
from edge_stack_supervisor.supervision.managed_node import ManagedNode
from edge_stack_supervisor.supervision.stack import StackSupervision
from edge_stack_supervisor.supervision.types import NodeFault

# If no node at all was heard for so long, it may be the supervisor that hears nothing, s.
DEAF_S = 1.0


class ProcessWatch:
    """The processes of the nodes of one stack."""

    def __init__(self, supervision: StackSupervision) -> None:
        """Know no process yet."""
        self._supervision = supervision
        self._processes: dict[str, tuple[tuple[int, int], LocalProcess | None]] = {}

    def tick(self, now_s: float) -> list[str]:
        """Look at every process; return what was noticed and done, one sentence each, for the log."""
        nodes = self._supervision.nodes
        heard_s = max((node.seen_s for node in nodes.values()), default=now_s)
        notes = []
        for name, node in nodes.items():
            process = self._process_of(name, node)
            if process is not None and process.ended():
                node.died(now_s)
                self._forget(name)
                notes.append(f"{name}: its process {process.pid} has ended")
                continue
            if process is not None:
                for thread_id in node.vitals.suspects(now_s):
                    node.vitals.look(thread_id, process.look(thread_id), now_s)
            if node.state is NodeState.MISSING:
                continue
            hang = node.vitals.judge(now_s, deaf=len(nodes) < 2 or now_s - heard_s > DEAF_S)
            if hang is not None and hang.kill:
                notes += self._end(name, node, process, NodeFault.HUNG, f"hung: {hang.text}", now_s)
            elif node.to_kill:
                notes += self._end(name, node, process, NodeFault.WRONG_OUTPUT, node.to_kill, now_s)
            elif hang is not None:
                news = node.fault is not NodeFault.HUNG
                node.befall(NodeFault.HUNG, f"hung: {hang.text}", now_s)
                notes += [f"{name}: {node.fault_text}"] if news else []
        return notes

    def close(self) -> None:
        """Let go of all processes."""
        for name in list(self._processes):
            self._forget(name)

    def _end(
        self,
        name: str,
        node: ManagedNode,
        process: LocalProcess | None,
        fault: NodeFault,
        text: str,
        now_s: float,
    ) -> list[str]:
        """End a process by force; what has no process here is only said."""
        refusal = "it is not of this machine and user" if process is None else process.kill()
        if not refusal:
            node.died(now_s, text, fault)
            self._forget(name)
            return [f"{name}: {text}; its process is ended by force"]
        said = f"{text}; it cannot be ended from here: {refusal}"
        news = node.fault is not fault or not node.to_kill
        node.befall(fault, said, now_s)
        node.to_kill = text if fault is NodeFault.WRONG_OUTPUT else ""
        return [f"{name}: {said}"] if news else []

    def _process_of(self, name: str, node: ManagedNode) -> LocalProcess | None:
        """Return the process that a node's last report came from, if it is of this machine and user."""
        report = node.report
        if (
            report is None
            or node.state is NodeState.MISSING
            or not report.machine
            or report.machine != machine()
        ):
            return None
        known = self._processes.get(name)
        if known is None or known[0] != report.process:
            self._forget(name)
            try:
                process = LocalProcess(report.pid, report.started_ticks)
            except OSError:
                process = None
            known = self._processes[name] = report.process, process
        return known[1]

    def _forget(self, name: str) -> None:
        known = self._processes.pop(name, None)
        if known is not None and known[1] is not None:
            known[1].close()
