# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
A world for tests of modes: nodes that follow orders after a while, or do not, and a mode machine that gives them.

A unit of work is one step of 0.2 s of simulated time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_stack_supervisor.modes import (
    Mode,
    ModeFigures,
    ModeMachine,
    ModesConfig,
    Needs,
    NodeTarget,
    Seen,
    SwitchOutcome,
    Wave,
)
from edge_stack_supervisor.supervision import NodeState

STEP_S = 0.2
CLASS = {
    "fusion": "critical",
    "policy": "critical",
    "detect": "essential",
    "segment": "background",
    "pose": "background",
}
RATES = {"detect": 5.0, "segment": 5.0, "pose": 5.0}
BASE = {name: NodeTarget(NodeState.ACTIVE, cls, RATES.get(name)) for name, cls in CLASS.items()}
DEFAULTS: dict[str, dict[str, Any]] = {
    name: {"priority_class": cls, "imgsz": 320} for name, cls in CLASS.items()
}


def mode(name: str, changes: dict[str, dict[str, Any]], **options: Any) -> Mode:
    nodes = dict(BASE)
    for node, change in changes.items():
        before = BASE[node]
        nodes[node] = NodeTarget(
            change.get("state", before.state),
            change.get("priority_class", before.priority_class),
            change.get("rate_hz", before.rate_hz),
            change.get("parameters", {}),
        )
    return Mode(name, nodes, **options)


def config(*modes: Mode, **options: Any) -> ModesConfig:
    figures = {"policy": ModeFigures(duration_s=0.02, rate_hz=10.0)}
    options.setdefault("figures", {**{name: ModeFigures() for name in BASE}, **figures})
    return ModesConfig(
        path=Path("modes.yaml"),
        start=modes[0].name,
        modes={m.name: m for m in modes},
        base=BASE,
        devices={name: "cpu" for name in BASE if name != "fusion"},
        timeout_s=5.0,
        **options,
    )


@dataclass
class World:
    """Nodes, their machine, and what was seen of it. stuck: nodes that go nowhere; failing: hooks by their text."""

    config: ModesConfig
    adopted: str = ""
    now_s: float = 100.0
    stuck: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    held_down: set[str] = field(default_factory=set)
    parked: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, NodeState] = field(default_factory=dict)
    states: dict[str, NodeState] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    reloads: list[str] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    outcomes: list[SwitchOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.needs = Needs(self.config)
        self.machine = ModeMachine(self.config, self.needs, DEFAULTS)
        initial = NodeState.ACTIVE if self.adopted else NodeState.UNCONFIGURED
        self.states = dict.fromkeys(BASE, initial)
        self.wanted = dict(self.states)
        self.settings = {name: dict(values) for name, values in DEFAULTS.items()}
        self.machine.begin(self.now_s, self.adopted)

    def seen(self) -> dict[str, Seen]:
        return {
            name: Seen(
                state,
                given_up=name in self.given_up,
                held_down=name in self.held_down,
                message="told to" if name in self.stuck else "",
            )
            for name, state in self.states.items()
        }

    def run(self, duration_s: float = 10.0) -> None:
        for _ in range(round(duration_s / STEP_S)):
            self.step()

    def step(self) -> None:
        self.now_s += STEP_S
        for name, wanted in self.wanted.items():
            if name not in self.stuck and name not in self.given_up:
                self.states[name] = wanted
        outcome = self.machine.step(self.now_s, self.seen(), self._carry_out)
        if outcome is not None:
            self.outcomes.append(outcome)
        if not self.modes or self.modes[-1] != self.machine.mode:
            self.modes.append(self.machine.mode)

    def request(self, target: str, available_mb: float | None = None) -> str:
        return self.machine.request(target, "test", self.now_s, available_mb, self.parked)

    def _carry_out(self, wave: Wave) -> None:
        self.waves.append(wave)
        self.wanted.update(wave.states)
        self.rates.update(wave.rates)
        for name, values in wave.settings.items():
            assert self.states[name] is NodeState.UNCONFIGURED, f"{name} is {self.states[name]}"
            self.settings[name].update(values)
            self.reloads.append(name)
        if wave.hook is not None:
            self.hooks.append(str(wave.hook))
            self.machine.hook_done(self.failing.get(str(wave.hook), ""))
