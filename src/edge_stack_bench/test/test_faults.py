# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Faults: written, read and refused as people would expect; done and ended at their times, in their order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack.shipped import shipped_config
from edge_stack_bench.faults import KINDS, FaultRunner, ScheduledFault, load_scenario, parse_fault
from edge_stack_bench.faults.injections import Hang, Hog, Ramp
from edge_stack_bench.faults.kinds import NODE
from edge_stack_bench.faults.random_faults import random_faults
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import load_config

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))
PARAMETER_FAULTS = (
    "camera_stall",
    "camera_noise",
    "frame_flood",
    "policy_nan",
    "policy_slow",
    "arm_stuck",
    "ambient_step",
    "fan_fail",
)


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.005)


class RecordingStack:
    """Takes what faults do to a stack."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def signal(self, name: str, number: int) -> None:
        if name == "nobody":
            raise KeyError(name)
        self.done.append((name, number))

    def set_parameters(self, executable: str, values: Mapping[str, Any]) -> None:
        self.done.append((executable, dict(values)))

    def names(self) -> list[str]:
        return ["fusion", "fusion_standby"]

    def request_stop(self, stop: bool) -> None:
        self.done.append(("stop", stop))

    def namespace(self) -> str:
        return ""


# ---- writing and reading


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("node_kill:detect@20", ScheduledFault("node_kill", "detect", 20.0, 0.0)),
        ("node_hang:policy@3.5:2", ScheduledFault("node_hang", "policy", 3.5, 2.0)),
        ("camera_stall@0", ScheduledFault("camera_stall", "", 0.0, 5.0)),
        ("power_mode:7@4:10", ScheduledFault("power_mode", "7", 4.0, 10.0)),
        ("power_mode:MAXN_SUPER@4", ScheduledFault("power_mode", "MAXN_SUPER", 4.0, 20.0)),
        ("supervisor_kill@1", ScheduledFault("supervisor_kill", "", 1.0, 0.0)),
    ],
)
def test_a_fault_is_read_as_it_is_written(text: str, fault: ScheduledFault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node_kill@5", "is not node_kill:<node>@<seconds>, for example node_kill:detect@20"),
        ("node_kill:detect", "is not node_kill:<node>@<seconds>"),
        ("node_kill:detect@-1", "is not node_kill:<node>@<seconds>"),
        ("node_kill:detect@nan", "is not node_kill:<node>@<seconds>"),
        ("node_kill:detect@5:3", "happens at once and has no duration"),
        ("camera_stall:sim@5", "is not camera_stall@<seconds>[:<duration>]"),
        ("camera_stall@5:soon", "is not camera_stall@<seconds>[:<duration>]"),
        ("power_mode:12@5", "there is no power mode 12; there are 7, 15, 25, MAXN_SUPER"),
        ("earthquake@5", "there is no fault 'earthquake'; there are node_kill, node_hang"),
    ],
)
def test_a_wrong_fault_is_refused_with_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        parse_fault(text)
    assert words in str(error.value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_example_of_every_kind_is_right_and_is_written_as_it_is_read(kind: Any) -> None:
    fault = parse_fault(kind.example)
    assert fault.of is kind
    assert parse_fault(str(fault)) == fault


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        fault = parse_fault(text)
    except ConfigurationError:
        return
    assert parse_fault(str(fault)).kind == fault.kind


def test_a_scenario_is_a_list_of_faults(tmp_path: Path) -> None:
    path = tmp_path / "hot.yaml"
    path.write_text("faults:\n  - ambient_step@5:10\n  - node_kill:detect@8\n")
    assert [str(fault) for fault in load_scenario(path)] == ["ambient_step@5:10", "node_kill:detect@8"]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_shipped_scenario_is_right_and_fits_into_a_minute(path: Path) -> None:
    faults = load_scenario(path)
    assert max(fault.at_s + fault.duration_s for fault in faults) < 60.0
    nodes = {node.name for node in load_config(shipped_config()).select(sim=True)}
    assert {fault.what for fault in faults if fault.of.argument == NODE} <= nodes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "faults:\n  - camera_stall@1\n  - earthquake@5\n",
            ":3: faults.1: 'earthquake@5': there is no fault",
        ),
        ("faults: []\n", "faults"),
        ("fault: [camera_stall@1]\n", "fault"),
    ],
)
def test_a_wrong_scenario_is_refused_with_file_line_and_field(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        load_scenario(path)
    assert str(path) in str(error.value) and words in str(error.value)


# ---- doing


def run_to_the_end(stack: RecordingStack, *faults: str) -> FaultRunner:
    runner = FaultRunner([parse_fault(text) for text in faults], stack, say=lambda _: None)
    runner.start(time.monotonic())
    wait_until(lambda: all(d.ended_s is not None or d.error for d in runner.done), "faults over")
    runner.close()
    return runner


def test_faults_begin_and_end_in_the_order_of_their_times() -> None:
    stack = RecordingStack()
    run_to_the_end(stack, "camera_stall@0.1:0.3", "node_kill:detect@0.2", "policy_nan@0.05:0.2")
    assert stack.done == [
        ("policy", {"fault": "nan"}),
        ("sim", {"camera_stall": True}),
        ("detect", signal.SIGKILL),
        ("policy", {"fault": "none"}),
        ("sim", {"camera_stall": False}),
    ]


@pytest.mark.parametrize("name", PARAMETER_FAULTS)
def test_what_a_fault_changes_is_changed_back(name: str) -> None:
    stack = RecordingStack()
    run_to_the_end(stack, f"{name}@0:0.01")
    (executable, during), (same, after) = stack.done
    assert executable == same
    assert during.keys() == after.keys()
    assert during != after


def test_the_robot_is_stopped_before_every_process_is_killed_and_released_at_the_end() -> None:
    stack = RecordingStack()
    run_to_the_end(stack, "stop_restart@0:0.01")
    assert stack.done == [
        ("stop", True),
        ("fusion", signal.SIGKILL),
        ("fusion_standby", signal.SIGKILL),
        ("stop", False),
    ]


def test_a_fault_that_cannot_be_done_is_recorded_and_the_others_go_on() -> None:
    stack = RecordingStack()
    runner = run_to_the_end(stack, "node_kill:nobody@0", "node_kill:detect@0.05")
    assert "KeyError" in runner.done[0].error
    assert stack.done == [("detect", signal.SIGKILL)]
    assert runner.done[1].as_dict(0.0)["error"] == ""


def test_closing_ends_what_is_on_and_begins_nothing_more() -> None:
    stack = RecordingStack()
    runner = FaultRunner(
        [parse_fault("camera_stall@0:60"), parse_fault("node_kill:detect@60")], stack, say=lambda _: None
    )
    runner.start(time.monotonic())
    wait_until(lambda: stack.done, "the first fault")
    runner.close()
    assert stack.done == [("sim", {"camera_stall": True}), ("sim", {"camera_stall": False})]
    assert runner.done[1].began_s is None


def test_a_ramp_rises_to_its_end_and_goes_back() -> None:
    stack = RecordingStack()
    ramp = Ramp("board", "ambient_c", 25.0, 55.0, 0.5)
    ramp.begin(stack)
    wait_until(lambda: ("board", {"ambient_c": 55.0}) in stack.done, "the end of the ramp")
    ramp.end(stack)
    values = [values["ambient_c"] for _, values in stack.done]
    assert values == [40.0, 55.0, 25.0]


def test_a_hung_process_stands_still_and_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:

            class One(RecordingStack):
                def signal(self, name: str, number: int) -> None:
                    os.kill(process.pid, number)

            hang = Hang("detect")
            hang.begin(One())
            wait_until(
                lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it stands still"
            )
            hang.end(One())
            wait_until(lambda: psutil.Process(process.pid).status() != psutil.STATUS_STOPPED, "it goes on")
        finally:
            process.kill()


def test_a_hog_keeps_busy_in_sessions_of_its_own_and_leaves_nothing_behind() -> None:
    before = set(psutil.Process().children())
    hog = Hog()
    hog.begin(RecordingStack())
    busy = set(psutil.Process().children()) - before
    assert len(busy) == Hog.PER_CORE * (os.cpu_count() or 1)
    wait_until(lambda: all(p.cpu_times().user > 0.0 for p in busy), "all of them compute")
    assert all(os.getsid(p.pid) == p.pid for p in busy)
    hog.end(RecordingStack())
    assert not any(p.is_running() for p in busy)


# A process of its own with one thread, as own_network wants.
LOSE_PACKETS = """
import json, socket, sys, time
from edge_stack_bench.faults.injections import NetworkLoss, own_network
try:
    own_network()
except OSError as error:
    sys.exit(f"not allowed: {error}")
receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(("127.0.0.1", 0))
receiver.setblocking(False)

def arrived():
    try:
        sender.sendto(b"x", receiver.getsockname())
        receiver.recv(1)
    except OSError:
        return False
    return True

before = arrived()
loss = NetworkLoss(seed=1)
loss.begin(None)
seen = set()
until_s = time.monotonic() + 60.0
while len(seen) < 2 and time.monotonic() < until_s:
    seen.add(arrived())
    time.sleep(0.01)
loss.end(None)
print(json.dumps([before, sorted(seen), arrived()]))
"""

TOUCH = """
import os
from edge_stack_bench.faults.injections import set_loopback
if os.geteuid() == 0:
    os.setuid(65534)
set_loopback(up=True)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120.0
    )


def test_the_network_of_ones_own_loses_some_and_comes_back() -> None:
    run = python(LOSE_PACKETS)
    if run.stderr.startswith("not allowed"):
        pytest.skip(f"no network namespace here: {run.stderr.strip()}")
    assert json.loads(run.stdout) == [True, [False, True], True], run.stderr


def test_the_network_of_everybody_is_not_touched_without_the_right_to() -> None:
    run = python(TOUCH)
    assert run.returncode != 0
    assert "PermissionError" in run.stderr


# ---- random ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_faults_and_each_can_be_written_and_read() -> None:
    nodes = ("detect", "fusion")
    faults = random_faults(7, 600.0, nodes)
    assert faults == random_faults(7, 600.0, nodes) != random_faults(8, 600.0, nodes)
    assert tuple(parse_fault(str(fault)) for fault in faults) == faults


@given(seed=st.integers(0, 2**31), duration_s=st.floats(1.0, 1000.0))
def test_random_faults_begin_and_end_in_time_and_are_of_the_kinds_that_can_be_done(
    seed: int, duration_s: float
) -> None:
    faults = random_faults(seed, duration_s, ("detect",), without=("dds_drop", "clock_jump"))
    assert all(fault.at_s <= duration_s + 0.1 for fault in faults)
    assert all(fault.at_s + fault.duration_s <= duration_s + 0.2 for fault in faults)
    assert {fault.kind for fault in faults} <= set(KINDS) - {"dds_drop", "clock_jump"}
    assert len(faults) <= duration_s / 4.0
