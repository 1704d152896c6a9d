# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What both controllers promise, over random rooms, loads and boards."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from governor_world import LIMIT_C, NODES, World
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.board.types import BoardState
from edge_stack_supervisor.governor import (
    CONTROLLERS,
    GovernorSettings,
    NodeDemand,
    load_settings,
    open_governor,
)

SETTINGS = replace(load_settings(), limit_c=LIMIT_C)
BOTH = pytest.mark.parametrize("controller", sorted(CONTROLLERS))


def world(controller: str, **fields: float) -> World:
    return World(open_governor(controller, SETTINGS), **fields)


boards = st.fixed_dictionaries(
    {
        "ambient_c": st.floats(10.0, 50.0),
        "base_w": st.floats(3.0, 9.0),
        "full_use_w": st.floats(5.0, 20.0),
        "chip_c_per_w": st.floats(0.2, 1.5),
        "heatsink_c_per_w": st.floats(1.0, 4.0),
        "heatsink_s": st.floats(40.0, 900.0),
    }
)


@BOTH
@settings(max_examples=8, deadline=None)
@given(board=boards, later_c=st.floats(10.0, 50.0))
def test_rates_change_at_most_six_times_a_minute_and_in_order_of_priority(
    controller: str, board: dict[str, float], later_c: float
) -> None:
    one = world(controller, **board).run(400)
    one.ambient_c = later_c
    one.run(400)  # World checks the order of priority, floors and critical nodes at every step
    assert one.most_changes_per_minute() <= SETTINGS.max_changes_per_minute


@BOTH
@settings(max_examples=15, deadline=None)
@given(
    readings=st.lists(
        st.builds(
            dict,
            max_temperature_c=st.one_of(st.none(), st.floats(20.0, 110.0)),
            total_power_w=st.one_of(st.none(), st.floats(0.0, 60.0)),
            memory_pressure=st.one_of(st.none(), st.floats(0.0, 1.0)),
            memory_available_mb=st.one_of(st.none(), st.floats(0.0, 8000.0)),
            throttling=st.booleans(),
            power_mode=st.sampled_from((None, "15W", "MAXN_SUPER")),
            lost=st.sampled_from(((), ("thermal",))),
        ),
        min_size=1,
        max_size=12,
    ),
    each_s=st.integers(1, 40),
)
def test_nothing_that_a_board_tells_breaks_the_limits(
    controller: str, readings: list[dict], each_s: int
) -> None:
    one = world(controller)
    for reading in readings:
        for _ in range(each_s):
            one.now_s += 1.0
            one.decide(BoardState(one.now_s, "test", **reading))
    assert one.most_changes_per_minute() <= SETTINGS.max_changes_per_minute


@BOTH
def test_what_is_far_too_hot_is_shed_within_a_minute_and_a_half_for_six_nodes(controller: str) -> None:
    one = world(controller)
    one.decide(BoardState(0.0, "test", max_temperature_c=LIMIT_C + 5.0))
    for _ in range(90):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", max_temperature_c=LIMIT_C + 5.0))
    assert [one.rates[name] for name in ("segment", "pose", "depth")] == [0.0, 0.0, 1.0]
    assert one.history[1][2]["segment"] == 0.0  # at once, as far as changes are left


@BOTH
def test_rates_come_back_by_themselves_when_it_has_cooled_down(controller: str) -> None:
    one = world(controller, ambient_c=45.0, heatsink_c_per_w=3.5).run(1500)
    assert one.rates["segment"] < 8.0
    one.ambient_c = 10.0
    one.run(1500)
    assert one.rates == {node.name: node.wanted_hz for node in NODES}
    assert one.allocations[-1].summary == ""
    assert one.allocations[-1].reason == {}


@BOTH
def test_a_room_that_stays_as_it_is_brings_rates_to_rest(controller: str) -> None:
    one = world(controller, ambient_c=40.0, heatsink_c_per_w=3.2).run(2400)
    last = [t for t in one.changes() if t > one.now_s - 900.0]
    assert one.rates["segment"] < 8.0
    assert len(last) <= 30  # in a quarter of an hour


@BOTH
def test_a_board_that_cannot_be_read_holds_background_at_half(controller: str) -> None:
    one = world(controller).run(120)
    one.state = replace(one.state, lost=("thermal zones",))
    one.run(60)
    assert one.rates["segment"] == 4.0
    assert one.rates["detect"] == 10.0
    assert "thermal zones cannot be read" in one.allocations[-1].reason["segment"]
    one.state = replace(one.state, lost=())
    one.run(240)
    assert one.rates["segment"] == 8.0


@BOTH
def test_nothing_is_given_back_while_all_zones_are_asleep(controller: str) -> None:
    one = world(controller, ambient_c=45.0, heatsink_c_per_w=3.5).run(1500)
    before = dict(one.rates)
    assert before["segment"] < 8.0
    for _ in range(300):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", total_power_w=one.power_w()))
        assert all(one.rates[name] <= before[name] for name in before)
    one.now_s += 1.0
    said = one.decide(BoardState(one.now_s, "test", lost=("temperature",))).summary
    assert "the board's temperature cannot be read" in said


@BOTH
def test_over_current_at_the_budget_lowers_within_15_s_and_all_is_back_within_2_minutes(
    controller: str,
) -> None:
    one = world(controller).run(120)
    full = {node.name: node.wanted_hz for node in NODES}
    assert one.rates == full
    at_limit = {
        "total_power_w": 25.0,
        "power_budget_w": 25.0,
        "power_limit_w": 25.0,
        "over_current_per_s": 3.0,
    }
    for second in range(60):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", max_temperature_c=60.0, **at_limit))
        if second == 14:
            assert one.rates != full
            assert "over-current" in one.allocations[-1].summary
    fine = {**at_limit, "total_power_w": 12.0, "over_current_per_s": 0.0}
    for _ in range(120):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", max_temperature_c=60.0, **fine))
    assert one.rates == full
    # What was over is over: the next time all is back as soon.
    for _ in range(60):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", max_temperature_c=60.0, **at_limit))
    for _ in range(120):
        one.now_s += 1.0
        one.decide(BoardState(one.now_s, "test", max_temperature_c=60.0, **fine))
    assert one.rates == full
    # Edges of which some boards count 30 a second at a third of their limit mean nothing.
    for _ in range(60):
        one.now_s += 1.0
        one.decide(
            BoardState(one.now_s, "test", max_temperature_c=60.0, **{**fine, "over_current_per_s": 30.0})
        )
    assert one.rates == full


@BOTH
def test_heat_lowers_nothing_below_where_the_table_begins(controller: str) -> None:
    one = world(controller, ambient_c=40.0, heatsink_c_per_w=3.2)
    begins_c = LIMIT_C + SETTINGS.table.signals["temperature_c"].lower
    before = {node.name: node.wanted_hz for node in NODES}
    for _ in range(2400):
        one.run(1)
        _, hottest_c, rates = one.history[-1]
        if any(rates[name] < before[name] for name in rates):
            assert hottest_c >= begins_c
        before = rates
    assert max(t for _, t, _ in one.history) < LIMIT_C + 0.5


@BOTH
def test_missed_critical_deadlines_and_late_admission_lower_background(controller: str) -> None:
    one = world(controller).run(120)
    one.nodes = [replace(n, deadline_misses=10) if n.name == "policy" else n for n in NODES]
    one.run(2)
    assert one.rates["depth"] < 4.0
    assert "critical deadlines" in one.allocations[-1].reason["depth"]
    late = world(controller).run(120)
    late.nodes = [replace(n, admission_delay_s=0.08) if n.name == "detect" else n for n in NODES]
    late.run(2)
    assert "admission" in late.allocations[-1].summary


@BOTH
def test_deadlines_that_a_node_misses_by_itself_lower_nobody_nor_count_afterwards(controller: str) -> None:
    one = world(controller).run(120)
    full = dict(one.rates)
    one.nodes = [replace(n, deadline_misses=None) if n.name == "policy" else n for n in NODES]
    one.run(60)
    assert one.rates == full
    one.nodes = [replace(n, deadline_misses=500) if n.name == "policy" else n for n in NODES]
    one.run(60)
    assert one.rates == full


@BOTH
def test_power_above_the_budget_of_the_mode_is_brought_below_it(controller: str) -> None:
    one = world(controller, ambient_c=10.0, heatsink_c_per_w=1.0)
    one.state = replace(one.state, power_mode="15W")
    full_w = one.power_w()
    one.run(900)
    assert full_w > 15.0 > one.power_w() - 0.2
    assert one.power_w() > 11.0


def test_the_predictive_controller_learns_the_board_and_stays_below_the_limit() -> None:
    one = world("predictive", ambient_c=40.0, heatsink_c_per_w=3.2).run(2400)
    assert max(t for _, t, _ in one.history) < LIMIT_C
    assert one.allocations[-1].controller == "predictive"
    recent = [t for _, t, _ in one.history[-600:]]
    assert sum(recent) / len(recent) == pytest.approx(LIMIT_C - SETTINGS.predictive.margin_c, abs=1.0)


def test_the_predictive_controller_does_more_at_the_same_temperature_than_the_table() -> None:
    done, hottest = {}, {}
    for controller in CONTROLLERS:
        one = world(controller, ambient_c=40.0, heatsink_c_per_w=3.2).run(2400)
        done[controller] = sum(r["segment"] + r["pose"] + r["depth"] for _, _, r in one.history)
        hottest[controller] = max(t for _, t, _ in one.history)
    assert done["predictive"] > done["table"]
    assert abs(hottest["predictive"] - hottest["table"]) < 1.5


def test_while_it_knows_too_little_the_table_decides_and_the_reason_says_so() -> None:
    one = world("predictive")
    one.decide(BoardState(0.0, "test", max_temperature_c=LIMIT_C - 1.5, total_power_w=10.0))
    assert one.allocations[-1].controller == "table"
    assert "predictions begin in 60 s" in one.allocations[-1].summary


def test_a_board_that_tells_neither_its_limit_nor_a_configured_one_is_not_governed_by_heat() -> None:
    one = World(open_governor("table", GovernorSettings(table=SETTINGS.table)))
    one.decide(BoardState(0.0, "test", max_temperature_c=120.0))
    assert one.rates["segment"] == 8.0
    one.decide(BoardState(1.0, "test", max_temperature_c=98.0, throttle_temperature_c=99.0))
    assert one.rates["segment"] < 8.0


def test_a_node_held_down_takes_a_smaller_variant_and_gets_its_full_model_back() -> None:
    governor = open_governor("table", SETTINGS)
    nodes = [replace(n, variants=1) if n.name == "segment" else n for n in NODES]
    one = World(governor, nodes)
    for now_s in range(300):
        one.now_s = float(now_s)
        one.decide(BoardState(one.now_s, "test", max_temperature_c=LIMIT_C - 1.5))
    assert one.allocations[-1].variant == {"segment": 1}
    for now_s in range(300, 1500):
        one.now_s = float(now_s)
        one.decide(BoardState(one.now_s, "test", max_temperature_c=50.0))
    assert one.allocations[-1].variant == {"segment": 0}


def test_a_node_with_a_new_rate_keeps_its_share_without_a_counted_change() -> None:
    one = world("table")
    one.decide(BoardState(0.0, "test", max_temperature_c=LIMIT_C + 5.0))
    before = one.governor.rate_changes
    one.nodes = [replace(n, wanted_hz=16.0) if n.name == "segment" else n for n in NODES]
    one.nodes = [*one.nodes, NodeDemand("extra", "background", 5.0)]
    one.rates["extra"] = 0.0
    one.now_s = 1.0
    rates = one.decide(BoardState(1.0, "test", max_temperature_c=LIMIT_C + 5.0)).rate_hz
    assert rates["segment"] == 0.0
    assert rates["extra"] == 0.0
    assert one.governor.rate_changes - before <= 1
    assert not math.isnan(rates["detect"])
