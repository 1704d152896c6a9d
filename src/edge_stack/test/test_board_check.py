# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`doctor --board`: what it says of a board, and the file that it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_stack.doctor import board_check
from edge_stack.doctor.__main__ import main
from edge_stack.doctor.board_check import BoardWatch, checks
from edge_stack.doctor.findings import Level
from edge_stack_core.board.files import BoardFiles
from edge_stack_core.board.types import BoardState

FINE = BoardState(
    0.0,
    "jetson_sysfs",
    max_temperature_c=76.0,
    throttle_temperature_c=99.0,
    throttling=False,
    total_power_w=8.6,
    power_budget_w=25.0,
    power_limit_w=25.0,
    power_mode="MAXN_SUPER",
    over_current_events=27390,
    gpu_load=0.0,
)


def findings(watched: BoardWatch, root: Path) -> dict[str, tuple[Level, str]]:
    return {f.subject: (f.level, f"{f.fact} -> {f.remedy}") for f in checks(watched, BoardFiles(root))}


def test_a_warm_board_that_idles_is_as_it_should_be_but_for_its_name(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    for number, trip_c in enumerate((99.0, 70.0)):
        (zone / f"trip_point_{number}_type").write_text("passive\n")
        (zone / f"trip_point_{number}_temp").write_text(f"{trip_c * 1e3:.0f}\n")
    said = findings(BoardWatch([FINE] * 40, ["jetson_sysfs"]), tmp_path)
    assert len(said) == 6
    assert "passive trips that hold no clock down: 70 C" in said["1 throttle point"][1]
    assert said["2 reading"][0] is Level.NOTE
    assert "send the file, or write one" in said["2 reading"][1]
    assert all(level is Level.GOOD for name, (level, _) in said.items() if name != "2 reading"), said


def test_what_is_wrong_or_was_not_seen_is_said_with_what_to_do(tmp_path: Path) -> None:
    hot = replace(FINE, max_temperature_c=97.5)
    lost = replace(FINE, lost=("temperature",), max_temperature_c=None)
    assert (
        "temperature_c -0.50"
        in findings(BoardWatch([hot] * 2, ["jetson_sysfs"]), tmp_path)["3 warm board"][1]
    )
    said = findings(BoardWatch([FINE, lost], ["jetson_stats", "jetson_sysfs"], tegrastats_w=14.0), tmp_path)
    assert said["4 jtop.service"] == (Level.NOTE, "it went and did not come back -> systemctl status jtop")
    assert "lost: temperature" in said["5 idle GPU"][1]
    assert "tegrastats says 14.00 W" in said["2 reading"][1]
    cold = findings(BoardWatch([replace(FINE, max_temperature_c=41.0)] * 2, ["jetson_stats"]), tmp_path)
    assert "hold the fan" in cold["3 warm board"][1]
    assert "restart jtop" in cold["4 jtop.service"][1]
    near = replace(FINE, total_power_w=24.0, over_current_events=27400)
    over = findings(BoardWatch([FINE, near], ["jetson_sysfs"]), tmp_path)
    assert over["6 over-current"][0] is Level.NOTE
    assert "10 events in 1 s" in over["6 over-current"][1]
    unknown = replace(FINE, throttle_temperature_c=None)
    assert (
        "heat lowers no rate" in findings(BoardWatch([unknown], ["linux"]), tmp_path)["1 throttle point"][1]
    )


def test_the_file_has_the_boards_files_the_checks_and_no_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(board_check, "PERIOD_S", 0.01)
    root, output = tmp_path / "root", tmp_path / "board.json"
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("47000\n")
    (root / "proc").mkdir()
    (root / "proc/stat").write_text("cpu  1 0 1 8 0 0 0 0 0 0\ncpu0 1 0 1 8\nintr 1 2 3\n")
    (root / "etc").mkdir()
    (root / "etc/hostname").write_text("annas-robot\n")
    assert main(["--board", "--root", str(root), "--seconds", "0", "--output", str(output)]) == 0
    assert "6 over-current" in capsys.readouterr().out
    told = json.loads(output.read_text(encoding="utf-8"))
    assert len(told["about"]["checks"]) == 6
    assert told["about"]["states"][-1]["max_temperature_c"] == 47.0
    assert told["files"]["/sys/class/thermal/thermal_zone0/temp"] == "47000\n"
    assert told["files"]["/proc/stat"] == "cpu  1 0 1 8 0 0 0 0 0 0\n"
    assert "anna" not in output.read_text(encoding="utf-8")


def test_a_root_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--board", "--root", str(tmp_path / "no"), "--output", str(tmp_path / "b.json")]) == 1
    assert "is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("says", "watts"),
    [
        ("echo 'RAM 1/2MB VDD_IN 4654mW/4654mW VDD_SOC 1mW/1mW'; exec sleep 60", 4.654),
        ("exec sleep 60", None),
    ],
)
def test_tegrastats_is_asked_for_a_moment_whether_it_answers_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, watts: float | None
) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\n{says}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(board_check, "_TEGRASTATS_S", 0.5)
    assert board_check._tegrastats_w() == watts
