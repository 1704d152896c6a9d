# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The program that records datasets, without LeRobot: what it says of what has not come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from edge_stack_record.ros import record_dataset


class Writer:
    """Writes nothing."""

    fps, pending, episodes, frames = 24, 0, 0, 0

    def __init__(self, folder: Path, *_: Any, **__: Any) -> None:
        self.folder = folder

    def close(self) -> None:
        pass


def test_it_says_what_ends_it_and_what_it_waits_for(
    domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record_dataset, "DatasetWriter", Writer)
    monkeypatch.setattr(record_dataset, "SAY_S", 0.1)
    monkeypatch.setattr(record_dataset.signal, "signal", lambda *_: None)  # this process has its own
    arguments = [
        "--out",
        str(tmp_path),
        "--robot",
        "so101_sim",
        "--contract",
        "so101_sim",
        "--duration",
        "0.5",
    ]
    assert record_dataset.main([*arguments, "--episodes", "3"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}: records until 3 episodes are kept or 0.5 s are over or Ctrl-C",
        "waits for image_raw, joint_states, joint_command, a task on instruction",
    ]
