# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The thermal benchmark, on a shorter run in a hotter room, which the simulated board feels the sooner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("edge_stack_sim.board")
pytest.importorskip("matplotlib")

from edge_stack_bench.benchmarks import show, thermal
from edge_stack_bench.benchmarks.thermal_stack import StackSimulation
from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor import Allocation, NodeDemand, load_settings, open_governor

SECONDS = 600.0


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thermal")
    path = folder / "thermal.json"
    arguments = ["--json", str(path), "--plot", str(folder / "plot.svg"), "--seconds", str(SECONDS)]
    assert thermal.main([*arguments, "--ambient", "38"]) == 0
    assert (folder / "plot.svg").stat().st_size > 10_000
    return path


def test_without_a_governor_the_board_throttles_and_with_one_it_does_not(result: Path) -> None:
    rows = {row["governor"]: row for row in json.loads(result.read_text())["rows"]}
    assert rows["none"]["throttled_s"] > 100.0
    assert rows["none"]["control_misses"] > 0
    for name in ("table", "predictive"):
        assert rows[name]["throttled_s"] == 0.0
        assert rows[name]["control_misses"] == 0
        assert rows[name]["most_rate_changes_per_minute"] <= 6
        assert rows[name]["max_temp_c"] < 98.0
    assert rows["predictive"]["background_per_s"] > rows["table"]["background_per_s"]
    assert rows["none"]["control_jobs"] == pytest.approx(24.0 * SECONDS, abs=2)


def test_an_orin_in_a_hot_room_gives_up_nothing_below_96_c_and_never_throttles(tmp_path: Path) -> None:
    path = tmp_path / "hour.json"
    assert thermal.main(["--json", str(path), "--governors", "table", "predictive"]) == 0
    rows = {row["governor"]: row for row in json.loads(path.read_text())["rows"]}
    for row in rows.values():
        assert row["throttled_s"] == 0.0
        assert row["control_misses"] == 0
        assert row["max_temp_c"] < 98.5
        assert row["lowered_from_c"] >= 96.0
        assert row["detections_per_s"] >= 9.0  # nine tenths of the essential node's rate
    assert rows["predictive"]["background_per_s"] >= 1.3 * rows["table"]["background_per_s"]


@pytest.mark.parametrize("governor", ["table", "predictive"])
def test_over_current_at_the_budget_is_met_within_15_s_and_forgotten_within_2_minutes(governor: str) -> None:
    """What else the robot draws brings VDD_IN to its budget for two minutes, in a cool room."""
    begins_s, ends_s = 180.0, 300.0
    board = thermal.SimulatedBoard(15.0)
    per_s: list[tuple[float, float]] = []

    class Drawing:
        def step(self, dt_s: float, use: float, inferences_per_s: float) -> tuple[BoardState, float]:
            state, slow = board.step(dt_s, use, inferences_per_s)
            plant = board._plant
            drawn_w = (state.total_power_w or 0.0) - plant.extra_power_w
            begun = begins_s <= state.time_s - began_s < ends_s
            if begun and not plant.extra_power_w:
                plant.extra_power_w = (state.power_budget_w or 0.0) - drawn_w
            elif not begun:
                plant.extra_power_w = 0.0
            per_s.append((state.time_s - began_s, state.over_current_per_s or 0.0))
            return state, slow

    rates: list[tuple[float, dict[str, float]]] = []
    decides = open_governor(governor, load_settings())

    class Recording:
        def update(self, board: BoardState, nodes: Sequence[NodeDemand], now_s: float) -> Allocation:
            allocation = decides.update(board, nodes, now_s)
            rates.append((now_s, dict(allocation.rate_hz)))
            return allocation

    began_s = board._plant.state().time_s
    record = StackSimulation(thermal.MODELS, Drawing(), Recording()).run(ends_s + 121.0)
    full = {model.name: model.wanted_hz for model in thermal.MODELS}
    assert max(rate for t, rate in per_s if begins_s < t < ends_s) > 0.5
    lowered = [t for t, given in rates if given != full]
    assert begins_s < lowered[0] <= begins_s + 15.0
    assert ends_s < lowered[-1] <= ends_s + 120.0
    assert record.control_misses == 0


def test_the_same_seed_gives_the_same_run_and_a_saved_result_is_shown_again(
    result: Path, tmp_path: Path
) -> None:
    rows = json.loads(result.read_text())["rows"]
    again = tmp_path / "again.json"
    thermal.main(
        ["--json", str(again), "--seconds", str(SECONDS), "--ambient", "38", "--governors", "predictive"]
    )
    assert json.loads(again.read_text())["rows"] == [row for row in rows if row["governor"] == "predictive"]
    assert show.main([str(result), "--markdown"]) == 0
