# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Declares the end of a run, with which a requested stop ends: once every fusion process has ended in good order.

What a supervisor remembers for its next process ends with it too. Its unit is one fusion node with its standby, or one
supervisor. Only who ends the whole stack calls it; a process that is killed, or ended by anybody else, leaves its run
unended, and the next one goes on with its stop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from edge_stack_core.runtime.run_state import RunFiles, end_run, supervisor_file
from edge_stack_core.stack_config import NodeConfig

_FUSION = ("edge_stack_control", "fusion")
_SUPERVISOR = ("edge_stack_supervisor", "supervisor")


def is_fusion(node: NodeConfig) -> bool:
    """Return whether a node commands the robot, or stands by to."""
    return (node.package, node.executable) == _FUSION


def ends_with_launch(node: NodeConfig) -> bool:
    """Return whether a node keeps something that ends with the orderly end of the whole stack."""
    return is_fusion(node) or _is_supervisor(node)


def _is_supervisor(node: NodeConfig) -> bool:
    return (node.package, node.executable) == _SUPERVISOR


def end_runs(nodes: Iterable[NodeConfig], namespace: str, codes: Mapping[str, int | None]) -> list[str]:
    """
    Declare the end of the run of each fusion node that ended with its standby in good order; return those of which not.

    codes: how each node's process ended last; 0 is good order. A node that is not there was never started.
    """
    nodes = [node for node in nodes if node.name in codes]
    for node in nodes:
        if _is_supervisor(node) and codes[node.name] == 0:
            with contextlib.suppress(OSError):
                supervisor_file(_full_name(namespace, node)).unlink()
    processes = [node for node in nodes if is_fusion(node)]
    left = []
    for principal in processes:
        if principal.parameters.get("standby_of"):
            continue
        own = [n for n in processes if n is principal or n.parameters.get("standby_of") == principal.name]
        name = _full_name(namespace, principal)
        if any(codes[node.name] != 0 for node in own):
            left.append(name)
            continue
        with contextlib.suppress(
            OSError
        ):  # what cannot be reached is no stop of this run: fusion has said so
            files = RunFiles(name)
            try:
                end_run(files)
            finally:
                files.close()
    return left


def _full_name(namespace: str, node: NodeConfig) -> str:
    return "/".join(("", *(part for part in (namespace.strip("/"), node.name) if part)))
