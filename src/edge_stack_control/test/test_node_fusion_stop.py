# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What a requested stop survives, over DDS: processes that are killed, reset and started anew, and a lost page."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_stack_msgs.msg import FusionStatus
from std_srvs.srv import SetBool
from test_node_fusion import JOINTS, MODULE, PARAMETERS, ROBOT, Stack

from edge_stack_core.ros.testing import NodeProcess, Peer
from edge_stack_core.runtime.command_page import path_of
from edge_stack_core.runtime.run_state import STATE_VARIABLE, RunFiles, end_run

FUSION = "/fusion"


class Robot:
    """One robot, and its fusion as one process after another."""

    def __init__(self, peer: Peer, robot_file: Path) -> None:
        robot_file.write_text(ROBOT, encoding="utf-8")
        self.parameters = {**PARAMETERS, "robot_file": str(robot_file), "stop_clear_s": 0.5}
        self.peer, self.stack = peer, Stack(peer)

    @contextlib.contextmanager
    def fusion(self, state: str = "", **more: object) -> Iterator[NodeProcess]:
        """Run it, active. state: another folder of the state."""
        environment = {STATE_VARIABLE: state} if state else None
        self.peer.statuses.pop("fusion", None)
        self.peer.heard.clear()
        with NodeProcess(MODULE, "fusion", {**self.parameters, **more}, environment=environment) as process:
            self.peer.bring_up("fusion")
            yield process

    def now(self) -> FusionStatus:
        """Return a status of now, from a robot that is measured and has actions: what holds it is a stop, if anything."""
        begin_s = self.peer.now_s()
        nothing = ("joint_state_stale", "no_action", "stale_action", "stale_perception")
        return self.peer.spin_until(
            lambda: next(
                (s for s in self.stack.statuses.since(begin_s) if s.reason not in nothing),
                None,
            )
        )

    def stop(self, wanted: bool) -> str:
        answer = self.peer.call(SetBool, "fusion/stop", SetBool.Request(data=wanted))
        assert answer.success
        return str(answer.message)


@pytest.fixture
def robot(peer: Peer, tmp_path: Path) -> Iterator[Robot]:
    robot = Robot(peer, tmp_path / "robot.yaml")
    yield robot
    robot.stack.close()


def test_a_stop_survives_a_removed_page_and_a_kill(robot: Robot) -> None:
    with robot.fusion() as process:
        robot.stack.running()
        robot.stop(True)
        path_of(FUSION).unlink()
        process.kill()
    with robot.fusion():
        status = robot.now()
        assert (status.reason, status.stop_sources) == ("stop_requested", ["service"])
        assert "released (service)" in robot.stop(False)
        robot.stack.running()


def test_a_stop_survives_a_reset_and_the_end_of_its_process(robot: Robot) -> None:
    with robot.fusion() as process:
        robot.stop(True)
        assert robot.peer.transition("fusion", "deactivate") and robot.peer.transition("fusion", "cleanup")
        assert process.stop(signal.SIGTERM) == 0  # in good order, but it is not the stack that ends
    with robot.fusion():
        assert robot.now().reason == "stop_requested"


def test_a_process_goes_on_in_a_new_page_with_its_stop_when_the_page_is_removed(robot: Robot) -> None:
    with robot.fusion() as process:
        robot.stop(True)
        robot.stack.until("stop_requested", FusionStatus.STOP)
        path_of(FUSION).unlink()
        robot.peer.spin_until(path_of(FUSION).exists)
        assert robot.now().stop_sources == ["service"]
        assert "the shared memory of commands was removed" in process.output() and process.alive()
        robot.stop(False)
        robot.stack.running()


def test_a_page_and_files_that_are_lost_while_it_runs_stop_the_robot(robot: Robot) -> None:
    with robot.fusion():
        robot.stack.running()
        files = RunFiles(FUSION)
        path_of(FUSION).unlink()
        for kind in ("run", "stop"):
            files.path(kind).unlink()
        robot.stack.until("stop_unknown", FusionStatus.STOP)
        assert robot.now().stop_sources == ["unknown"]
        robot.stop(False)
        robot.stack.running()


def test_an_unreadable_set_stops_the_robot_until_it_is_released(robot: Robot) -> None:
    with robot.fusion() as process:
        process.kill()
    path_of(FUSION).unlink()
    RunFiles(FUSION).path("stop").write_bytes(b"{")
    with robot.fusion():
        status = robot.stack.until("stop_unknown", FusionStatus.STOP)
        assert "cannot be told" in status.detail
        robot.stop(False)
        robot.stack.running()


@pytest.mark.parametrize("persists", [False, True])
def test_after_the_end_of_the_run_a_stop_holds_only_where_stops_persist(robot: Robot, persists: bool) -> None:
    with robot.fusion() as process:
        robot.stop(True)
        assert process.stop() == 0
    end_run(RunFiles(FUSION))  # as whoever started the stack does
    with robot.fusion(stop_persists=persists):
        assert robot.now().stop_sources == (["service"] if persists else [])


def test_where_nothing_can_be_written_the_robot_stops_all_the_same_and_the_answer_names_the_folder(
    robot: Robot, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    with robot.fusion(state=str(file)) as process:
        answer = robot.stop(True)
        assert "would not survive" in answer and str(file) in answer
        robot.stack.until("stop_requested", FusionStatus.STOP)
        robot.peer.spin_until(lambda: f"{file}: it is no folder" in process.output())
        robot.stop(False)
        robot.stack.running()


def test_a_fusion_whose_page_is_in_use_in_another_pid_namespace_is_refused_with_the_reason(
    robot: Robot,
) -> None:
    program = (
        "import sys; from edge_stack_core.runtime.command_page import CommandPage;"
        f" page = CommandPage('/fusion', {list(JOINTS)!r}); print('open', flush=True); sys.stdin.read()"
    )
    elsewhere = ["unshare", "--user", "--map-current-user", "--pid", "--fork", sys.executable, "-c", program]
    with subprocess.Popen(elsewhere, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        if other.stdout.readline() != "open\n":
            pytest.skip("this system allows no PID namespace of one's own")
        with NodeProcess(MODULE, "fusion", robot.parameters) as process:
            assert not robot.peer.transition("fusion", "configure")
            robot.peer.spin_until(lambda: "another PID namespace" in robot.peer.statuses["fusion"].message)
            other.communicate("")
            robot.peer.bring_up("fusion")  # once its holder is gone
            assert process.alive()
