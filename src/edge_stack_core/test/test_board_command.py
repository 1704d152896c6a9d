# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""`./edge board`: what it shows of trees in the real formats, under the names of the topic's message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from board_tree import ORIN_NANO, PC, write_tree

from edge_stack_core.board import __main__ as command
from edge_stack_core.board.fields import board_fields, unpublished_fields
from edge_stack_core.board.types import BoardState


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PAUSE_S", 0.0)


def as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert command.main(["--root", str(root), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_the_fields_are_those_of_the_message_in_its_order() -> None:
    from edge_stack_msgs.msg import BoardState as Message

    message = Message(**board_fields(BoardState(0.0, "linux")))
    assert ["header", *board_fields(BoardState(0.0, "linux"))] == list(message.get_fields_and_field_types())


def test_nothing_of_a_state_is_left_out() -> None:
    state = BoardState(0.0, "linux")
    shown = {*board_fields(state), *unpublished_fields(state)}
    assert set(BoardState.__slots__) - shown == {
        "time_s",
        "temperatures_c",
    }  # the header; zone and temperature_c


def test_a_jetsons_files_are_shown_with_its_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = as_json(write_tree(tmp_path, ORIN_NANO), capsys)
    state = answer["board_state"]
    assert (state["source"], state["power_mode"], state["throttling"]) == ("jetson_sysfs", "25W", False)
    assert dict(zip(state["zone"], state["temperature_c"], strict=True))["tj-thermal"] == pytest.approx(
        51.718
    )
    assert dict(zip(state["rail"], state["power_w"], strict=True))["VDD_IN"] == pytest.approx(7.524)
    assert answer["unpublished"]["over_current_events"] == 52
    assert answer["limits"]["name"] == "Jetson Orin Nano Super"
    assert Path(answer["limits"]["file"]).is_file()
    assert answer["limits"]["power_modes"]["25W"]["budget_w"] == 25.0


def test_what_a_board_does_not_tell_is_null_and_unknown_limits_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = as_json(write_tree(tmp_path, PC), capsys)
    assert answer["board_state"]["zone"] == ["k10temp Tctl"]
    assert answer["board_state"]["total_power_w"] is None
    assert answer["board_state"]["gpu_load"] is None
    assert answer["limits"] is None


def test_for_people_a_dash_is_what_a_board_does_not_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--root", str(write_tree(tmp_path, PC))]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["temperature_c"] == "62.5"
    assert lines["total_power_w"] == lines["power_mode"] == lines["rail"] == "-"
    assert lines["limits"].startswith("none known")


def test_an_empty_folder_tells_nothing_and_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = as_json(tmp_path, capsys)["board_state"]
    assert state["zone"] == state["rail"] == []
    assert state["memory_total_mb"] is None
