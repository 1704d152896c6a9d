# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Names of earlier versions that people have in their notes, and where each is now."""

from __future__ import annotations

from collections.abc import Sequence

# The last word of `python -m edge_stack.....` when one package had everything, by the verb that it is now.
VERBS = {"gate": "admission", "segmentation": "split-model"}
MODULES = {
    "edge_stack.board": "./edge board",
    "edge_stack.gate": "./edge admission",
    "edge_stack.segmentation": "./edge split-model",
    "edge_stack.offboard.server": "./edge policy-server",
    "edge_stack.offboard.triton.repository": "./edge triton-repository",
    "edge_stack.policies.lerobot.noise": "python -m edge_stack_policy.lerobot.noise",
    "edge_stack.policies.lerobot.smolvla_offline": "python -m edge_stack_policy.lerobot.smolvla_offline",
    "edge_stack.policies.smolvla.export": "./edge export-policy",
    "edge_stack.tools.demo": "./edge demo",
    "edge_stack.tools.record": "./edge record",
    "edge_stack.tools.record_dataset": "./edge record-dataset",
}


def renamed_module(command: Sequence[str]) -> tuple[str, str] | None:
    """Return the old module of a command `python -m MODULE ...` and what to call now; None for every other command."""
    if "-m" not in command[:-1]:
        return None
    module = command[command.index("-m") + 1]
    if module.startswith("edge_stack.bench."):
        name = module.removeprefix("edge_stack.bench.")
        return module, f"./edge bench {VERBS.get(name, name)}"
    return (module, MODULES[module]) if module in MODULES else None
