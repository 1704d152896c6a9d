# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""governor.yaml as data: limits, the table, the predictive controller, memory and variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_stack_core.board.limits import mode_budget_w
from edge_stack_core.board.types import BoardState
from edge_stack_core.package_files import share_folder
from edge_stack_core.yaml_file import YamlFile, load_yaml

_SCHEMA = Path(__file__).parents[1] / "schema" / "governor.schema.json"

BELOW_THROTTLE_C = 1.0
# Over-current events count from this share of the limit on: they are edges, which some boards count at a third of it.
NEAR_LIMIT = 0.85


@dataclass(frozen=True)
class Threshold:
    """
    One signal of the table, larger = worse.

    Above lower, rates go down step by step; above urgent, all at once; below raise_ they may come up; between, they
    stay.
    """

    raise_: float
    lower: float
    urgent: float = float("inf")


@dataclass(frozen=True)
class TableSettings:
    """The table: its signals, its steps (fractions of a node's range), and how long it waits between changes, s."""

    signals: Mapping[str, Threshold] = field(default_factory=dict)
    steps: tuple[float, ...] = (0.75, 0.5, 0.25, 0.0)
    lower_every_s: float = 10.0
    raise_after_s: float = 30.0
    raise_every_s: float = 20.0
    lost_fraction: float = 0.5


@dataclass(frozen=True)
class PredictiveSettings:
    """The predictive controller; docs/governor.md explains each."""

    margin_c: float = 4.0
    horizon_s: float = 60.0
    decide_every_s: float = 20.0
    deadband: float = 0.03
    trust_error_c: float = 1.5
    trust_after_s: float = 60.0
    forgetting_s: float = 900.0
    ambient_c: float = 30.0
    junction_c_per_w: float = 0.5
    heatsink_c_per_w: float = 2.0
    full_use_w: float = 8.0


@dataclass(frozen=True)
class MemorySettings:
    """When background nodes are cleaned up to free memory, and when they come back; docs/governor.md explains each."""

    low_mb: float = 400.0
    horizon_s: float = 20.0
    trend_below_mb: float = 2000.0
    pressure: float = 0.3
    settle_s: float = 5.0
    back_mb: float = 600.0
    back_after_s: float = 30.0


@dataclass(frozen=True)
class VariantSettings:
    """When a node that has smaller variants changes to one, and back."""

    below: float = 0.5
    after_s: float = 30.0
    back_after_s: float = 120.0


@dataclass(frozen=True)
class GovernorSettings:
    """All of governor.yaml."""

    limit_c: float | None = None
    power_budget_w: float | None = None
    max_changes_per_minute: int = 6
    weights: Mapping[str, float] = field(default_factory=dict)
    table: TableSettings = field(default_factory=TableSettings)
    predictive: PredictiveSettings = field(default_factory=PredictiveSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    variants: VariantSettings = field(default_factory=VariantSettings)

    def limit(self, board: BoardState) -> float | None:
        """Return the hottest that a zone may get: as configured, else just below where the board throttles, else unknown."""
        if self.limit_c is not None:
            return self.limit_c
        throttle_c = board.throttle_temperature_c
        return None if throttle_c is None else throttle_c - BELOW_THROTTLE_C

    def budget_w(self, board: BoardState) -> float | None:
        """Return the power budget: as configured, else what the board tells of its power mode, else by the mode's name."""
        told_w = board.power_budget_w if self.power_budget_w is None else self.power_budget_w
        return mode_budget_w(board.power_mode) if told_w is None else told_w

    def signals(self, board: BoardState) -> dict[str, float]:
        """Return the table's signals of heat, power and memory that a board tells, by name; larger = worse."""
        signals = {}
        limit_c, budget_w = self.limit(board), self.budget_w(board)
        if board.max_temperature_c is not None and limit_c is not None:
            signals["temperature_c"] = board.max_temperature_c - limit_c
        if board.total_power_w is not None and budget_w is not None:
            signals["power"] = board.total_power_w / budget_w
        over_current = self._over_current_per_s(board)
        if over_current is not None:
            signals["over_current"] = over_current
        if board.memory_pressure is not None:
            signals["memory_pressure"] = board.memory_pressure
        return signals

    def _over_current_per_s(self, board: BoardState) -> float | None:
        """Return how often over-current slows the board down near its limit; far below it the counters say nothing."""
        limit_w = board.power_limit_w or self.budget_w(board)
        if board.over_current_per_s is None or board.total_power_w is None or not limit_w:
            return None
        return board.over_current_per_s if board.total_power_w >= NEAR_LIMIT * limit_w else 0.0

    def strained(self, board: BoardState) -> bool:
        """Whether a signal of the board is above where the table gives rates back, or memory below where nodes come back."""
        thresholds = self.table.signals
        above = any(n in thresholds and v >= thresholds[n].raise_ for n, v in self.signals(board).items())
        short = board.memory_available_mb is not None and board.memory_available_mb < self.memory.low_mb
        return above or short or bool(board.throttling) or bool(board.lost)


def default_settings_path() -> Path:
    """Return the shipped governor.yaml."""
    return share_folder("edge_stack_supervisor") / "config" / "governor.yaml"


def load_settings(path: str | Path | None = None) -> GovernorSettings:
    """
    Load a governor.yaml; None for the shipped one. What it leaves out has the defaults of these classes.

    Raises ConfigurationError with file, line and field.
    """
    file = load_yaml(default_settings_path() if path is None else path, _SCHEMA)
    data = dict(file.data)
    parts: dict[str, Any] = {
        "table": _table(file),
        "predictive": PredictiveSettings(**data.pop("predictive", {})),
        "memory": _memory(file),
        "variants": VariantSettings(**data.pop("variants", {})),
    }
    for name in ("table", "memory"):
        data.pop(name, None)
    return GovernorSettings(**{**data, **parts})


def _table(file: YamlFile) -> TableSettings:
    data = dict(file.data.get("table", {}))
    signals = {}
    for name, entry in data.pop("signals", {}).items():
        threshold = Threshold(entry["raise"], entry["lower"], entry.get("urgent", float("inf")))
        if not threshold.raise_ < threshold.lower <= threshold.urgent:
            raise file.error(("table", "signals", name), "must be raise < lower <= urgent")
        signals[name] = threshold
    if "steps" in data:
        data["steps"] = tuple(float(step) for step in data["steps"])
        if sorted(set(data["steps"]), reverse=True) != list(data["steps"]) or data["steps"][-1] != 0.0:
            raise file.error(("table", "steps"), "must fall from below 1 to 0")
    return TableSettings(signals=signals, **data)


def _memory(file: YamlFile) -> MemorySettings:
    settings = MemorySettings(**file.data.get("memory", {}))
    if settings.back_mb <= settings.low_mb:
        raise file.error(("memory", "back_mb"), f"must be above low_mb ({settings.low_mb:g})")
    return settings
