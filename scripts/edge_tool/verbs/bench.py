# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge bench NAME`: a benchmark of edge_stack_bench.benchmarks; the arguments after the name are its own."""

from __future__ import annotations

import re

from edge_tool import execution
from edge_tool.terminal import EdgeError
from edge_tool.workspace import Workspace


def run(workspace: Workspace, arguments: list[str]) -> int:
    """Become a benchmark, or list them."""
    names = _names(workspace)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: edge bench NAME [arguments]; ./edge bench NAME --help says more\n")
        print("\n".join(f"  {name:14}{what}" for name, what in names.items()))
        return 0
    if arguments[0] not in names:
        raise EdgeError(f"there is no benchmark {arguments[0]}; there are {', '.join(names)}", code=2)
    return execution.become_module(workspace, f"edge_stack_bench.benchmarks.{arguments[0]}", arguments[1:])


def _names(workspace: Workspace) -> dict[str, str]:
    """Return every benchmark (a module that can be run) with the first line of its docstring."""
    found = {}
    for path in sorted((workspace.src / "edge_stack" / "edge_stack" / "bench").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text:
            first = re.search(r'"""\s*(.+?)(?:\n|""")', text)
            found[path.stem] = first[1] if first else ""
    return found
