# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The stack as processes: command lines, parameter files, output, orphaned shared memory, and `./edge run`'s end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_stack.runner import shared_memory
from edge_stack.runner.output import LogFollower
from edge_stack.runner.stack import (
    StackProcesses,
    frame_bytes,
    node_command,
    node_environment,
    publishes_frames,
)
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot
from edge_stack_core.stack_config import NodeConfig, StackConfig


def node(
    name: str = "detect", executable: str = "yolo", package: str = "edge_stack_perception", **parameters: Any
) -> NodeConfig:
    return NodeConfig(
        name, package, executable, "background", 1, "always", True, None, parameters, {"in": "out"}
    )


def test_a_node_gets_its_name_namespace_remappings_parameters_and_log_level() -> None:
    command = node_command(node(), Path("/run/detect.yaml"), namespace="/left/", log_level="debug")
    arguments = command[command.index("--ros-args") :]
    assert arguments[arguments.index("--params-file") + 1] == "/run/detect.yaml"
    assert arguments[arguments.index("--log-level") + 1] == "debug"
    remappings = {arguments[i + 1] for i, word in enumerate(arguments) if word == "-r"}
    assert remappings == {"__node:=detect", "__ns:=/left", "in:=out"}


def test_a_python_node_is_called_without_its_script() -> None:
    assert node_command(node(), Path("p.yaml"))[:2] == [sys.executable, "-c"]


def test_any_other_executable_is_found_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lib" / "depth_ros" / "depth"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{os.environ.get('AMENT_PREFIX_PATH', '')}:{tmp_path}")
    assert node_command(node(executable="depth", package="depth_ros"), Path("p.yaml"))[0] == str(program)


def test_a_missing_executable_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no executable yoolo; it has .*yolo"):
        node_command(node(executable="yoolo"), Path("p.yaml"))
    with pytest.raises(ConfigurationError, match="no such package is installed"):
        node_command(node(package="nowhere"), Path("p.yaml"))


def test_nothing_starts_if_one_node_cannot(tmp_path: Path) -> None:
    config = StackConfig(tmp_path / "robot.yaml", tmp_path / "arm.yaml", 24.0, (node(), node("b", "yoolo")))
    stack = StackProcesses(config, sim=True, run_folder=tmp_path / "run")
    with pytest.raises(ConfigurationError):
        stack.start()
    assert stack.group.pids() == {}


def test_only_processes_with_a_camera_get_the_large_segment() -> None:
    assert publishes_frames(node("sim", "sim", "edge_stack_sim"))
    assert publishes_frames(node("front", "camera"))
    assert publishes_frames(node("theirs", "driver", "somebody_elses"))
    assert not publishes_frames(node())


ROBOT = find_robot("so101_sim")


@pytest.mark.parametrize(
    ("parameters", "robot", "size"),
    [
        ({"width": 1280, "height": 720}, ROBOT, 1280 * 720 * 3),
        ({"width": 1280, "height": 720, "encoding": "rgba8"}, ROBOT, 1280 * 720 * 4),
        ({"image_width": 800, "image_height": 600}, None, 800 * 600 * 3),
        ({"width": 1280, "height": 0}, ROBOT, 320 * 240 * 3),
        ({"width": "wide", "height": 720}, None, 0),
        ({}, ROBOT, 320 * 240 * 3),
        ({}, None, 0),
    ],
)
def test_the_size_of_frames_is_the_nodes_or_that_of_the_robots_cameras(
    parameters: dict[str, Any], robot: Path | None, size: int
) -> None:
    assert frame_bytes(node("front", "camera", **parameters), robot) == size


def test_the_environment_of_a_camera_has_room_for_its_frames_and_that_of_a_model_none() -> None:
    wide = {"width": 3840, "height": 2160}
    for executable, ending in (("camera", "_frames_128.xml"), ("yolo", "edge_stack_localhost.xml")):
        environment = node_environment(node("n", executable, **wide), {}, ROBOT)
        assert environment["FASTDDS_DEFAULT_PROFILES_FILE"].endswith(ending)


def test_parameters_reach_the_node_whatever_its_namespace(tmp_path: Path) -> None:
    config = StackConfig(tmp_path / "robot.yaml", tmp_path / "arm.yaml", 24.0, ())
    stack = StackProcesses(config, sim=True, run_folder=tmp_path)
    path = stack._write_parameters(node(task="detect", rate_hz=5.0, cpu_affinity=[0, 1]))
    content = yaml.safe_load(path.read_text())
    assert content == {"/**": {"ros__parameters": {"task": "detect", "rate_hz": 5.0, "cpu_affinity": [0, 1]}}}


def test_new_lines_are_handed_on_once_and_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("of an earlier run\n")
    follower = LogFollower({"a": path, "b": tmp_path / "b.log"})
    assert list(follower.poll()) == []
    with path.open("a") as file:
        file.write("one\ntw")
    assert list(follower.poll()) == [("a", "one")]
    with path.open("a") as file:
        file.write("o\n")
    (tmp_path / "b.log").write_text("three\n")
    assert list(follower.poll()) == [("a", "two"), ("b", "three")]


def segment(folder: Path, number: int, age_s: float = 60.0) -> Path:
    path = folder / f"fastrtps_{number:016x}"
    path.write_bytes(b"x" * 100)
    lock = path.with_name(path.name + "_el")
    lock.touch()
    os.utime(lock, (time.time() - age_s, time.time() - age_s))
    return path


def test_only_old_segments_without_an_owner_are_removed(tmp_path: Path) -> None:
    orphan, used, newborn = segment(tmp_path, 1), segment(tmp_path, 2), segment(tmp_path, 3, age_s=0.0)
    other = tmp_path / "fastrtps_port7413_el"
    other.touch()
    with used.with_name(used.name + "_el").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shared_memory.remove_orphans(tmp_path) == 100
    assert not orphan.exists()
    assert not orphan.with_name(orphan.name + "_el").exists()
    assert used.exists()
    assert newborn.exists()
    assert other.exists()


def test_a_folder_that_is_not_there_has_no_orphans(tmp_path: Path) -> None:
    assert shared_memory.remove_orphans(tmp_path / "none") == 0


ROBOT_YAML = """
robot: so101_sim
nodes:
  detect: {package: edge_stack_perception, executable: yolo, class: essential, parameters: {task: detect, model: demo}}
  segment: {package: edge_stack_perception, executable: yolo, class: background, parameters: {task: segment, model: demo}}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_foreground_runner_ends_with_its_nodes(domain: int, tmp_path: Path, number: int) -> None:
    (tmp_path / "robot.yaml").write_text(ROBOT_YAML)
    command = [
        "-m",
        "edge_stack.runner",
        str(tmp_path / "robot.yaml"),
        "--sim",
        "--log-dir",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        end_s = time.monotonic() + 120.0
        while not (children := _children(process.pid, "--ros-args")) or len(children) < 2:
            assert time.monotonic() < end_s
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120.0)
        assert process.returncode == 0, output
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    finally:
        process.kill()
        process.wait()


def test_the_foreground_runner_refuses_a_broken_configuration(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text("nodes: 3\n")
    command = [sys.executable, "-m", "edge_stack.runner", str(tmp_path / "robot.yaml")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120.0, check=False)
    assert answer.returncode == 2
    assert "robot.yaml" in answer.stderr
    assert "Traceback" not in answer.stderr


def _children(parent: int, argument: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            ppid = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if ppid == parent and argument.encode() in words:
            found.append(int(entry.name))
    return found
