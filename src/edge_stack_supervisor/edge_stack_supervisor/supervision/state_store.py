# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What a supervisor wants of its nodes, in a small file that outlives it, so that its next process adopts them as they are.

A unit of work is one saved or recalled state of the whole stack. What is remembered of a node holds only as long as the
very process lives that it was remembered of: a stack that is started anew begins with its configuration.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from edge_stack_core.runtime.local_process import LocalProcess, machine
from edge_stack_core.runtime.run_state import supervisor_file
from edge_stack_supervisor.supervision.lifecycle import NodeState
from edge_stack_supervisor.supervision.managed_node import ManagedNode
from edge_stack_supervisor.supervision.stack import StackSupervision


class StateStore:
    """The file of one supervisor. Where it cannot be written or read, nothing is remembered."""

    def __init__(self, name: str) -> None:
        """name: full name of the supervisor; another domain or user has another file."""
        self.path = supervisor_file(name)
        self._saved: dict[str, Any] | None = None

    def save(self, supervision: StackSupervision, rates: Mapping[str, float], mode: str = "") -> None:
        """
        Remember what is wanted now; nothing is written while that stays the same.

        rates: wanted rates by parameter. mode: the one in force.
        """
        nodes = {name: _remember(node) for name, node in supervision.nodes.items() if node.report is not None}
        state = {
            "goal": None if supervision.goal is None else int(supervision.goal),
            "nodes": nodes,
            "rates": dict(rates),
            "mode": mode,
        }
        if state == self._saved or not nodes:
            return
        self._saved = state
        with contextlib.suppress(OSError):
            handle, temporary = tempfile.mkstemp(prefix=self.path.name, dir=self.path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(state, file)
                os.replace(temporary, self.path)
            except OSError:  # a full disk, or somebody else's file
                os.unlink(temporary)
                raise

    def recall(self, supervision: StackSupervision, now_s: float) -> tuple[list[str], dict[str, float], str]:
        """
        Want of every node that still runs what was wanted of it.

        Return the nodes' names, wanted rates by parameter, and the mode that was in force (empty if none was).
        """
        try:
            if self.path.lstat().st_uid != os.geteuid():
                return [], {}, ""
            state = json.loads(self.path.read_text(encoding="utf-8"))
            alive = {
                name: entry
                for name, entry in state["nodes"].items()
                if name in supervision.nodes and _lives(entry["process"])
            }
            rates = {name: float(rate_hz) for name, rate_hz in state["rates"].items()}
            mode = str(state["mode"])
            if alive and state["goal"] is not None:
                supervision.adopt(NodeState(state["goal"]), now_s)
            for name, entry in alive.items():
                _recall(supervision.nodes[name], entry)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return [], {}, ""  # none yet, or of another version
        return (list(alive), rates, mode) if alive else ([], {}, "")

    def forget(self) -> None:
        """Remove the file if no node lives that it tells of."""
        nodes = (self._saved or {}).get("nodes", {})
        if not any(_lives(entry["process"]) for entry in nodes.values()):
            with contextlib.suppress(OSError):
                self.path.unlink()


def _remember(node: ManagedNode) -> dict[str, Any]:
    report = node.report
    assert report is not None
    return {
        "process": [report.machine, report.pid, report.started_ticks],
        "own_goal": int(node.own_goal),
        "by_hand": None if node.by_hand is None else int(node.by_hand),
        "reasons": dict(node.reasons),
        "settings": node.settings.remember(),
        "rates": node.remember_rates(),
    }


def _recall(node: ManagedNode, entry: dict[str, Any]) -> None:
    _, pid, started_ticks = entry["process"]
    node.own_goal = NodeState(entry["own_goal"])
    node.by_hand = None if entry["by_hand"] is None else NodeState(entry["by_hand"])
    node.reasons = dict(entry["reasons"])
    node.settings.recall(entry["settings"])
    node.recall_rates(entry["rates"])
    node.recalled = (pid, started_ticks)


def _lives(process: list[Any]) -> bool:
    where, pid, started_ticks = process
    if not where or where != machine():
        return False
    try:
        found = LocalProcess(pid, started_ticks)
    except OSError:
        return False
    ended = found.ended()
    found.close()
    return not ended
