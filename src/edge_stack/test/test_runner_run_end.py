# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""When a run ends, and a requested stop with it: by the orderly end of the whole stack, and by nothing else."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from std_srvs.srv import SetBool

from edge_stack.doctor import rights
from edge_stack.runner.run_end import end_runs
from edge_stack.runner.stack import StackProcesses
from edge_stack_core.robot import find_robot
from edge_stack_core.ros.testing import Peer
from edge_stack_core.runtime import run_state
from edge_stack_core.runtime.run_state import RunFiles, begin_run
from edge_stack_core.stack_config import NodeConfig, StackConfig


def fusion(name: str = "fusion", **parameters: Any) -> NodeConfig:
    robot = {"robot_file": str(find_robot("so101_sim")), "control_priority": 0, "lock_memory": False}
    return NodeConfig(
        name,
        "edge_stack_control",
        "fusion",
        "critical",
        0,
        "always",
        True,
        None,
        {**robot, "autostart": True, **parameters},
        {},
    )


PAIR = (fusion(), fusion("fusion_standby", standby_of="fusion"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFiles]:
    monkeypatch.setenv(run_state.STATE_VARIABLE, str(tmp_path / "state"))
    files = RunFiles("/left/fusion")
    begin_run(files, 1, ["service"])
    yield files
    files.close()


@pytest.mark.parametrize(
    ("codes", "ends"),
    [
        ({"fusion": 0, "fusion_standby": 0, "detect": -9}, True),
        ({"fusion": 0, "fusion_standby": -9}, False),
        ({"fusion": -9, "fusion_standby": 0}, False),
        ({"fusion": 0, "fusion_standby": None}, False),
        ({"fusion": 0}, True),  # it was started without a standby
        ({}, False),
    ],
)
def test_a_run_ends_once_all_of_fusion_and_standby_ended_in_good_order(
    files: RunFiles, codes: dict[str, int | None], ends: bool
) -> None:
    end_runs(PAIR, "left", codes)
    assert (run_state.load(files).run == 0) == ends


def test_a_stack_beside_it_ends_its_own_run_alone(files: RunFiles) -> None:
    end_runs(PAIR, "right", {"fusion": 0, "fusion_standby": 0})
    assert run_state.load(files).run == 1


def test_doctor_names_the_folder_and_the_stops_of_runs_that_were_not_ended(files: RunFiles) -> None:
    (finding,) = rights.state()
    assert str(files.folder) in finding.fact and "service" in finding.fact
    assert "fusion/stop" in finding.remedy
    run_state.end_run(files)
    (finding,) = rights.state()
    assert "service" not in finding.fact and not finding.remedy


def test_the_runner_ends_the_run_that_its_processes_began_and_one_that_they_are_killed_in_goes_on(
    peer: Peer, tmp_path: Path
) -> None:
    config = StackConfig(tmp_path / "robot.yaml", find_robot("so101_sim"), 24.0, PAIR)
    stored = RunFiles("/fusion")

    def run(name: str) -> StackProcesses:
        stack = StackProcesses(config, sim=True, run_folder=tmp_path / name)
        peer.heard.clear()
        stack.start()
        return stack

    for name, kill in (("killed", True), ("ended", False)):
        stack = run(name)
        try:
            answer = peer.call(SetBool, "fusion/stop", SetBool.Request(data=True))
            assert answer.success
            peer.spin_until(lambda: {s.name for s in peer.heard if s.state == "active"} >= {"/fusion"})
            assert run_state.load(stored).held == {"service"}
        finally:
            if kill:
                stack.group.kill()
            codes = stack.stop()
        assert set(codes.values()) == ({-signal.SIGKILL} if kill else {0})
        found = run_state.load(stored)
        assert (found.run != 0) == kill, stack.tails()
    stored.close()


@pytest.mark.parametrize(("code", "stays"), [(0, False), (-9, True), (None, True)])
def test_what_a_supervisor_keeps_for_its_next_process_ends_with_its_orderly_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, stays: bool
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = "supervisor"
    node = NodeConfig(name, f"edge_stack_{name}", name, "essential", 0, "always", True, None, {}, {})
    file, others = (
        run_state.supervisor_file("/left/supervisor"),
        run_state.supervisor_file("/right/supervisor"),
    )
    file.touch()
    others.touch()
    end_runs([node], "left", {name: code})
    assert file.exists() is stays
    assert others.exists()
