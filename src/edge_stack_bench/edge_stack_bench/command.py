# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
`ros2 run edge_stack_bench bench NAME`, and `./edge bench NAME`: runs a benchmark; without a name it lists them.

A benchmark is a module with a main(); only the one that is named is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = {
    "admission": "benchmarks.admission",
    "contention": "benchmarks.contention",
    "faults": "ros.faults",
    "modes": "ros.modes",
    "offload": "ros.offload",
    "policy": "benchmarks.policy",
    "show": "benchmarks.show",
    "stack": "benchmarks.stack",
    "thermal": "benchmarks.thermal",
    "tick": "ros.tick",
    "transport": "ros.transport",
}
# Names of earlier versions.
RENAMED = {"gate": "admission"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a benchmark and return its exit code; 2 if there is none of that name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: edge bench NAME [arguments]; ./edge bench NAME --help says more\n")
        print("\n".join(f"  {name:14}{_what(module)}" for name, module in BENCHMARKS.items()))
        return 0
    if arguments[0] in RENAMED:
        print(f"bench: {arguments[0]} is now {RENAMED[arguments[0]]}", file=sys.stderr)
        return 2
    module = BENCHMARKS.get(arguments[0])
    if module is None:
        print(
            f"bench: there is no benchmark {arguments[0]}; there are {', '.join(BENCHMARKS)}", file=sys.stderr
        )
        return 2
    code: int = importlib.import_module(f"edge_stack_bench.{module}").main(arguments[1:])
    return code


def _what(module: str) -> str:
    """Return the first sentence of a benchmark's docstring, without importing what it imports."""
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    first = re.search(r'"""\s*(.+?)(?:\n|""")', file.read_text(encoding="utf-8"))
    return first[1] if first else ""


if __name__ == "__main__":
    sys.exit(main())
