# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a mode fits the board, and who gets what it frees: memory, and time on each device.

A unit is one question about one mode. Figures are learned from what nodes report, and taken from modes.yaml until they
are; what neither tells counts as nothing, so that nothing is refused on a guess. A mode that asks for no more than the
one before it is never refused: giving way must always be possible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from edge_stack_supervisor.modes.types import CLASSES, Mode, ModeFigures, ModesConfig, NodeTarget
from edge_stack_supervisor.supervision import NodeState

_UP = (NodeState.ACTIVE, NodeState.INACTIVE)  # in both the models are in memory


class Needs:
    """What is known of every node's needs."""

    def __init__(self, config: ModesConfig) -> None:
        """Start with what modes.yaml declares."""
        self._config = config
        self._figures = {name: config.figures.get(name, ModeFigures()) for name in config.base}
        self._bare_mb: dict[str, float] = {}  # resident memory before configure, by node

    def figures(self, name: str) -> ModeFigures:
        """Return what is known of a node."""
        return self._figures[name]

    def observe(
        self,
        name: str,
        state: NodeState,
        rss_mb: float,
        inference_ms: float = math.nan,
        rate_hz: float = math.nan,
    ) -> None:
        """Learn from a status: resident memory, MiB; time of one inference, ms; measured rate, Hz; NaN where unknown."""
        figures = self._figures.get(name)
        if figures is None:
            return
        if state is NodeState.UNCONFIGURED and rss_mb > 0.0:
            # The least: what is left after a cleanup is not what the models take either.
            self._bare_mb[name] = min(rss_mb, self._bare_mb.get(name, math.inf))
        if state in _UP and name in self._bare_mb:
            figures = replace(figures, memory_mb=max(0.0, rss_mb - self._bare_mb[name]))
        if state is NodeState.ACTIVE and inference_ms > 0.0:
            figures = replace(figures, duration_s=inference_ms * 1e-3)
            if self._config.base[name].rate_hz is None and rate_hz > 0.0:
                figures = replace(figures, rate_hz=rate_hz)
        self._figures[name] = figures

    # ---- memory

    def memory_refusal(
        self, present: Mapping[str, NodeTarget], mode: Mode, available_mb: float | None
    ) -> str:
        """Say, with the figures, why a mode does not fit the memory; empty if it does. None: the board does not tell."""
        if available_mb is None:
            return ""
        comes = {
            n: self._memory_mb(n)
            for n, t in mode.nodes.items()
            if t.state in _UP and present[n].state not in _UP
        }
        goes = {
            n: self._memory_mb(n)
            for n, t in present.items()
            if t.state in _UP and mode.nodes[n].state not in _UP
        }
        need_mb, freed_mb = sum(comes.values()), sum(goes.values())
        left_mb = available_mb + freed_mb - need_mb
        reserve_mb = self._config.memory_reserve_mb
        if need_mb <= freed_mb or left_mb >= reserve_mb:
            return ""
        return (
            f"mode {mode.name} does not fit the memory: {_sum(comes, 'MiB')} come, {_sum(goes, 'MiB')} go, "
            f"{available_mb:.0f} MiB are available: {left_mb:.0f} MiB would be left of the {reserve_mb:.0f} to keep free"
        )

    def _memory_mb(self, name: str) -> float:
        return self._figures[name].memory_mb or 0.0

    # ---- time

    def slack_refusal(self, present: Mapping[str, NodeTarget], mode: Mode) -> str:
        """
        Say, with the figures, why a mode does not fit the time that critical work leaves; empty if it does.

        One that asks for no more than the start mode fits: that is what was configured, and the times were learned on a
        machine that may have been busy with something else.
        """
        start = self._config.modes[self._config.start].nodes
        for device in sorted(set(self._config.devices.values())):
            critical, others = self._loads(mode.nodes, device)
            slack = max(0.0, 1.0 - sum(critical.values()))
            limit = self._config.slack_share * slack
            before = max(
                sum(load for loads in self._loads(targets, device) for load in loads.values())
                for targets in (present, start)
            )
            wanted = sum(others.values())
            if wanted <= limit + 1e-9 or wanted + sum(critical.values()) <= before + 1e-9:
                continue
            shares = {name: 100.0 * load for name, load in others.items()}
            return (
                f"mode {mode.name} does not fit {device}: {_sum(shares, '%')} are wanted of {100.0 * limit:.0f} %, "
                f"which is {self._config.slack_share:g} of the slack that {', '.join(critical) or 'nobody critical'} leaves"
            )
        return ""

    def shared(self, mode: Mode) -> dict[str, float]:
        """
        Return the rates of a mode, Hz, by node; with share_freed, raised by the time that it frees against robot.yaml.

        Freed time goes to active nodes by class, in the order of robot.yaml within one, each up to its max_rate_hz;
        those whose inference time is unknown get none.
        """
        rates = {name: target.rate_hz for name, target in mode.nodes.items() if target.rate_hz is not None}
        if not mode.share_freed:
            return rates
        for device in set(self._config.devices.values()):
            critical, others = self._loads(mode.nodes, device)
            freed = sum(self._loads(self._config.base, device)[1].values()) - sum(others.values())
            limit = self._config.slack_share * max(0.0, 1.0 - sum(critical.values()))
            freed = min(freed, limit - sum(others.values()))
            for name in sorted(others, key=lambda n: -CLASSES.index(mode.nodes[n].priority_class)):
                figures = self._figures[name]
                if name not in rates or not figures.duration_s or figures.max_rate_hz is None or freed <= 0.0:
                    continue
                more_hz = min(figures.max_rate_hz - rates[name], freed / figures.duration_s)
                more_hz = math.floor(100.0 * more_hz + 1e-6) / 100.0  # for readers; never more than was freed
                if more_hz > 0.0:
                    rates[name] += more_hz
                    freed -= more_hz * figures.duration_s
        return rates

    def _loads(
        self, targets: Mapping[str, NodeTarget], device: str
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the share of a device's time of each active node: critical ones, and all others."""
        critical: dict[str, float] = {}
        others: dict[str, float] = {}
        for name, target in targets.items():
            if target.state is not NodeState.ACTIVE or self._config.devices.get(name) != device:
                continue
            figures = self._figures[name]
            rate_hz = figures.rate_hz if target.rate_hz is None else target.rate_hz
            load = (rate_hz or 0.0) * (figures.duration_s or 0.0)
            (critical if target.priority_class == "critical" else others)[name] = load
        return critical, others


def _sum(parts: Mapping[str, float], unit: str) -> str:
    total = sum(parts.values())
    terms = " + ".join(f"{name} {value:.0f}" for name, value in parts.items())
    return f"{total:.0f} {unit}" + (f" ({terms})" if parts else "")
