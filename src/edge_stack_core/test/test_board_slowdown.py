# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Stretch: an inference lasts longer on a simulated board that runs slower, and nothing happens without one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from board_tree import put, write_tree
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.board.slowdown import MOST, ClockSlowdown, slowdown

GPU = "sys/class/devfreq/17000000.gpu"
EMC = "sys/kernel/debug/bpmp/debug/clk/emc"
HALF = {
    f"{GPU}/cur_freq": "510000000\n",
    f"{GPU}/available_frequencies": "306000000 1020000000\n",
    f"{EMC}/rate": "3199000000\n",
    f"{EMC}/max_rate": "3199000000\n",
}


def test_at_half_the_clock_the_compute_share_takes_twice_as_long(tmp_path: Path) -> None:
    slowdown = ClockSlowdown(str(write_tree(tmp_path, HALF)), compute_share=0.6)
    began = time.perf_counter()
    slept = slowdown.pad(0.05)
    assert slept == pytest.approx(0.03)
    assert time.perf_counter() - began >= 0.03


def test_at_full_clock_nothing_is_added(tmp_path: Path) -> None:
    put(write_tree(tmp_path, HALF), f"{GPU}/cur_freq", "1020000000\n")
    assert ClockSlowdown(str(tmp_path)).pad(1000.0) == 0.0


@pytest.mark.parametrize("root", ["", "/nowhere"])
def test_without_a_board_nothing_is_added(root: str) -> None:
    assert ClockSlowdown(root).pad(1000.0) == 0.0


def test_a_clock_that_tells_nonsense_does_not_stop_a_model(tmp_path: Path) -> None:
    put(write_tree(tmp_path, HALF), f"{GPU}/cur_freq", "1\n")
    assert ClockSlowdown(str(tmp_path)).pad(0.001) <= 0.001 * MOST


@given(gpu=st.floats(0.01, 1.0), memory=st.floats(0.01, 1.0), share=st.floats(0.0, 1.0))
def test_lower_clocks_never_make_it_shorter(gpu: float, memory: float, share: float) -> None:
    assert slowdown(gpu, memory, share) >= 1.0 - 1e-9
    assert slowdown(0.5 * gpu, memory, share) >= slowdown(gpu, memory, share) - 1e-9
    assert slowdown(1.0, 1.0, share) == pytest.approx(1.0)
