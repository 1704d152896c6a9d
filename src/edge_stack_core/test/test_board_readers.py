# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Board readers on trees in the real formats: what they read, and that nothing in a file makes them raise."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_tree import ORIN_NANO, PC, put, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_core.board import BoardState, open_reader
from edge_stack_core.board.files import MARK, BoardFiles, board_folder
from edge_stack_core.board.jetson_sysfs import JetsonSysfsReader
from edge_stack_core.board.linux import LinuxReader
from edge_stack_core.board.memory import largest_allocation_mb
from edge_stack_core.errors import ConfigurationError

GPU_HZ = "sys/class/devfreq/17000000.gpu/cur_freq"
ZONE = "sys/class/thermal/thermal_zone0/temp"


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    return write_tree(tmp_path, ORIN_NANO)


def test_a_jetson_is_read_from_its_files(orin: Path) -> None:
    reader = open_reader(str(orin))
    reader.read(0.5)
    put(orin, "proc/stat", "cpu  1150 0 500 8040 110 0 0 0 0 0\n")
    state = reader.read(1.5)
    assert (state.time_s, state.source, state.lost) == (1.5, "jetson_sysfs", ())
    assert state.temperatures_c == {
        "cpu-thermal": pytest.approx(51.218),
        "gpu-thermal": pytest.approx(51.593),
        "tj-thermal": pytest.approx(51.718),
        "nvme": pytest.approx(70.0),
    }
    assert state.throttle_temperature_c == pytest.approx(99.0)
    assert state.max_temperature_c == pytest.approx(51.718)  # the SSD's zone throttles nothing
    assert (state.throttling, state.over_current_events, state.power_mode) == (False, 52, "25W")
    assert state.power_w == {
        "VDD_IN": pytest.approx(7.524),
        "VDD_CPU_GPU_CV": pytest.approx(2.0),
        "VDD_SOC": 0.0,
    }
    assert state.total_power_w == pytest.approx(7.524)
    assert (state.cpu_frequency_hz, state.cpu_frequency_max_hz) == (1344e6, 1728e6)
    assert (state.gpu_frequency_hz, state.gpu_frequency_max_hz) == (612e6, 1020e6)
    assert (state.emc_frequency_hz, state.emc_frequency_max_hz) == (2133e6, 3199e6)
    assert (state.cpu_load, state.gpu_load) == (pytest.approx(0.75), pytest.approx(0.374))
    assert state.emc_load == pytest.approx(0.3)
    assert state.memory_total_mb == pytest.approx(7620.0)
    assert state.memory_available_mb == pytest.approx(4000.0)
    assert (state.swap_used_mb, state.memory_pressure) == (pytest.approx(100.0), pytest.approx(0.125))
    assert state.largest_allocation_mb == pytest.approx(4000.0 - 0.04 * 7620.0)


def test_a_pc_is_read_from_its_sensors(tmp_path: Path) -> None:
    reader = open_reader(str(write_tree(tmp_path, PC)))
    state = reader.read(0.0)
    assert state.source == "linux"
    assert state.temperatures_c == {"k10temp Tctl": 62.5}
    assert state.max_temperature_c == 62.5
    assert state.throttling is False
    put(tmp_path, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "8\n")
    assert reader.read(1.0).throttling is True
    assert reader.read(2.0).throttling is False
    assert (state.gpu_load, state.total_power_w, state.power_mode, state.memory_pressure) == (None,) * 4
    assert state.swap_used_mb == 0.0


def test_a_cooling_device_at_work_is_throttling_and_a_fan_is_not(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    assert reader.read(0.0).throttling is False
    put(orin, "sys/class/thermal/cooling_device2/cur_state", "1\n")
    assert reader.read(1.0).throttling is True


def test_skin_and_wireless_zones_of_a_pc_say_nothing_of_its_processor(tmp_path: Path) -> None:
    zones = {"SEN2": ("41000", "50000"), "iwlwifi_1": ("48000", "60000"), "x86_pkg_temp": ("84000", "0")}
    for number, (kind, (temperature, trip)) in enumerate(zones.items()):
        folder = f"sys/class/thermal/thermal_zone{number}"
        put(tmp_path, f"{folder}/type", f"{kind}\n")
        put(tmp_path, f"{folder}/temp", f"{temperature}\n")
        put(tmp_path, f"{folder}/trip_point_0_type", "passive\n")
        put(tmp_path, f"{folder}/trip_point_0_temp", f"{trip}\n")
    state = LinuxReader(str(tmp_path)).read(0.0)
    assert set(state.temperatures_c) == set(zones)
    assert (state.max_temperature_c, state.throttle_temperature_c) == (84.0, None)


def test_a_cooling_device_whose_cores_go_offline_is_not_lost(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    shutil.rmtree(orin / "sys/class/thermal/cooling_device1")
    assert reader.read(1.0).lost == ()
    put(orin, "sys/class/thermal/cooling_device3/type", "cpufreq-cpu4\n")
    put(orin, "sys/class/thermal/cooling_device3/cur_state", "1\n")
    assert reader.read(2.0).throttling is True


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENODATA])
def test_a_device_that_sleeps_is_not_lost(number: int) -> None:
    def asleep() -> float:
        raise OSError(number, os.strerror(number))

    files = BoardFiles()
    assert files.take("wifi", lambda: 40.0) == 40.0
    assert files.take("wifi", asleep) is None
    assert files.lost == ()


def test_a_board_that_tells_nothing_is_all_none(tmp_path: Path) -> None:
    state = open_reader(str(tmp_path)).read(3.0)
    assert state == BoardState(time_s=3.0, source="linux")


def test_a_source_that_goes_is_lost_and_comes_back(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    (orin / GPU_HZ).unlink()
    put(orin, ZONE, "hot\n")
    state = reader.read(1.0)
    assert state.gpu_frequency_hz is None
    assert "cpu-thermal" not in state.temperatures_c
    assert set(state.lost) == {f"/{GPU_HZ}", f"/{ZONE}"}
    assert reader.read(2.0).lost == state.lost
    assert reader.losses == 2
    put(orin, GPU_HZ, "306000000\n")
    put(orin, ZONE, "48000\n")
    state = reader.read(3.0)
    assert (state.gpu_frequency_hz, state.temperatures_c["cpu-thermal"], state.lost) == (306e6, 48.0, ())


def test_a_tree_that_goes_as_a_whole_is_lost_source_by_source(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    shutil.rmtree(orin)
    state = reader.read(1.0)
    assert len(state.lost) > 20
    # What was read once, at the start, stays.
    known = BoardState(
        time_s=1.0, source="jetson_sysfs", board="Jetson Orin Nano Super", throttle_temperature_c=99.0
    )
    assert dataclasses.replace(state, lost=()) == known


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Do without root's right to read everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_files_that_may_not_be_read_are_absent() -> None:
    with as_nobody(), tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder), ORIN_NANO)
        (root / GPU_HZ).chmod(0)
        state = JetsonSysfsReader(folder).read(0.0)
        assert (state.gpu_frequency_hz, state.gpu_frequency_max_hz, state.lost) == (None, 1020e6, ())


def test_a_sensor_that_is_powered_down_is_not_lost(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    # A pipe with nothing in it answers as the kernel does for a zone whose part of the chip is off: EAGAIN.
    (orin / ZONE).unlink()
    os.mkfifo(orin / ZONE)
    ends = os.open(orin / ZONE, os.O_RDWR)
    try:
        state = reader.read(1.0)
    finally:
        os.close(ends)
    assert "cpu-thermal" not in state.temperatures_c
    assert state.lost == ()


def test_a_file_that_fails_to_be_read_is_lost(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    (orin / ZONE).unlink()
    (orin / ZONE).symlink_to("/proc/self/mem")  # EIO
    assert reader.read(1.0).lost == (f"/{ZONE}",)


def test_a_cluster_without_cores_online_is_left_out(orin: Path) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    put(orin, "sys/devices/system/cpu/cpufreq/policy0/affected_cpus", "\n")
    put(orin, "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "<unknown>\n")
    state = reader.read(1.0)
    assert (state.cpu_frequency_hz, state.lost) == (729.6e6, ())


def test_a_folder_in_place_of_a_file_is_absent(orin: Path) -> None:
    (orin / GPU_HZ).unlink()
    (orin / GPU_HZ).mkdir()
    state = JetsonSysfsReader(str(orin)).read(0.0)
    assert (state.gpu_frequency_hz, state.lost) == (None, ())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (ZONE, "-257000\n"),
        (ZONE, "99999999999999999999999\n"),
        (ZONE, "nan\n"),
        (ZONE, ""),
        (ZONE, b"\xff\xfe\x00"),
        (GPU_HZ, "-1\n"),
        ("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 200 kB\n"),
        ("proc/meminfo", "MemTotal:\nMemAvailable: 1 kB\n"),
        ("proc/pressure/memory", "some avg10=250.00 avg60=0 avg300=0 total=1\n"),
        ("proc/stat", "cpu\n"),
        ("var/lib/nvpmodel/status", "\n"),
        ("sys/class/hwmon/hwmon1/curr1_input", "1e30\n"),
        ("sys/class/devfreq/17000000.gpu/device/load", "10001\n"),
    ],
)
def test_nonsense_is_lost_and_tells_no_value(orin: Path, path: str, text: str | bytes) -> None:
    reader = JetsonSysfsReader(str(orin))
    reader.read(0.0)
    put(orin, path, text)
    assert reader.read(1.0).lost == (f"/{path}",)


NONSENSE = st.one_of(
    st.binary(max_size=40),
    st.integers().map(lambda n: f"{n}\n".encode()),
    st.floats().map(lambda x: f"{x}\n".encode()),
    st.sampled_from(
        [b"cpu 1 2 3", b"MemTotal: 1 kB\nMemAvailable: 1 kB", b"some avg10=. ", b"pmode:99999", b"0 0"]
    ),
)


@settings(max_examples=25, deadline=None)
@given(
    before=st.dictionaries(st.sampled_from(sorted(ORIN_NANO)), NONSENSE, max_size=8),
    after=st.dictionaries(st.sampled_from(sorted(ORIN_NANO)), st.none() | NONSENSE, max_size=8),
)
def test_whatever_is_in_the_files_a_state_comes_with_finite_values_in_their_ranges(
    before: dict[str, bytes], after: dict[str, bytes | None]
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = write_tree(Path(folder), ORIN_NANO)
        for path, text in before.items():
            put(root, path, text)
        reader = JetsonSysfsReader(folder)
        reader.watch([1234, os.getpid()])
        check(reader.read(0.0))
        for path, text in after.items():
            (root / path).unlink() if text is None else put(root, path, text)
        check(reader.read(1.0))


def check(state: BoardState) -> None:
    values = [v for v in dataclasses.asdict(state).values() if isinstance(v, float)]
    assert all(math.isfinite(v) for v in values)
    for share in (state.cpu_load, state.gpu_load, state.emc_load, state.memory_pressure):
        assert share is None or 0.0 <= share <= 1.0
    assert all(-60.0 <= t <= 150.0 for t in state.temperatures_c.values())
    assert all(0.0 <= w < 1000.0 for w in state.power_w.values())
    if state.memory_available_mb is not None:
        assert 0.0 <= state.memory_available_mb <= state.memory_total_mb


@given(total=st.floats(1.0, 1e6), share=st.floats(0.0, 1.0))
def test_the_largest_allocation_leaves_a_reserve(total: float, share: float) -> None:
    largest = largest_allocation_mb(total, share * total)
    assert largest == pytest.approx(max(0.0, (share - 0.04) * total))


def test_memory_of_processes_is_this_machines_and_follows_them() -> None:
    reader = LinuxReader()
    gone = 2**22 + 1  # above what Linux gives to processes
    reader.watch([os.getpid(), gone])
    reader.read(0.0)
    before = reader.read(0.5).memory_by_pid_mb  # by now each has been looked at closely
    block = bytearray(64 << 20)
    block[::4096] = bytes(len(block[::4096]))  # touch each page
    after = reader.read(1.0).memory_by_pid_mb
    assert set(before) == set(after) == {os.getpid()}
    assert after[os.getpid()] - before[os.getpid()] == pytest.approx(64.0, abs=6.0)


def test_memory_of_the_gpu_counts_for_its_process(orin: Path) -> None:
    held = JetsonSysfsReader(str(orin)).gpu_memory_mb()
    assert held == {1234: pytest.approx(202.0)}


def test_this_machine_has_a_reader() -> None:
    state = open_reader().read(0.0)
    assert state.memory_available_mb is not None
    assert 0.0 < state.memory_available_mb <= state.memory_total_mb


def test_a_reader_that_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'gpu' is unknown; there are auto, jetson_stats"):
        open_reader(kind="gpu")
    with pytest.raises(ConfigurationError, match=r"nothere is no folder"):
        open_reader(str(tmp_path / "nothere"))
    with pytest.raises(ConfigurationError, match=r"nvml reads this machine"):
        open_reader(str(tmp_path), "nvml")


def test_the_simulated_board_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", f"test{os.getpid()}")
    root = Path(board_folder("simulated"))
    reader = open_reader("simulated")
    assert reader.read(0.0).lost == ()
    try:
        write_tree(root, {**ORIN_NANO, MARK: ""})
        state = reader.read(1.0)
        assert (state.lost, state.power_mode) == ((), "25W")
    finally:
        shutil.rmtree(root)
    assert f"/{GPU_HZ}" in reader.read(2.0).lost
