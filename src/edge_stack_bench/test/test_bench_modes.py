# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of modes makes of what it saw, and one switch of a real stack."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks.modes_observe import NodeStates, Switch, rows_of, tour
from edge_stack_bench.benchmarks.views import view_of
from edge_stack_bench.ros import modes as bench
from edge_stack_bench.ros.running import RunningDemo
from edge_stack_core.ros.testing import ros_domain
from edge_stack_core.stack_config import load_config
from edge_stack_supervisor.modes import Mode, NodeTarget
from edge_stack_supervisor.supervision import NodeState

PERIOD_S = 1.0 / 24.0
MODE = Mode(
    "look",
    {
        "detect": NodeTarget(NodeState.ACTIVE, "essential", 5.0),
        "obb": NodeTarget(NodeState.UNCONFIGURED, "background", 5.0),
    },
)


def settled() -> NodeStates:
    places = NodeStates(["detect", "obb"])
    places.stack(1.0, "look", {"detect": 7.0, "obb": 5.0})
    places.node(2.0, "detect", "active", 7.0)
    places.node(3.0, "obb", "unconfigured", 1.0)
    return places


def test_all_are_in_their_place_once_each_says_so_and_since_the_last_one_did() -> None:
    places = settled()
    assert not places.missing(MODE)
    assert places.changed_s == 3.0
    places.node(9.0, "detect", "active", 7.0)
    assert places.changed_s == 3.0, "nothing new was said"


def test_what_is_not_in_its_place_is_named() -> None:
    assert NodeStates(["detect"]).missing(MODE) == ["mode none is in force"]
    places = settled()
    places.node(4.0, "detect", "active", 5.0)
    places.node(4.0, "obb", "inactive", 5.0)
    assert places.missing(MODE) == ["detect is at 5 Hz of 7", "obb is inactive"]
    places.node(4.0, "detect", "inactive", 5.0)
    assert places.missing(MODE)[0] == "detect is inactive"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_tour_does_every_switch_once_before_any_again(count: int) -> None:
    names = "abcd"[:count]
    edges = count * (count - 1)
    walk = list(itertools.pairwise([names[0], *tour(names, 2 * edges)]))
    assert set(walk[:edges]) == set(itertools.permutations(names, 2))
    assert walk[edges:] == walk[:edges]
    assert tour("a", 5) == []


def test_a_row_counts_gaps_late_and_refused_switches() -> None:
    switches = [
        Switch("idle", "a", "b", 0.4, (0.042, 0.041)),
        Switch("idle", "a", "b", 2.5, (0.042, 0.063, 0.090)),
        Switch("idle", "a", "b", None, (0.042,), missing=("obb is inactive",)),
        Switch("idle", "a", "b", None, (0.042,), refused="no memory"),
        Switch("saturated", "a", "b", 0.5, (0.045,)),
    ]
    idle, saturated = rows_of(switches, PERIOD_S)
    assert (idle["n"], idle["over_limit"], idle["late"], idle["refused"]) == (3, 2, 2, 1)
    assert idle["gap_ms"] == {"p50": 42.0, "p99": 90.0, "max": 90.0}
    assert idle["settled_ms"]["max"] == 2500.0
    assert idle["said"] == ["no memory", "obb is inactive"]
    assert (saturated["n"], saturated["over_limit"], saturated["gap_ms"]["max"]) == (1, 0, 45.0)
    view = view_of({"bench": "modes", "limit_ms": 62.5, "notes": [], "rows": [idle, saturated]})
    assert all(len(line) == len(view.columns) for line in view.lines)


def test_a_switch_of_a_real_stack_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "EDGE_STACK_ADMISSION_DIR", str(tmp_path)
    )  # else it meets what other stacks have left there

    def wait_until_up(stack: RunningDemo, for_s: float) -> None:
        """Wait for the stack; on a busy machine it is never without a complaint, as the benchmark wants it."""
        assert stack.wait(lambda: stack.seen._active, 200.0), stack.seen.troubles()

    monkeypatch.setattr(RunningDemo, "wait_until_well", wait_until_up)
    lines = load_config(shipped_config()).path.read_text(encoding="utf-8")
    lines = lines.replace("$config", str(tmp_path / "robot.yaml")).replace(
        "device: cpu", "device: cpu, admission: off"
    )
    lines = lines.replace(
        "policy: smolvla, policy_path: demo, policy_contract: demo",
        "policy: visual_servo, policy_contract: none",
    )
    for name in ("segment", "pose", "obb"):
        lines = lines.replace(f"  {name}:\n", f"  {name}:\n    enabled: false\n")
    (tmp_path / "robot.yaml").write_text(lines, encoding="utf-8")
    (tmp_path / "modes.yaml").write_text(
        "start: all\nmodes:\n  all: {}\n  quiet: {nodes: {classify: {state: inactive}, detect: {rate_hz: 2.0}}}\n",
        encoding="utf-8",
    )
    file = tmp_path / "modes.json"
    with ros_domain():
        arguments = ["--switches", "2", "--pause", "0.3", "--load", "idle", "--json", str(file)]
        bench.main([*arguments, "--config", str(tmp_path / "robot.yaml")])
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["switch"] for row in rows] == ["all -> quiet", "quiet -> all"]
    for row in rows:
        assert row["n"] == 1 and not row["refused"] and not row["said"]
        assert row["gap_ms"]["max"] >= 0.9e3 * PERIOD_S
        assert row["settled_ms"]["max"] > 0.0
