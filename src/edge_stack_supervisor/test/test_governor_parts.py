# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The parts of the governor: the thermal fit, the filling of a budget, memory, and governor.yaml."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_stack_msgs.msg import NodeStatus, StageLatency
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.board.types import BoardState
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import load_config
from edge_stack_supervisor.governor import NodeDemand, load_settings
from edge_stack_supervisor.governor.memory import MemoryGuard
from edge_stack_supervisor.governor.predictive import Share, fill, towards
from edge_stack_supervisor.governor.settings import MemorySettings
from edge_stack_supervisor.governor.thermal_fit import Prior, ThermalFit
from edge_stack_supervisor.ros.governor_messages import demand_of

PRIOR = Prior(30.0, 0.5, 2.0)


@settings(max_examples=8, deadline=None)
@given(
    ambient_c=st.floats(10.0, 45.0),
    chip=st.floats(0.2, 1.5),
    heatsink=st.floats(1.0, 4.0),
    constant_s=st.floats(60.0, 700.0),
)
def test_the_fit_predicts_a_step_of_power_that_it_has_not_seen(
    ambient_c: float, chip: float, heatsink: float, constant_s: float
) -> None:
    rng = np.random.default_rng(0)
    fit = ThermalFit(PRIOR, 900.0)
    slow_w = fast_w = power_w = 6.0
    for second in range(1200):
        if second % 90 == 0:
            power_w = float(rng.uniform(6.0, 18.0))
        fast_w += (1.0 - math.exp(-1.0 / 4.0)) * (power_w - fast_w)
        slow_w += (1.0 - math.exp(-1.0 / constant_s)) * (power_w - slow_w)
        fit.add(ambient_c + chip * fast_w + heatsink * slow_w + float(rng.normal(0.0, 0.2)), power_w, second)
    for horizon_s in (30.0, 120.0):
        after_w = 20.0 + (slow_w - 20.0) * math.exp(-horizon_s / constant_s)
        true_c = ambient_c + chip * 20.0 + heatsink * after_w
        assert fit.temperature_c(20.0, horizon_s) == pytest.approx(true_c, abs=2.0)
        assert fit.most_power_w(fit.temperature_c(20.0, horizon_s), horizon_s) == pytest.approx(20.0)
    assert fit.error_c < 1.5


def test_the_fit_does_not_drift_in_hours_in_which_nothing_happens() -> None:
    fit = ThermalFit(PRIOR, 300.0)
    for second in range(4000):
        fit.add(60.0, 10.0, float(second))
    assert fit.temperature_c(10.0, 60.0) == pytest.approx(60.0, abs=0.2)
    assert 60.5 < fit.temperature_c(12.0, 600.0) < 75.0


def test_the_fit_starts_anew_after_a_gap() -> None:
    fit = ThermalFit(PRIOR, 300.0)
    for second in range(100):
        fit.add(60.0, 10.0, float(second))
    assert fit.age_s == 99.0
    fit.add(60.0, 10.0, 1000.0)
    assert fit.age_s == 0.0
    assert math.isinf(fit.error_c)


members = st.lists(
    st.tuples(st.floats(0.0, 0.05), st.floats(0.01, 0.3), st.floats(0.2, 5.0)), min_size=1, max_size=6
)


@settings(deadline=None)
@given(background=members, essential=members, may_use=st.floats(0.0, 2.0))
def test_a_budget_is_filled_essential_first_and_never_overdrawn(
    background: list[tuple[float, float, float]],
    essential: list[tuple[float, float, float]],
    may_use: float,
) -> None:
    shares = {
        "background": [Share(f"b{i}", *entry) for i, entry in enumerate(background)],
        "essential": [Share(f"e{i}", *entry) for i, entry in enumerate(essential)],
    }
    every = [s for group in shares.values() for s in group]
    fractions = fill(shares, may_use)
    assert all(0.0 <= f <= 1.0 for f in fractions.values())
    use = sum(s.floor + fractions[s.name] * s.above for s in every)
    assert use <= max(may_use, sum(s.floor for s in every)) + 1e-6
    if any(fractions[s.name] < 1.0 - 1e-6 for s in shares["essential"]):
        assert all(fractions[s.name] <= 1e-6 for s in shares["background"])
    full = {s.name: 1.0 for s in every}
    new = towards(full, fractions, shares, may_use)
    assert all(new[name] == pytest.approx(fractions[name]) for name in new if new[name] != 1.0)
    assert (
        sum(s.floor + new[s.name] * s.above for s in every)
        <= max(may_use, sum(s.floor for s in every)) + 1e-6
    )


def test_work_that_is_worth_more_gets_more_and_the_cheaper_of_equals_more_often() -> None:
    shares = {
        "essential": [],
        "background": [
            Share("dear", 0.0, 0.2, 1.0),
            Share("cheap", 0.0, 0.1, 1.0),
            Share("worth", 0.0, 0.2, 3.0),
        ],
    }
    fractions = fill(shares, 0.25)
    assert fractions["cheap"] > fractions["dear"]
    assert fractions["worth"] > fractions["dear"]


SIZES = (
    NodeDemand("policy", "critical", 24.0, memory_mb=2000.0),
    NodeDemand("detect", "essential", 5.0, memory_mb=1500.0),
    NodeDemand("small", "background", 5.0, memory_mb=200.0),
    NodeDemand("large", "background", 5.0, memory_mb=900.0),
)


def available(mb: float, pressure: float = 0.0, lost: tuple[str, ...] = ()) -> BoardState:
    return BoardState(0.0, "test", memory_available_mb=mb, memory_pressure=pressure, lost=lost)


def test_the_largest_background_node_goes_first_then_the_next_and_nothing_else() -> None:
    guard = MemoryGuard(MemorySettings(low_mb=400.0, settle_s=5.0), {})
    guard.update(available(300.0), SIZES, 0.0)
    assert set(guard.off) == {"large"}
    guard.update(available(300.0), SIZES, 4.0)
    assert set(guard.off) == {"large"}
    for now_s in range(5, 100, 5):
        guard.update(available(300.0), SIZES, float(now_s))
    assert set(guard.off) == {"large", "small"}
    assert guard.off["large"] == "memory: 300 MiB available, below 400"


def test_memory_that_will_run_out_within_the_horizon_is_freed_before_it_does() -> None:
    guard = MemoryGuard(MemorySettings(low_mb=400.0, horizon_s=20.0), {})
    for second in range(60):
        left_mb = 3000.0 - 60.0 * second
        guard.update(available(left_mb), SIZES, float(second))
        if guard.off:
            break
    assert left_mb > 1000.0
    assert "in 20 s" in guard.off["large"]


def test_a_program_that_starts_while_there_is_plenty_is_no_shortage() -> None:
    guard = MemoryGuard(MemorySettings(), {})
    for second in range(12):
        guard.update(available(8000.0 - 450.0 * second), SIZES, float(second))
    for second in range(12, 30):
        guard.update(available(2600.0), SIZES, float(second))
    assert guard.off == {}


def test_a_pinned_node_is_not_cleaned_up_and_comes_back_when_it_is_pinned() -> None:
    guard = MemoryGuard(MemorySettings(low_mb=400.0, settle_s=5.0), {})
    guard.update(available(300.0), SIZES, 0.0)
    pinned = [replace(node, pinned=node.name == "large") for node in SIZES]
    guard.update(available(300.0), pinned, 5.0)
    assert set(guard.off) == {"small"}


def test_what_a_former_guard_switched_off_stays_off_until_there_is_room() -> None:
    guard = MemoryGuard(MemorySettings(low_mb=400.0, back_mb=600.0, back_after_s=30.0), {})
    guard.keep_off({"small": "memory: before"})
    guard.update(available(700.0), SIZES, 0.0)
    guard.update(available(700.0), SIZES, 60.0)
    assert guard.off == {"small": "memory: before"}
    for now_s in (61.0, 91.0):
        guard.update(available(3000.0), SIZES, now_s)
    assert guard.off == {}


def test_stalls_of_tasks_free_memory_too() -> None:
    guard = MemoryGuard(MemorySettings(pressure=0.3), {})
    guard.update(available(3000.0, pressure=0.5), SIZES, 0.0)
    assert "wait for it 50% of the time" in guard.off["large"]


def test_a_node_comes_back_only_when_there_has_been_room_for_it_for_a_while() -> None:
    guard = MemoryGuard(MemorySettings(low_mb=400.0, back_mb=600.0, back_after_s=30.0), {})
    guard.update(available(300.0), SIZES, 0.0)
    for now_s in range(10, 110):
        guard.update(available(1400.0), SIZES, float(now_s))  # it held 900, and 600 must be left
    assert set(guard.off) == {"large"}
    guard.update(available(2000.0), SIZES, 110.0)
    guard.update(available(2000.0, lost=("meminfo",)), SIZES, 125.0)
    guard.update(available(2000.0), SIZES, 130.0)
    guard.update(available(2000.0), SIZES, 159.0)
    assert set(guard.off) == {"large"}
    guard.update(available(2000.0), SIZES, 160.0)
    assert guard.off == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("limit_c: hot", "governor.yaml:1: limit_c"),
        ("max_changes_per_minute: 1", "governor.yaml:1: max_changes_per_minute"),
        ("table: {signals: {heat: {raise: 1, lower: 2}}}", "heat is not"),
        (
            "table: {signals: {power: {raise: 2, lower: 1}}}",
            "table.signals.power: must be raise < lower <= urgent",
        ),
        ("table: {steps: [0.5]}", "table.steps: must fall from below 1 to 0"),
        ("table: {steps: [0.0, 0.5]}", "table.steps: must fall from below 1 to 0"),
        ("memory: {low_mb: 500, back_mb: 400}", "memory.back_mb: must be above low_mb (500)"),
    ],
)
def test_a_mistake_in_governor_yaml_is_named_with_line_and_field(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "governor.yaml"
    file.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load_settings(file)
    assert complaint in str(error.value) or "heat: is not a known field" in str(error.value)


def test_the_power_budget_comes_from_the_file_or_from_the_board(tmp_path: Path) -> None:
    board = BoardState(0.0, "test", power_budget_w=25.0)
    assert load_settings().budget_w(board) == 25.0
    by_name = replace(board, power_budget_w=None, power_mode="MODE_15W_6CORE")
    assert load_settings().budget_w(by_name) == 15.0
    assert load_settings().budget_w(replace(by_name, power_mode="MAXN")) is None
    file = tmp_path / "governor.yaml"
    file.write_text("power_budget_w: 12.5\n", encoding="utf-8")
    assert load_settings(file).budget_w(board) == 12.5


@pytest.mark.parametrize(
    ("power_w", "limit_w", "budget_w", "signal"),
    [
        (8.6, 25.0, 25.0, 0.0),  # edges, of which some boards count 30 a second far below their limit
        (22.0, 25.0, 25.0, 8.0),
        (22.0, None, 25.0, 8.0),
        (8.6, None, None, None),
        (None, 25.0, 25.0, None),
    ],
)
def test_over_current_counts_near_the_limit_alone(
    power_w: float | None, limit_w: float | None, budget_w: float | None, signal: float | None
) -> None:
    board = BoardState(
        0.0,
        "test",
        total_power_w=power_w,
        power_limit_w=limit_w,
        power_budget_w=budget_w,
        over_current_per_s=8.0,
    )
    assert load_settings().signals(board).get("over_current") == signal


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ("class: essential, floor_hz: 2.0", "nodes.eye.floor_hz: needs a rate_hz"),
        (
            "class: essential, rate_hz: 5.0, floor_hz: 6.0",
            "nodes.eye.floor_hz: needs a rate_hz, and is not above",
        ),
        (
            "class: critical, rate_hz: 5.0, floor_hz: 2.0",
            "nodes.eye.floor_hz: a critical node is never slowed down",
        ),
        ("class: critical, variants: [{model: a}]", "nodes.eye.variants: a critical node keeps its model"),
        ("class: background, variants: [{model: a}]", "nodes.eye.variants.0: model must be among the node's"),
    ],
)
def test_a_floor_or_variant_that_cannot_work_is_named(tmp_path: Path, fields: str, complaint: str) -> None:
    (tmp_path / "robots").mkdir()
    (tmp_path / "robots" / "toy.yaml").touch()
    file = tmp_path / "robot.yaml"
    file.write_text(
        f"robot: toy\nnodes:\n  eye: {{package: edge_stack_core, executable: toy, {fields}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError) as error:
        load_config(file)
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("target_hz", "p99_ms", "misses"),
    [(5.0, 150.0, 7), (5.0, 3000.0, None), (0.0, 3000.0, 7), (5.0, math.nan, 7)],
)
def test_a_node_whose_inference_is_longer_than_its_period_misses_by_itself(
    tmp_path: Path, target_hz: float, p99_ms: float, misses: int | None
) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(
        "robot: so101_sim\nnodes:\n  policy: {package: edge_stack_policy, executable: policy, class: critical}\n",
        encoding="utf-8",
    )
    (node,) = load_config(file).nodes
    status = NodeStatus(name="/policy", deadline_misses=7, target_hz=target_hz)
    status.stages = [StageLatency(name="inference", p50_ms=15.0, p99_ms=p99_ms)]
    assert demand_of(node, "critical", None, status, {}).deadline_misses == misses
