# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The demo as a user starts it: the whole stack on the simulated robot, its report, faults and Ctrl-C.

What is asserted of rates and times is far from what the stack reaches, since tests run beside other tests: figures that
are claimed come from `./edge demo --report` and `./edge bench`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

NODES = (
    "classify",
    "detect",
    "fusion",
    "fusion_standby",
    "obb",
    "pose",
    "segment",
    "sim",
    "supervisor",
    "policy",
)
MODELS = ("classify", "detect", "obb", "pose", "segment")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "edge_stack_bench.ros.demo",
            "--headless",
            "--log-dir",
            str(folder / "logs"),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Admission of its own: the usual one is shared by all stacks of this user, and remembers what they were like.
        env={
            **{name: value for name, value in os.environ.items() if name != "EDGE_STARTED_S"},
            "EDGE_STACK_ADMISSION_DIR": str(folder),
            "EDGE_STACK_STATE_DIR": str(folder / "state"),
        },
    )


def run(folder: Path, *arguments: str, timeout_s: float = 240.0) -> dict[str, Any]:
    report = folder / "r.json"
    process = start(folder, "--report", str(report), *arguments)
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    assert process.returncode == 0, output
    return dict(json.loads(report.read_text()))


def tick_rate_hz(report: dict[str, Any]) -> float:
    """Return the rate of the control loop with the ticks that it counts as missed, for want of a core."""
    control = report["control"]
    return float(control["rate_hz"] * (1.0 + control["skipped_ticks"] / control["commands"]))


def stack_processes(domain: int) -> list[psutil.Process]:
    """Find every process of this test's domain except the test itself."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ROS_DOMAIN_ID") == str(domain) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition, timeout_s: float, what: str) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def test_the_demo_commands_the_robot_runs_the_models_and_does_the_task(domain: int, tmp_path: Path) -> None:
    chosen = ("--set", "segment.rate_hz=2.0")  # as its help says
    report = run(tmp_path, "--duration", "30", "--view", str(tmp_path / "view.gif"), *chosen)
    control = report["control"]
    assert 23.0 < tick_rate_hz(report) < 24.5
    assert control["commands"] + control["skipped_ticks"] > 24 * 25
    assert set(control["lateness_ms"]) == {"p50", "p99", "p999", "max"}
    assert set(MODELS) | {"policy"} <= set(report["models"])
    for name in MODELS:
        model = report["models"][name]
        # On a busy machine the governor may lower a rate under way: the target is that of the end, the rate of all the time.
        assert 0.7 * model["target_hz"] < model["rate_hz"] <= 1.1 * 5.0, name
        assert model["latency_ms"]["p50"] is not None
    assert report["models"]["segment"]["target_hz"] <= 2.0
    assert report["task"]["attempts"] >= 1
    assert report["task"]["successes"] >= 1
    assert report["rss_total_mb"] < 1500
    assert {n for n, node in report["nodes"].items() if node["state"] == "active"} == set(NODES)
    assert (tmp_path / "view.gif").stat().st_size > 10_000
    wait_until(lambda: not stack_processes(domain), 60.0, "every process ended: the demo left none behind")


def test_every_node_comes_back_when_it_is_killed_and_the_report_says_so(domain: int, tmp_path: Path) -> None:
    faults = [f"--fault=node_kill:{name}@{3 + 5 * i}" for i, name in enumerate(NODES)]
    report = run(tmp_path, "--duration", str(3 + 5 * len(NODES) + 7), *faults)
    for name in NODES:
        node = report["nodes"][name]
        assert node["state"] == "active", f"{name}: {node}"
        assert node["restarts"] == 1, f"{name}: {node}"
        assert len(node["recoveries_s"]) == 1, f"{name}: {node}"
    # Fusion itself was killed once; apart from that it commanded or held all the time.
    assert report["control"]["max_gap_ms"] < 500.0
    assert 23.0 < tick_rate_hz(report) < 24.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_every_process_of_the_demo(domain: int, tmp_path: Path, number: int) -> None:
    process = start(tmp_path)
    try:
        wait_until(lambda: len(stack_processes(domain)) > len(NODES), 120.0, "all processes started")
        process.send_signal(number)
        process.wait(60.0)
        wait_until(lambda: not stack_processes(domain), 60.0, "every process ended")
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_at_once_ends_everything_too(domain: int, tmp_path: Path) -> None:
    process = start(tmp_path)
    try:
        wait_until(lambda: len(stack_processes(domain)) > 2, 120.0, "first processes started")
        process.send_signal(signal.SIGINT)
        process.wait(60.0)
        wait_until(lambda: not stack_processes(domain), 60.0, "every process ended")
    finally:
        process.kill()
        process.communicate()


def test_a_broken_configuration_is_answered_with_file_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(
        "robot: so101_sim\nnodes:\n  detect: {package: edge_stack_perception, executable: yolo, class: vital}\n"
    )
    process = start(tmp_path, "--config", str(tmp_path / "robot.yaml"))
    output, _ = process.communicate(timeout=120.0)
    assert process.returncode == 2
    assert "robot.yaml:3: nodes.detect.class: 'vital' is not one of" in output


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--fault=node_kill@5", "is not node_kill:<node>@<seconds>"),
        ("--fault=earthquake@5", "there is no fault 'earthquake'"),
        ("--fault=node_kill:detekt@5", "no node is called detekt"),
        ("--view=film.avi", "must end in .gif or .mp4"),
        ("--duration=-1", "cannot be negative"),
        ("--disable=detekt", "no node is called detekt; there are"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_would_be_right(
    tmp_path: Path, argument: str, text: str
) -> None:
    process = start(tmp_path, argument)
    output, _ = process.communicate(timeout=120.0)
    assert process.returncode == 2, output
    assert text in output
