# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
That nothing which launch started outlives it, however and whenever launch ends. Where launch_ros is installed.

The launch process is this Python with a LaunchService, as `ros2 launch` is. Its nodes are found by their folder, which
nothing else is in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_stack_core.robot import find_robot
from edge_stack_core.ros.testing import Peer
from edge_stack_core.runtime import run_state

pytest.importorskip("launch_ros", reason="launch_ros is not installed (it comes with ROS, not from PyPI)")

LAUNCH = Path(__file__).resolve().parents[1] / "launch" / "robot.launch.py"
DRIVER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription

service = LaunchService(noninteractive=True)
arguments = [word.split(":=") for word in sys.argv[2:]]
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(sys.argv[1], launch_arguments=arguments)]))
sys.exit(service.run())
"""
# A node of somebody else: it ends by no signal but SIGKILL, and its own child neither.
STUBBORN = """#!/bin/sh
trap '' INT TERM HUP
sleep 600 &
while :; do sleep 600; done
"""


def until(condition: Callable[[], Any], what: str, timeout_s: float = 90.0) -> Any:
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"{what}: not within {timeout_s} s"
        time.sleep(0.02)
    return value


class Launch:
    """One launch process, started in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._output = folder / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(LAUNCH), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_LOG_DIR": str(folder / "logs")},
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def nodes(self) -> list[int]:
        """Return what lives of all that launch started, the guard left out by its own end."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                own = entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder)
                alive = own and (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
            except OSError:
                continue
            if alive and int(entry.name) != self.process.pid:
                found.append(int(entry.name))
        return found

    def end(self, number: int) -> int:
        """Send launch a signal and return its code, once nothing is left of all that it started."""
        self.process.send_signal(number)
        code = self.process.wait(60.0)
        until(lambda: not self.nodes(), "all processes to end", 30.0)
        return code


@pytest.fixture
def start(tmp_path: Path, domain: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Launch]]:
    """Return a function that launches supervisor, fusion and others of a robot.yaml."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv(run_state.STATE_VARIABLE, str(tmp_path / "state"))
    started: list[Launch] = []

    def launch(*arguments: str, **more: dict[str, Any]) -> Launch:
        robot = {"robot_file": "$robot", "control_priority": 0, "lock_memory": False, "simulated": "$sim"}
        watch = {"config_file": "$config", "robot": "$robot", "sim": "$sim", "modes_file": "$modes"}
        ours = {
            "class": "critical",
            "package": "edge_stack_control",
            "executable": "fusion",
            "parameters": robot,
        }
        nodes = {
            "fusion": ours,
            "supervisor": {
                "class": "essential",
                "package": "edge_stack_supervisor",
                "executable": "supervisor",
                "parameters": watch,
            },
            **more,
        }
        file = tmp_path / "stack.yaml"
        file.write_text(
            yaml.safe_dump({"robot": str(find_robot("so101_sim")), "nodes": nodes}), encoding="utf-8"
        )
        started.append(Launch(tmp_path, f"config:={file}", "sim:=false", *arguments))
        return started[-1]

    yield launch
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        for pid in one.nodes():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name
)
def test_nothing_outlives_a_launch_that_is_ended_while_its_processes_start(
    start: Callable[..., Launch], number: signal.Signals
) -> None:
    launch = start()
    until(lambda: "process started" in launch.output, "the first process")
    assert launch.end(number) == -number


def test_nothing_outlives_a_killed_launch_and_nothing_of_somebody_else_s_does(
    start: Callable[..., Launch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, domain: int
) -> None:
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "foreign"
    program = tmp_path / "lib" / "foreign" / "stubborn"
    for file in (marker, program):
        file.parent.mkdir(parents=True)
        file.touch(0o755)
    program.write_text(STUBBORN, encoding="utf-8")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}")
    with Peer() as peer:
        launch = start(stubborn={"class": "background", "package": "foreign", "executable": "stubborn"})
        peer.spin_until(
            lambda: "fusion" in peer.statuses and peer.statuses["fusion"].state == "active",
            what="fusion to be active",
        )
    assert len(launch.nodes()) >= 4
    assert launch.end(signal.SIGTERM) == -signal.SIGTERM


def test_our_nodes_do_not_even_outlive_a_launch_whose_guard_was_killed(start: Callable[..., Launch]) -> None:
    with Peer() as peer:
        launch = start()
        peer.spin_until(lambda: {"fusion", "supervisor"} <= set(peer.statuses), what="the nodes")
    guards = [pid for pid in launch.nodes() if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    assert len(guards) == 1
    assert launch.end(signal.SIGKILL) == -signal.SIGKILL


def test_ctrl_c_in_the_first_moments_ends_all_without_a_traceback(start: Callable[..., Launch]) -> None:
    launch = start()
    until(lambda: "process started" in launch.output, "the first process")
    assert launch.end(signal.SIGINT) == 0
    assert "Traceback" not in launch.output


def test_an_orderly_end_leaves_no_file_of_the_supervisor_and_log_files_are_named_after_nodes(
    start: Callable[..., Launch], tmp_path: Path
) -> None:
    memory = run_state.supervisor_file("/supervisor")
    with Peer() as peer:
        launch = start()
        peer.spin_until(lambda: memory.exists(), what="the supervisor to remember its nodes")
    assert memory.parent == tmp_path
    assert launch.end(signal.SIGINT) == 0
    assert not memory.exists()
    logs = {
        path.name.rstrip("0123456789.log").rstrip("_0123456789") for path in (tmp_path / "logs").glob("*.log")
    }
    assert {"fusion", "supervisor"} <= logs
    assert not [name for name in logs if "launch_params" in name]


def test_nothing_starts_where_one_of_the_executables_is_missing(start: Callable[..., Launch]) -> None:
    last = {"class": "background", "package": "edge_stack_perception", "executable": "stack_nod"}
    launch = start(zz=last)
    assert launch.process.wait(60.0) == 1
    assert "has no executable stack_nod" in launch.output
    assert "process started" not in launch.output
