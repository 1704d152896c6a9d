# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Physics of the simulated board: against measurements, what must hold for any load, and what it does when hot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.board.limits import load_limits
from edge_stack_core.package_files import share_folder
from edge_stack_sim.board import OPEN_BENCH, ORIN_NANO_SUPER, Load, Plant, PlantState, inference_duration_s
from edge_stack_sim.board.thermal import NODES, ThermalNetwork

FULL = Load(cpu=1.0, gpu=1.0)
ON_BENCH = replace(ORIN_NANO_SUPER, cooling=OPEN_BENCH)
SHARE = st.floats(0.0, 1.0)
LOADS = st.builds(Load, cpu=SHARE, gpu=SHARE, emc=st.none() | SHARE)
MODES = st.sampled_from(sorted(ORIN_NANO_SUPER.modes))


def with_fan_at(rpm: float) -> Plant:
    """A board in air of 35 C, as in the measurements' closed case; see spec.py, [M]."""
    return Plant(replace(ON_BENCH, fan_curve_rpm=((0.0, rpm), (1.0, rpm))), ambient_c=35.0)


@pytest.mark.parametrize(
    ("mode", "load", "rpm", "watts", "junction_c"),
    [
        ("MAXN_SUPER", Load(0.02, 0.0), 6300.0, 6.6, 45.3),
        ("25W", Load(1.0, 1.0, emc=0.0), 5666.0, 12.8, 57.0),
        ("MAXN_SUPER", Load(1.0, 1.0, emc=0.0), 6000.0, 15.3, 60.0),
        ("MAXN_SUPER", Load(1.0, 1.0, emc=1.0), 6300.0, 20.0, 66.0),
    ],
)
def test_power_and_temperature_are_those_measured_on_a_real_board(
    mode: str, load: Load, rpm: float, watts: float, junction_c: float
) -> None:
    plant = with_fan_at(rpm)
    plant.set_power_mode(mode)
    state = plant.settle(load)
    assert state.power.total_w == pytest.approx(watts, abs=0.8)
    assert state.tj_c == pytest.approx(junction_c, abs=2.0)


def test_rails_are_those_measured_on_a_real_board() -> None:
    fp32 = with_fan_at(6000.0).settle(Load(0.03, 1.0, emc=0.0)).rails_w
    tensor = with_fan_at(6000.0).settle(Load(0.03, 1.0, emc=1.0)).rails_w
    assert list(fp32.values()) == pytest.approx([11.7, 7.5, 1.4], abs=0.5)
    assert list(tensor.values()) == pytest.approx([16.2, 4.2, 5.1], abs=0.8)


def test_modes_use_more_power_and_grow_hotter_in_their_order_within_their_names() -> None:
    states = [Plant(ON_BENCH, power_mode=m).settle(FULL) for m in ("7W", "15W", "25W", "MAXN_SUPER")]
    watts = [s.power.total_w for s in states]
    assert watts == sorted(watts)
    assert [s.tj_c for s in states] == sorted(s.tj_c for s in states)
    # Mode names are what typical work takes; full load of the 7 W mode exceeds it, as it does on real boards.
    assert [w <= limit for w, limit in zip(watts, (10.0, 15.0, 25.0, 25.0))] == [True] * 4
    # On a bench at 25 C nothing comes near the throttle trip.
    assert states[-1].tj_c < 75.0


def test_it_settles_in_about_ten_minutes_as_the_real_one_does() -> None:
    plant = with_fan_at(6000.0)
    state = plant.step(600.0, Load(1.0, 1.0, emc=1.0))
    assert state.tj_c == pytest.approx(plant.settle(Load(1.0, 1.0, emc=1.0)).tj_c, abs=1.5)
    assert with_fan_at(6000.0).step(60.0, Load(1.0, 1.0, emc=1.0)).tj_c < state.tj_c - 5.0


@settings(max_examples=20, deadline=None)
@given(load=LOADS, mode=MODES, ambient=st.floats(-10.0, 45.0))
def test_energy_is_neither_made_nor_lost(load: Load, mode: str, ambient: float) -> None:
    plant = Plant(ambient_c=ambient, power_mode=mode)
    before, lost_j = plant.stored_j(), 0.0
    rest_w = plant.board.cooling.case_heat_w
    dt_s = 0.25
    case_c = plant.state().case_c
    for _ in range(400):
        state = plant.step(dt_s, load)
        lost_j += plant.board.cooling.case_conductance_w_k * (0.5 * (case_c + state.case_c) - ambient) * dt_s
        case_c = state.case_c
    gained_j = state.energy_j + rest_w * state.time_s
    assert plant.stored_j() - before + lost_j == pytest.approx(gained_j, rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(load=LOADS, mode=MODES, ambient=st.floats(-10.0, 30.0), more=st.floats(1.0, 15.0))
def test_a_warmer_room_never_makes_a_cooler_board(load: Load, mode: str, ambient: float, more: float) -> None:
    cool, warm = Plant(ambient_c=ambient, power_mode=mode), Plant(ambient_c=ambient + more, power_mode=mode)
    for _ in range(30):
        a, b = cool.step(20.0, load), warm.step(20.0, load)
        if a.throttling or b.throttling:
            return  # from here on the warmer one does less
        # The faster fan of the warmer one cools it, but never below the cooler one; its loop is 2 s late.
        assert b.tj_c >= a.tj_c - 0.2


@settings(max_examples=15, deadline=None)
@given(load=LOADS, more=LOADS, mode=MODES)
def test_more_load_never_takes_less_power(load: Load, more: Load, mode: str) -> None:
    emc = None if load.emc is None or more.emc is None else max(load.emc, more.emc)
    base = replace(load, emc=None if emc is None else load.emc)
    higher = Load(max(base.cpu, more.cpu), max(base.gpu, more.gpu), emc)
    a, b = Plant(power_mode=mode).step(0.1, base), Plant(power_mode=mode).step(0.1, higher)
    assert b.power.total_w >= a.power.total_w - 1e-9


@settings(max_examples=15, deadline=None)
@given(load=LOADS, steps=st.integers(1, 40))
def test_large_steps_give_what_small_ones_give(load: Load, steps: int) -> None:
    large, small = Plant(ambient_c=30.0), Plant(ambient_c=30.0)
    for _ in range(steps):
        a = large.step(1.0, load)
        for _ in range(20):
            b = small.step(0.05, load)
    assert a.tj_c == pytest.approx(b.tj_c, abs=0.3)
    assert a.energy_j == pytest.approx(b.energy_j, rel=0.01)


def test_the_thermal_step_is_the_solution_of_the_network() -> None:
    network = ThermalNetwork(ORIN_NANO_SUPER, 20.0)
    power = np.array([3.0, 6.0, 4.0, 5.0, 0.0, 4.0])
    network.step(1e6, power, 4000.0, 20.0)
    np.testing.assert_allclose(network.temperatures_c, network.steady_c(power, 4000.0, 20.0), rtol=1e-9)
    assert network.lost_w(20.0) == pytest.approx(power.sum())
    assert len(network.temperatures_c) == len(NODES)


def run_hot(minutes: float, mode: str = "MAXN_SUPER", fan_failed: bool = False) -> list[PlantState]:
    plant = Plant(ambient_c=35.0, power_mode=mode)
    plant.fan_failed = fan_failed
    return [plant.step(1.0, FULL) for _ in range(round(minutes * 60.0))]


def test_at_full_load_in_a_robot_at_35_c_it_throttles_at_its_trip_and_goes_no_hotter() -> None:
    states = run_hot(60.0)
    first = next(s for s in states if s.throttling)
    assert first.time_s > 600.0
    assert first.tj_c == pytest.approx(99.0, abs=0.5)
    hot = states[states.index(first) :]
    assert max(s.tj_c for s in hot) < 100.5
    assert min(s.gpu_hz for s in hot) < 0.85 * ORIN_NANO_SUPER.gpu_steps_hz[-1]
    assert not hot[-1].shut_down
    assert inference_duration_s(0.1, min(hot, key=lambda s: s.gpu_hz)) > 0.115


def test_in_its_15_w_mode_it_does_not_throttle_there() -> None:
    assert not any(s.throttling for s in run_hot(60.0, "15W"))


def test_a_failed_fan_heats_it_and_throttling_keeps_it_alive() -> None:
    plant = Plant(ambient_c=25.0)
    light = Load(0.3, 0.3)
    before = plant.settle(light)
    plant.fan_failed = True
    after = plant.settle(light)
    assert after.tj_c > before.tj_c + 10.0
    assert (after.fan_rpm, after.fan_pwm > before.fan_pwm) == (0.0, True)
    assert not after.shut_down


def test_clocks_come_back_when_it_cools() -> None:
    plant = Plant(ambient_c=35.0)
    while not plant.step(1.0, FULL).throttling:
        pass
    state = plant.step(60.0, Load())
    assert (state.throttling, state.gpu_hz) == (False, 1020e6)


def test_too_much_heat_shuts_it_down_for_good() -> None:
    plant = Plant(ambient_c=60.0)
    plant.fan_failed = True
    plant.extra_power_w = 20.0
    state = plant.step(3600.0, FULL)
    assert state.shut_down
    assert state.power.total_w == 0.0
    assert inference_duration_s(0.1, state) == math.inf
    plant.ambient_c = 10.0
    assert plant.step(3600.0, FULL).shut_down


def test_over_current_is_counted_near_the_limit_and_no_clock_shows_it() -> None:
    plant = Plant(ON_BENCH)
    far = plant.step(20.0, FULL)
    assert far.power.total_w < 0.85 * ORIN_NANO_SUPER.input_limit_w
    assert far.over_current_per_s == 0.0
    plant.extra_power_w = ORIN_NANO_SUPER.input_limit_w - far.power.total_w
    state = plant.step(20.0, FULL)
    assert 5.0 < state.over_current_per_s <= 31.0
    assert state.gpu_hz == 1020e6
    plant.extra_power_w += 3.0
    above = plant.step(20.0, FULL)
    assert above.average_over_current_events >= state.average_over_current_events + 19
    plant.extra_power_w = 0.0
    plant.step(5.0, FULL)
    events = plant.state().board_state().over_current_events
    assert plant.step(60.0, FULL).board_state().over_current_events == events
    assert plant.state().over_current_per_s == 0.0


def test_a_hot_surface_is_a_notice_and_holds_nothing_down() -> None:
    plant = Plant(ambient_c=35.0)
    while not (state := plant.step(1.0, FULL)).hot_surface:
        assert state.tj_c < 70.0
    assert (state.throttling, state.cpu_cooling_state, state.board_state().throttling) == (False, 0, False)
    while (state := plant.step(1.0, Load())).hot_surface:
        assert state.tj_c > 61.0


def test_a_mode_caps_clocks_and_stretches_inference() -> None:
    plant = Plant()
    fast = inference_duration_s(0.05, plant.step(0.1, FULL))
    plant.set_power_mode("15W")
    state = plant.step(0.1, FULL)
    assert (state.cpu_hz, state.gpu_hz, state.emc_hz, state.power_mode) == (1497.6e6, 612e6, 2133e6, "15W")
    assert fast == pytest.approx(0.05)
    # Between what the memory's clock alone makes of it and what the GPU's does: 1.5 and 1.67.
    assert 1.5 < inference_duration_s(0.05, state) / fast < 1.67
    with pytest.raises(ValueError, match="no power mode '30W'; there are 15W, 25W"):
        plant.set_power_mode("30W")


def test_memory_that_runs_out_makes_tasks_wait_then_swaps_then_is_full() -> None:
    plant = Plant()
    calm = plant.step(20.0, Load())
    assert (calm.memory_available_mb, calm.memory_pressure, calm.swap_used_mb) == (6720.0, 0.0, 0.0)
    plant.memory_used_mb = 6600.0
    tight = plant.step(20.0, Load())
    assert 0.1 < tight.memory_pressure < 0.5
    assert tight.memory_available_mb < 200.0
    plant.memory_used_mb = 9000.0
    swapping = plant.step(20.0, Load())
    assert swapping.swap_used_mb > 2000.0
    assert swapping.memory_pressure > 0.8
    assert not swapping.out_of_memory
    plant.memory_used_mb = 12000.0
    assert plant.step(1.0, Load()).out_of_memory
    plant.memory_used_mb = 0.0
    assert plant.step(60.0, Load()).memory_pressure < 0.01


def test_the_same_steps_give_the_same_states() -> None:
    a, b = Plant(ambient_c=31.0), Plant(ambient_c=31.0)
    assert [a.step(0.5, FULL) for _ in range(50)] == [b.step(0.5, FULL) for _ in range(50)]


def test_its_modes_and_trips_are_those_that_config_boards_says() -> None:
    folder = share_folder("edge_stack_core") / "boards"
    limits = load_limits(folder / "jetson_orin_nano_super.yaml")
    board = ORIN_NANO_SUPER
    assert (board.throttle_c, board.shutdown_c) == (limits.throttle_c, limits.shutdown_c)
    for name, mode in board.modes.items():
        said = limits.power_modes[name]
        assert (mode.index, mode.cores, mode.cpu_hz, mode.gpu_hz, mode.emc_hz) == (
            said.index,
            said.cores,
            said.cpu_hz,
            said.gpu_hz,
            said.emc_hz,
        )
