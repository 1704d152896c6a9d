# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What `device` and `admission` do in real policy and yolo processes: words that are refused, and who asks under auto.

With the right to SCHED_FIFO, and without it: there the process drops it before it becomes the node.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_policy
import without_rights
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from test_node_yolo import Camera, detector
from vision_msgs.msg import Detection2DArray

from edge_stack_bench.ros.demo import _setting
from edge_stack_core.admission.status import BackgroundStatus, devices, read_status
from edge_stack_core.robot import find_robot, load_robot
from edge_stack_core.ros import qos
from edge_stack_core.ros.testing import NodeProcess, Peer
from edge_stack_core.runtime import process

ROBOT_FILE = find_robot("so101_sim")
ROBOT = load_robot(ROBOT_FILE)
POLICY, YOLO = "edge_stack_policy.ros.policy", "edge_stack_perception.ros.yolo"
KNOWN = "is not one of cpu, cuda, cuda:N"
REPLACED = "accelerator was replaced by device and admission: write device: cpu, admission: auto"
PRIORITY = 10

needs_rights = pytest.mark.skipif(process.fifo_refusal() is not None, reason="no right to SCHED_FIFO here")


@pytest.fixture(autouse=True)
def admission_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


@pytest.fixture
def lines(peer: Peer) -> Callable[[str], str]:
    """Publish joint states, and return what diagnostics say last of a node's admission."""
    joints = peer.node.create_publisher(JointState, "joint_states", qos.sensor())
    said: list[DiagnosticArray] = peer.collect(DiagnosticArray, "diagnostics", qos.status())

    def publish() -> None:
        message = JointState(name=list(ROBOT.joint_names), position=ROBOT.home.tolist())
        message.header.stamp = peer.node.get_clock().now().to_msg()
        joints.publish(message)

    peer.node.create_timer(0.03, publish)

    def last(name: str) -> str:
        values = [
            pair.value
            for array in said
            for status in array.status
            if status.name.startswith(f"{name}: ")
            for pair in status.values
            if pair.key == "admission"
        ]
        return values[-1] if values else ""

    return last


def policy_node(rights: bool = True, folder: Path | None = None, **parameters: Any) -> NodeProcess:
    """Start a policy node; folder: with the toy policy in it."""
    environment = toy_policy.entry_point(folder) if folder else {}
    module = POLICY
    if not rights:
        environment[without_rights.MODULE_VARIABLE] = POLICY
        module = "without_rights"
    values = {"robot_file": str(ROBOT_FILE), "policy_contract": "none", "chunk_rate_hz": 20.0, **parameters}
    return NodeProcess(module, "policy", values, environment=environment)


def fifo_threads(pid: int) -> set[int]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/task"):
        try:
            if os.sched_getscheduler(int(name)) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
                found.add(int(name))
        except ProcessLookupError:
            continue
    return found


def admission_of_yolo() -> BackgroundStatus:
    (job,) = read_status("cpu").background
    return job


def critical_jobs() -> int:
    return len(read_status("cpu").critical) if "cpu" in devices() else 0


# ---- words


def test_a_word_that_is_no_device_is_refused_at_configure_with_the_known_ones(
    peer: Peer, tmp_path: Path
) -> None:
    with (
        NodeProcess(YOLO, "yolo", {"model": str(detector(tmp_path))}),
        policy_node() as policy,
    ):
        for node, words in (("yolo", ("gpu", "GPU:0", "tensorrt", "")), ("policy", ("gpu", "cuda:x"))):
            for word in words:
                assert peer.set_parameter(node, "device", word) == (True, "")
                assert not peer.transition(node, "configure")
                wanted = f"configure failed: device: '{word}' {KNOWN}"
                peer.spin_until(
                    lambda node=node, wanted=wanted: peer.statuses[node].message == wanted, what=wanted
                )
        assert peer.set_parameter("policy", "device", "") == (True, "")
        assert peer.transition("policy", "configure")
        assert policy.alive()


def test_a_word_that_is_no_admission_is_refused_with_the_known_ones(peer: Peer, tmp_path: Path) -> None:
    wanted = "parameter admission: '{}' is not one of auto, on, off"
    parameters = {"model": str(detector(tmp_path)), "admission": ""}
    with NodeProcess(YOLO, "yolo", parameters), policy_node(admission="always"):
        for node, word in (("yolo", ""), ("policy", "always")):
            assert not peer.transition(node, "configure")
            peer.spin_until(
                lambda node=node, word=word: wanted.format(word) in peer.statuses[node].message, what=word
            )
            assert peer.set_parameter(node, "admission", "maybe") == (False, wanted.format("maybe"))


def test_on_and_off_are_words_though_yaml_takes_them_for_truth(peer: Peer, tmp_path: Path) -> None:
    parameters = {"model": str(detector(tmp_path)), "admission": True}
    with NodeProcess(YOLO, "yolo", parameters) as yolo:
        assert peer.transition("yolo", "configure")
        assert "admission on cpu: set by the parameter" in yolo.output()
        assert admission_of_yolo().name.endswith("yolo")
        assert peer.transition("yolo", "cleanup")
        assert peer.set_parameter("yolo", "admission", False) == (True, "")
        assert peer.transition("yolo", "configure")
        assert read_status("cpu").background == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("detect.admission=", ""),
        ("detect.device=", ""),
        ("detect.device=cuda", "cuda"),
        ("a.b=~", ""),
        ("a.b=2", 2),
    ],
)
def test_an_empty_value_on_the_command_line_is_empty_text(text: str, value: object) -> None:
    assert _setting(text)[2] == value


def test_the_parameter_of_an_earlier_version_is_answered_with_what_to_write(
    peer: Peer, tmp_path: Path
) -> None:
    with NodeProcess(YOLO, "yolo", {"model": str(detector(tmp_path))}), policy_node(accelerator="cpu"):
        assert peer.set_parameter("yolo", "accelerator", "cpu") == (
            False,
            f"parameter accelerator: {REPLACED}",
        )
        assert not peer.transition("policy", "configure")
        peer.spin_until(lambda: REPLACED in peer.statuses["policy"].message)
        assert peer.transition("yolo", "configure")


# ---- auto on a CPU


@pytest.fixture
def yolo(peer: Peer, tmp_path: Path) -> Iterator[list[Detection2DArray]]:
    """Run a yolo node with everything at its default beside the test, with frames; return its results."""
    with NodeProcess(YOLO, "yolo", {"model": str(detector(tmp_path)), "rate_hz": 30.0}) as node:
        peer.bring_up("yolo")
        results = peer.collect(Detection2DArray, "yolo/detections", qos.result())
        camera = Camera(peer)
        peer.node.create_timer(1 / 30, camera.send)
        yield results
        assert node.alive(), node.output()


@needs_rights
def test_with_the_right_to_sched_fifo_the_policy_has_it_and_nobody_asks(
    peer: Peer, yolo: list[Detection2DArray], lines: Callable[[str], str]
) -> None:
    with policy_node() as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: peer.statuses["policy"].processed >= 5, what="chunks")
        worker = peer.statuses["policy"].work_tid
        assert fifo_threads(policy.pid) == {worker}
        assert os.sched_getparam(worker).sched_priority == PRIORITY
        peer.spin_until(
            lambda: lines("policy") == "off (auto: the policy may have SCHED_FIFO)", what="the line"
        )
        seen = len(yolo)
        peer.spin_until(lambda: len(yolo) >= seen + 10, what="results beside the policy")
        peer.spin_until(lambda: lines("yolo") == "off (auto: no critical job is announced)", what="the line")
        assert critical_jobs() == 0
        assert admission_of_yolo().asked == 0
        assert peer.transition("policy", "deactivate")
        peer.spin_until(lambda: not fifo_threads(policy.pid), what="the policy's thread has ended")


def test_without_the_right_the_policy_announces_itself_and_the_others_ask_until_it_is_gone(
    peer: Peer, yolo: list[Detection2DArray], lines: Callable[[str], str]
) -> None:
    peer.spin_until(lambda: len(yolo) >= 5, what="results before there is a policy")
    assert admission_of_yolo().asked == 0
    with policy_node(rights=False) as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: admission_of_yolo().asked >= 10, what="admissions")
        assert fifo_threads(policy.pid) == set()
        assert critical_jobs() == 1
        peer.spin_until(lambda: lines("policy").startswith("on (auto: the policy may not have SCHED_FIFO"))
        peer.spin_until(lambda: lines("yolo") == "on (auto: a critical job is announced)", what="the line")
        policy.kill()
        peer.spin_until(lambda: critical_jobs() == 0)
        asked, seen = admission_of_yolo().asked, len(yolo)
        peer.spin_until(lambda: len(yolo) >= seen + 10, what="results after it")
        assert admission_of_yolo().asked <= asked + 1  # one look may have been before the kill


@needs_rights
@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"admission": "on"}, "on (set by the parameter)"),
        ({"scheduling_policy": "other"}, "on (auto: scheduling_policy is other)"),
        ({"inference_priority": 0}, "on (auto: inference_priority is 0)"),
    ],
)
def test_where_somebody_wants_it_so_the_policy_announces_itself_in_spite_of_its_right(
    peer: Peer, lines: Callable[[str], str], parameters: dict[str, Any], line: str
) -> None:
    with policy_node(**parameters) as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: peer.statuses["policy"].processed >= 2, what="chunks")
        assert fifo_threads(policy.pid) == set()
        assert critical_jobs() == 1
        peer.spin_until(lambda: lines("policy") == line, what=line)


@needs_rights
def test_a_scheduling_policy_of_the_whole_process_is_left_as_it_was_given(peer: Peer) -> None:
    with policy_node(scheduling_policy="fifo", scheduling_priority=3) as policy:
        peer.bring_up("policy")
        assert critical_jobs() == 0
        peer.spin_until(lambda: peer.statuses["policy"].work_tid, what="the worker")
        threads = fifo_threads(policy.pid)
        assert {policy.pid, peer.statuses["policy"].work_tid} <= threads
        assert {os.sched_getparam(thread).sched_priority for thread in threads} == {3}


@needs_rights
@pytest.mark.parametrize(("threads", "count"), [(1, 1), (3, 3)])
def test_threads_that_a_library_computes_in_have_the_priority_too(
    peer: Peer, tmp_path: Path, threads: int, count: int
) -> None:
    asked = json.dumps({"pool": 2})
    with policy_node(folder=tmp_path, policy="toy", policy_path=asked, threads=threads) as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: len(fifo_threads(policy.pid)) == count, what=f"{count} threads")
        assert policy.pid not in fifo_threads(policy.pid), "rclpy's own thread"
        assert peer.transition("policy", "deactivate")
        peer.spin_until(lambda: not fifo_threads(policy.pid), what="the normal policy")


@needs_rights
def test_a_policy_at_endpoints_computes_in_the_thread_of_its_endpoint(
    peer: Peer, lines: Callable[[str], str]
) -> None:
    with policy_node(endpoints=["local"], admission="off") as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: peer.statuses["policy"].processed >= 2, what="chunks")
        assert len(fifo_threads(policy.pid)) == 2  # who waits for the endpoint, and the endpoint
        peer.spin_until(lambda: lines("policy") == "off (set by the parameter)", what="the line")


@needs_rights
def test_a_policy_that_computes_all_the_time_gives_the_priority_back_and_announces_itself(
    peer: Peer, lines: Callable[[str], str], tmp_path: Path
) -> None:
    asked = json.dumps({"seconds": 1.1})
    with policy_node(folder=tmp_path, policy="toy", policy_path=asked, horizon=72) as policy:
        peer.bring_up("policy")
        peer.spin_until(lambda: fifo_threads(policy.pid), what="SCHED_FIFO at first")
        peer.spin_until(lambda: critical_jobs() == 1, 40.0, what="an announcement")
        peer.spin_until(lambda: not fifo_threads(policy.pid), what="the normal policy")
        peer.spin_until(
            lambda: lines("policy").startswith("on (auto: the policy computes nearly all the time")
        )


def test_a_policy_that_is_computed_on_a_server_needs_neither(peer: Peer) -> None:
    pytest.importorskip("grpc")
    import toy_remote

    with toy_remote.serving(toy_remote.ToyPolicy()) as server:
        address = f"grpc://127.0.0.1:{server.port}"
        with policy_node(policy="remote", policy_address=address, admission="on") as policy:
            peer.bring_up("policy")
            assert "off (the policy is computed on a server)" in policy.output()
            assert fifo_threads(policy.pid) == set() and critical_jobs() == 0


def test_a_shared_memory_that_cannot_be_used_stops_no_node_that_may_do_without_admission(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path / "missing"))
    with NodeProcess(YOLO, "yolo", {"model": str(detector(tmp_path))}) as yolo:
        assert peer.transition("yolo", "configure")
        assert "admission on cpu: off (auto: " in yolo.output()
        assert peer.transition("yolo", "cleanup")
        assert peer.set_parameter("yolo", "admission", "on") == (True, "")
        assert not peer.transition("yolo", "configure")
        peer.spin_until(lambda: "cannot be opened" in peer.statuses["yolo"].message)
