# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulated board's files: what the plant has comes back through the same reader that reads a real board."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.board import open_reader
from edge_stack_sim.board import ORIN_NANO_SUPER, Load, Plant
from edge_stack_sim.board.live import BoardSurroundings, LiveBoard, log_to
from edge_stack_sim.board.spec import RELEASES
from edge_stack_sim.board.stack_load import StackLoad
from edge_stack_sim.board.tegrastats import Tegrastats
from edge_stack_sim.board.tree import BoardTree

SHARE = st.floats(0.0, 1.0)


@settings(max_examples=15, deadline=None)
@given(
    load=st.builds(Load, cpu=SHARE, gpu=SHARE, emc=SHARE),
    mode=st.sampled_from(sorted(ORIN_NANO_SUPER.modes)),
    ambient=st.floats(-10.0, 50.0),
    minutes=st.floats(0.1, 40.0),
    used=st.floats(0.0, 9000.0),
    extra=st.floats(0.0, 15.0),
)
def test_a_reader_reads_what_the_plant_has(
    tmp_path_factory: pytest.TempPathFactory,
    load: Load,
    mode: str,
    ambient: float,
    minutes: float,
    used: float,
    extra: float,
) -> None:
    plant = Plant(ambient_c=ambient, power_mode=mode)
    plant.memory_used_mb, plant.extra_power_w = used, extra
    root = tmp_path_factory.mktemp("board")
    tree = BoardTree(root, plant.state())
    reader = open_reader(str(root))
    reader.read(0.0)
    state = plant.step(minutes * 60.0, load)
    tree.write(state)
    got, has = reader.read(state.time_s), state.board_state()
    assert (got.source, got.lost) == ("jetson_sysfs", ())
    assert dict(got.temperatures_c) == pytest.approx(dict(has.temperatures_c), abs=1e-3)
    assert dict(got.power_w) == pytest.approx(dict(has.power_w), abs=0.01)
    for name in ("board", "throttling", "over_current_events", "power_mode"):
        assert getattr(got, name) == getattr(has, name), name
    for name in (
        "max_temperature_c",
        "throttle_temperature_c",
        "total_power_w",
        "cpu_frequency_hz",
        "cpu_frequency_max_hz",
        "gpu_frequency_hz",
        "gpu_frequency_max_hz",
        "emc_frequency_hz",
        "emc_frequency_max_hz",
        "emc_frequency_cap_hz",
        "power_budget_w",
        "power_limit_w",
        "gpu_load",
        "emc_load",
        "memory_total_mb",
        "memory_available_mb",
        "swap_used_mb",
        "largest_allocation_mb",
    ):
        assert getattr(got, name) == pytest.approx(getattr(has, name), rel=1e-3, abs=0.011), name
    if not state.shut_down:
        assert got.cpu_load == pytest.approx(has.cpu_load, abs=0.02)


def test_a_tree_is_made_anew_and_removed_but_never_something_else(tmp_path: Path) -> None:
    state = Plant().state()
    root = tmp_path / "board"
    BoardTree(root, state)
    (root / "stale").touch()
    tree = BoardTree(root, state)
    assert not (root / "stale").exists()
    tree.remove()
    assert not root.exists()
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="is no simulated board; name another folder"):
        BoardTree(tmp_path, state)
    assert (tmp_path / "thesis.txt").exists()


def test_files_are_only_written_when_they_change(tmp_path: Path) -> None:
    plant = Plant()
    tree = BoardTree(tmp_path, plant.state())
    constant = tmp_path / "etc" / "nvpmodel" / "nvpmodel_p3767_0003_super.conf"
    clock = tmp_path / "sys" / "class" / "devfreq" / "17000000.gpu" / "cur_freq"
    before = (constant.stat().st_ino, clock.stat().st_ino)
    tree.write(plant.step(1.0, Load()))
    assert (constant.stat().st_ino, clock.stat().st_ino) == before
    plant.set_power_mode("7W")
    tree.write(plant.step(1.0, Load()))
    assert clock.stat().st_ino != before[1]


TEGRASTATS = re.compile(
    r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d RAM \d+/7620MB \(lfb \d+x4MB\) SWAP \d+/3810MB \(cached \d+MB\) "
    r"CPU \[(?:\d+%@\d+|off)(?:,(?:\d+%@\d+|off)){5}\] EMC_FREQ \d+%@\d+ GR3D_FREQ \d+%@\[\d+\] "
    r"cpu@[\d.]+C soc2@[\d.]+C soc0@[\d.]+C gpu@[\d.]+C tj@[\d.]+C soc1@[\d.]+C "
    r"VDD_IN \d+mW/\d+mW VDD_CPU_GPU_CV \d+mW/\d+mW VDD_SOC \d+mW/\d+mW"
)


def test_tegrastats_lines_are_those_of_the_board() -> None:
    plant = Plant(power_mode="7W")
    stats = Tegrastats()
    at = datetime(2026, 8, 10, 21, 39, 51)
    first = stats.line(plant.step(1.0, Load(0.11, 0.0)), at)
    second = stats.line(plant.step(1.0, Load(0.5, 0.9)), at)
    assert TEGRASTATS.fullmatch(first)
    assert TEGRASTATS.fullmatch(second)
    assert "CPU [50%@960,50%@960,50%@960,50%@960,off,off] EMC_FREQ" in second
    assert "GR3D_FREQ 90%@[408]" in second
    now, average = re.findall(r"VDD_IN (\d+)mW/(\d+)mW", second)[0]
    assert int(average) < int(now)


def test_the_newer_release_has_its_own_paths_and_lines(tmp_path: Path) -> None:
    plant = Plant(RELEASES["R39.2"])
    BoardTree(tmp_path, plant.step(1.0, Load(0.1, 0.5)))
    state = open_reader(str(tmp_path)).read(0.0)
    assert (state.board, state.power_mode, state.memory_total_mb) == (
        "Jetson Orin Nano Super",
        "MAXN_SUPER",
        7546.0,
    )
    assert state.total_power_w == pytest.approx(plant.state().power.total_w, abs=0.01)
    assert (tmp_path / "sys/class/hwmon/hwmon4/in1_label").is_file()
    line = Tegrastats().line(plant.state(), datetime(2026, 8, 10, 21, 39, 51))
    assert re.search(r"RAM \d+/7546MB .* cpu@\d+C/\d+C .* VDD_IN (\d+)mW/\1mW/\1mW VDD_CPU", line), line


def test_memory_is_read_from_counts_unless_the_kernel_tells_pressure(tmp_path: Path) -> None:
    pressures = {}
    for psi in (False, True):
        plant = Plant(replace(ORIN_NANO_SUPER, psi=psi))
        tree = BoardTree(tmp_path / str(psi), plant.state())
        reader = open_reader(str(tree.root))
        plant.memory_used_mb = 6600.0
        for _ in range(40):
            state = plant.step(1.0, Load())
            tree.write(state)
            pressures[psi] = reader.read(state.time_s).memory_pressure
        assert pressures[psi] == pytest.approx(state.memory_pressure, abs=0.02), psi
    assert not (tmp_path / "False/proc/pressure").exists()


def test_a_live_board_takes_its_surroundings_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    root, log = tmp_path / "board", tmp_path / "tegrastats"
    board = LiveBoard(Plant(), root, log_to(log))
    state = board.advance(0.1, Load(), BoardSurroundings(time_scale=100.0))
    assert state.time_s == pytest.approx(10.0)
    around = BoardSurroundings(
        ambient_c=45.0, fan_failed=True, power_mode="15W", extra_power_w=3.0, memory_used_mb=100.0
    )
    hot = board.advance(0.1, Load(), around)
    assert (hot.ambient_c, hot.fan_rpm, hot.power_mode) == (45.0, 0.0, "15W")
    assert hot.power.module_w > state.power.module_w + 2.9
    assert hot.memory_available_mb == state.memory_available_mb - 100.0
    # A process that was stopped for an hour does not make up for it.
    assert board.advance(3600.0, Load(), BoardSurroundings()).time_s < 12.0
    assert len(log.read_text().splitlines()) >= 2
    board.close()
    assert not root.exists()


def test_the_load_of_a_stack_is_that_of_its_nodes() -> None:
    stack = StackLoad(others={"sim", "board"})
    stack.take(0.0, "/detect", rate_hz=5.0, inference_s=0.04, cores=0.3, memory_mb=100.0)
    stack.take(0.0, "/policy", rate_hz=2.0, inference_s=0.1, cores=0.5, memory_mb=300.0)
    stack.take(0.0, "/fusion", rate_hz=24.0, inference_s=0.0, cores=0.1, memory_mb=50.0)
    stack.take(0.0, "/sim", rate_hz=15.0, inference_s=0.0, cores=1.0, memory_mb=500.0)
    load, memory_mb = stack.now(0.1, cores=6)
    assert load.gpu == pytest.approx(0.4)
    assert load.cpu == pytest.approx((0.1 + 0.3 + 0.1) / 6)
    assert memory_mb == 450.0
    assert stack.now(0.1, 6, gpu_scale=10.0)[0].gpu == 1.0
    stack.take(2.5, "/policy", rate_hz=2.0, inference_s=0.1, cores=0.5, memory_mb=300.0)
    assert stack.now(2.6, 6)[0].gpu == pytest.approx(0.2)  # the others are not heard any more


def test_the_process_lives_and_ends_cleanly(tmp_path: Path) -> None:
    root = tmp_path / "board"
    command = [sys.executable, "-m", "edge_stack_sim.board", "--root", str(root), "--load", "1", "1"]
    with subprocess.Popen([*command, "--time-scale", "50"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(3)]
        reader = open_reader(str(root))
        first = reader.read(time.monotonic()).max_temperature_c
        process.stdout.readline()
        assert reader.read(time.monotonic()).max_temperature_c != first
        process.send_signal(signal.SIGTERM)
        assert process.wait(60.0) == 0
    assert all(TEGRASTATS.fullmatch(line) for line in lines)
    assert not root.exists()
