# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes of a stack make of a board: how busy they keep its GPU and cores, and how much memory they take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_stack_sim.board.plant import Load

FORGET_S = 2.0  # a node that was not heard for so long does not run


@dataclass(frozen=True, slots=True)
class _Share:
    heard_s: float
    gpu: float
    cores: float
    memory_mb: float


class StackLoad:
    """Gathers statuses of nodes. others: names of nodes that run elsewhere."""

    def __init__(self, others: Collection[str] = ()) -> None:
        """Know of no node."""
        self._others = frozenset(others)
        self._shares: dict[str, _Share] = {}

    def take(
        self, now_s: float, name: str, *, rate_hz: float, inference_s: float, cores: float, memory_mb: float
    ) -> None:
        """Take one status. cores: processor time that the node uses, in cores."""
        if name.rsplit("/", 1)[-1] in self._others:
            return
        gpu = max(0.0, rate_hz) * max(0.0, inference_s)
        # Where the models run on this machine's cores, their time is the board's GPU's and not its cores'.
        self._shares[name] = _Share(now_s, gpu, max(0.0, cores - gpu), max(0.0, memory_mb))

    def now(self, now_s: float, cores: int, gpu_scale: float = 1.0) -> tuple[Load, float]:
        """Return the load of a board with that many cores, and the memory that the nodes take, MiB."""
        self._shares = {n: s for n, s in self._shares.items() if now_s - s.heard_s <= FORGET_S}
        shares = self._shares.values()
        gpu = min(1.0, gpu_scale * sum(s.gpu for s in shares))
        cpu = min(1.0, sum(s.cores for s in shares) / cores)
        return Load(cpu=cpu, gpu=gpu), sum(s.memory_mb for s in shares)
