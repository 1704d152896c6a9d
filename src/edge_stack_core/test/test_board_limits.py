# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""boards/: a board finds its limits by its device tree, and a wrong file says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_tree import ORIN_NANO, PC, write_tree

from edge_stack_core.board import open_reader
from edge_stack_core.board.__main__ import main
from edge_stack_core.board.limits import find_board, find_limits, load_limits
from edge_stack_core.errors import ConfigurationError

BOARDS = Path(__file__).parents[1] / "boards"


def test_a_board_finds_its_limits_by_its_device_tree(tmp_path: Path) -> None:
    limits = find_limits(str(write_tree(tmp_path, ORIN_NANO)), BOARDS)
    assert limits is not None
    assert (limits.throttle_c, limits.shutdown_c) == (99.0, 104.5)
    assert (limits.power_modes["25W"].budget_w, limits.power_modes["25W"].gpu_hz) == (25.0, 918e6)


def test_a_board_that_no_file_names_has_none(tmp_path: Path) -> None:
    assert find_limits(str(write_tree(tmp_path, PC)), BOARDS) is None


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_right(path: Path) -> None:
    limits = load_limits(path)
    assert limits.throttle_c < limits.shutdown_c
    assert len({mode.index for mode in limits.power_modes.values()}) == len(limits.power_modes)


def test_a_wrong_file_names_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "boards" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("name: mine\ncompatible: []\nthrottle_c: 105\nshutdown_c: 100\n")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml:3: throttle_c: is not below shutdown_c"):
        find_limits("/", path.parent)


def test_the_command_shows_what_a_board_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(write_tree(tmp_path, ORIN_NANO))
    assert main(["--root", root]) == 0
    shown = capsys.readouterr().out
    assert "power_mode                25W\n" in shown
    assert "limits                    Jetson Orin Nano Super: throttles at 99 C (" in shown
    assert main(["--root", str(tmp_path / "none")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_a_board_is_named_by_its_file_or_a_shipped_ones_name(tmp_path: Path) -> None:
    assert load_limits(find_board("raspberry_pi_5")).throttle_c == 80.0
    own = tmp_path / "mine.yaml"
    own.write_text("name: mine\ncompatible: []\nthrottle_c: 70\nshutdown_c: 90\n", encoding="utf-8")
    limits = load_limits(find_board(str(own)))
    state = open_reader(str(write_tree(tmp_path / "root", PC)), limits=limits).read(0.0)
    assert (state.board, state.throttle_temperature_c) == ("mine", 70.0)
    with pytest.raises(
        ConfigurationError, match=r"no board 'pi'; known are jetson_agx_orin, .*raspberry_pi_5"
    ):
        find_board("pi")
