# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Files of real boards, rebuilt as trees: what the readers make of each is what its board was published to say.

boards/*.json: {"about": {board, sources, not_measured, expected}, "files": {path: text}}. None was measured by this project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board_tree import BoardCopy

from edge_stack_core.board import BoardState, open_reader
from edge_stack_core.board.heat import ASLEEP_READINGS
from edge_stack_core.board.limits import find_limits
from edge_stack_core.board.snapshot import board_files

BOARDS = Path(__file__).parent / "boards"
NAMES = sorted(path.stem for path in BOARDS.glob("*.json"))


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[BoardCopy]:
    copy = BoardCopy(tmp_path)
    yield copy
    copy.close()


def about(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((BOARDS / f"{name}.json").read_text(encoding="utf-8"))["about"]
    return told


def reading(copy: BoardCopy, name: str, readings: int = 2) -> BoardState:
    reader = open_reader(str(copy.write(BOARDS / f"{name}.json")))
    for second in range(readings):
        state = reader.read(float(second))
    return state


# What the files' `expected` says in words, or of something else than a state.
IN_WORDS = {
    "temperatures",
    "memory_pressure",
    "governor",
    "temperature_signal",
    "budget_w",
    "limits",
    "limit_c",
    "note",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_board_reads_as_it_was_published(copies: BoardCopy, name: str) -> None:
    state = reading(copies, name)
    for field, value in about(name)["expected"].items():
        if field in IN_WORDS:
            continue
        if field == "lost":
            assert list(state.lost) == value
        elif isinstance(value, float):
            assert getattr(state, field) == pytest.approx(value, abs=0.01), field
        elif isinstance(value, str) and field != "power_mode":
            assert getattr(state, field) == pytest.approx(float(value.split()[0])), field
        else:
            assert getattr(state, field) == value, field


@pytest.mark.parametrize("name", NAMES)
def test_the_budget_of_every_board_that_has_one_is_known(copies: BoardCopy, name: str) -> None:
    expected = about(name)["expected"].get("budget_w")
    state = reading(copies, name)
    if expected is not None:
        assert state.power_budget_w == pytest.approx(expected, abs=0.01)
    elif state.source == "jetson_sysfs" and state.power_mode != "MAXN":
        assert state.power_budget_w is not None


@pytest.mark.parametrize(
    ("name", "board"),
    [
        ("orin_nano_super_jp62_idle", "Jetson Orin Nano Super"),
        ("host_root_mounted", "Jetson Orin Nano Super"),
        ("orin_nano_jp72_not_super", "Jetson Orin Nano"),
        ("orin_nx16_jp60", "Jetson Orin NX 16GB"),
        ("agx_orin64_jp5_gpu_on", "Jetson AGX Orin"),
        ("agx_thor_r384", "Jetson AGX Thor"),
        ("xavier_nx_jp512", "Jetson Xavier NX"),
        ("raspberry_pi5", "Raspberry Pi 5"),
        ("container_default", ""),  # its names are masked: unknown, and read as the Jetson that it is
        ("pc_intel_laptop", ""),
    ],
)
def test_a_board_is_known_by_its_own_file_or_unknown(copies: BoardCopy, name: str, board: str) -> None:
    state = reading(copies, name)
    assert state.board == board
    limits = find_limits(str(copies.root))
    assert ("" if limits is None else limits.name) == board


def test_a_unit_that_is_powered_down_on_jetpack_5_is_asleep_and_nothing_is_lost(copies: BoardCopy) -> None:
    reader = open_reader(str(copies.write(BOARDS / "agx_orin64_jp5_gpu_on.json")))
    assert reader.read(0.0).temperatures_c["GPU-therm"] == pytest.approx(38.156)
    copies.write(BOARDS / "agx_orin64_jp5_gpu_off.json")
    state = reader.read(1.0)
    assert not {"GPU-therm", "CV0-therm"} & set(state.temperatures_c)
    assert (state.lost, reader.losses) == ((), 0)
    assert state.max_temperature_c is not None


def test_one_zone_asleep_is_nothing_and_all_of_them_for_long_are_a_loss(copies: BoardCopy) -> None:
    reader = open_reader(str(copies.write(BOARDS / "orin_nano_super_jp62_warm.json")))
    assert reader.read(0.0).max_temperature_c == pytest.approx(73.7)
    copies.write(BOARDS / "orin_nano_super_bpmp_stuck.json")
    for second in range(1, ASLEEP_READINGS):
        assert reader.read(float(second)).lost == ()
    state = reader.read(float(ASLEEP_READINGS))
    assert (state.max_temperature_c, state.lost, reader.losses) == (None, ("temperature",), 1)
    copies.write(BOARDS / "orin_nano_super_jp62_warm.json")
    assert reader.read(60.0).lost == ()


def test_a_board_that_never_told_a_temperature_is_lost_too_where_it_says_at_what_it_throttles(
    copies: BoardCopy,
) -> None:
    assert reading(copies, "orin_nano_super_bpmp_stuck", ASLEEP_READINGS).lost == ("temperature",)


def test_power_limit_and_memory_clock_cap_are_told_to_an_ordinary_user(copies: BoardCopy) -> None:
    state = reading(copies, "orin_nano_super_jp62_idle")
    assert state.power_limit_w == pytest.approx(4.984 * 5.016)
    assert (state.emc_frequency_hz, state.emc_frequency_cap_hz) == (None, 3.199e9)
    assert state.memory_pressure is None  # neither pressure stall information nor /proc/vmstat in this tree


def test_a_first_boot_has_the_mode_that_its_file_names(copies: BoardCopy) -> None:
    root = copies.write(BOARDS / "orin_nano_super_jp62_idle.json")
    (root / "var/lib/nvpmodel/status").unlink()
    reader = open_reader(str(root))
    assert reader.read(0.0).power_mode == "25W"
    (root / "var/lib/nvpmodel/status").write_text("pmode:0000")
    assert reader.read(1.0).power_mode == "15W"


def test_a_gpu_that_counts_more_than_all_is_busy_and_not_lost(copies: BoardCopy) -> None:
    root = copies.write(BOARDS / "orin_nano_super_jp62_idle.json")
    (root / "sys/devices/platform/bus@0/17000000.gpu/load").write_text("1004\n")
    state = open_reader(str(root)).read(0.0)
    assert (state.gpu_load, state.lost) == (1.0, ())


def test_links_that_lead_in_a_circle_are_absent(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.symlink("/etc/b", tmp_path / "etc" / "a")
    os.symlink("/etc/a", tmp_path / "etc" / "b")
    os.symlink("/etc/a", tmp_path / "etc" / "nvpmodel.conf")
    assert open_reader(str(tmp_path)).read(0.0).power_mode is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"Tctl": 72500, "Tdie": 45500, "Tccd1": 44000}, 45.5),  # Tctl has an offset for the fan's sake
        ({"Tctl": 45250, "Tccd1": 47000}, 47.0),
        ({"Package id 0": 61000, "Core 0": 58000}, 61.0),
    ],
)
def test_the_processors_own_sensor_counts_and_acpi_zones_do_not(
    tmp_path: Path, labels: dict[str, int], expected: float
) -> None:
    zone, chip = tmp_path / "sys/class/thermal/thermal_zone0", tmp_path / "sys/class/hwmon/hwmon3"
    zone.mkdir(parents=True)
    chip.mkdir(parents=True)
    for name, text in {
        "type": "acpitz",
        "temp": "97000",
        "trip_point_0_type": "passive",
        "trip_point_0_temp": "95000",
    }.items():
        (zone / name).write_text(f"{text}\n")
    (chip / "name").write_text("coretemp\n" if "Core 0" in labels else "k10temp\n")
    for number, (label, milli_c) in enumerate(labels.items(), 1):
        (chip / f"temp{number}_label").write_text(f"{label}\n")
        (chip / f"temp{number}_input").write_text(f"{milli_c}\n")
    state = open_reader(str(tmp_path)).read(0.0)
    assert state.temperatures_c["acpitz"] == 97.0
    assert (state.max_temperature_c, state.throttle_temperature_c) == (expected, None)


def test_memory_that_is_short_is_seen_without_pressure_stall_information(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 300000 kB\n")
    counts = (
        "workingset_refault_anon {}\nworkingset_refault_file 10\npgmajfault 90000\nallocstall_normal {}\n"
    )
    vmstat = tmp_path / "proc/vmstat"
    vmstat.write_text(counts.format(1000, 5))
    reader = open_reader(str(tmp_path))
    assert reader.read(0.0).memory_pressure is None  # counts since boot say nothing
    assert reader.read(1.0).memory_pressure == 0.0
    for second in range(2, 60):
        vmstat.write_text(counts.format(1000 + 4000 * second, 5 + 100 * second))
        state = reader.read(float(second))
    assert state.memory_pressure == pytest.approx(0.5, abs=0.03)
    # A kernel that has it is believed instead.
    (tmp_path / "proc/pressure").mkdir()
    (tmp_path / "proc/pressure/memory").write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=0\n")
    assert open_reader(str(tmp_path)).read(0.0).memory_pressure == 0.125


def test_over_current_is_told_as_a_rate(copies: BoardCopy) -> None:
    root = copies.write(BOARDS / "orin_nano_super_jp62_idle.json")
    count = root / "sys/class/hwmon/hwmon3/oc3_event_cnt"
    count.write_text("27390\n")
    reader = open_reader(str(root))
    assert (reader.read(0.0).over_current_events, reader.read(1.0).over_current_per_s) == (27390, 0.0)
    for second in range(2, 13):
        count.write_text(f"{27390 + 8 * second}\n")
        state = reader.read(float(second))
    assert state.over_current_per_s == pytest.approx(8.0)
    count.write_text("3\n")  # the driver was loaded anew
    assert reader.read(14.0).over_current_per_s is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sent_of_a_board_reads_as_the_board_itself(
    copies: BoardCopy, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    here = reading(copies, name)
    folder = tmp_path_factory.mktemp("sent")
    file = folder / "board.json"
    file.write_text(json.dumps({"about": {}, "files": board_files(str(copies.root))}), encoding="utf-8")
    other = BoardCopy(folder / "root")
    try:
        reader = open_reader(str(other.write(file)))
        reader.read(0.0)
        assert reader.read(1.0) == here
    finally:
        other.close()


@pytest.mark.parametrize(
    ("rails", "total_w"),
    [
        ({"POM_5V_IN": 3120, "POM_5V_GPU": 41, "POM_5V_CPU": 650}, 3.12),  # Nano: the input is the whole
        ({"GPU": 1230, "CPU": 920, "SOC": 2151, "NC": 5000}, 4.301),  # AGX Xavier: all there is
    ],
)
def test_jetpack_4_tells_power_under_iio(tmp_path: Path, rails: dict[str, int], total_w: float) -> None:
    folder = tmp_path / "sys/bus/i2c/drivers/ina3221x/1-0040/iio:device0"
    folder.mkdir(parents=True)
    for number, (label, milli_w) in enumerate(rails.items()):
        (folder / f"rail_name_{number}").write_text(f"{label}\n")
        (folder / f"in_power{number}_input").write_text(f"{milli_w}\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R32 (release), REVISION: 7.4\n")
    state = open_reader(str(tmp_path)).read(0.0)
    assert state.total_power_w == pytest.approx(total_w)
    assert set(state.power_w) == set(rails) - {"NC"}
