# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A captured inference: what is enqueued when, on which stream, inside which admission, and what is freed."""

from __future__ import annotations

import inspect
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.admission import BackgroundJob, CriticalJob, Refused
from edge_stack_core.admission.status import read_status
from edge_stack_inference.cuda.captured import CapturedInference, Workspace
from edge_stack_inference.splitting import SlicedModel
from edge_stack_inference.testing.host_device import HostDevice

SHAPE, DTYPE = (2, 3), np.dtype(np.float32)
ONES = {"x": np.ones(SHAPE, np.float32)}


class Graph:
    """Adds a number to a buffer, when the stream comes to it."""

    def __init__(self, work: Workspace, name: str, source: int, target: int, number: float) -> None:
        self.name, self.number = name, number
        self.stream, device = work.stream, work.device
        view = np.zeros(SHAPE, DTYPE)
        self.source, self.target = (
            device.memory[a][: view.nbytes].view(DTYPE).reshape(SHAPE) for a in (source, target)
        )
        self.error: Exception | None = None

    def launch(self) -> None:
        if self.error:
            raise self.error
        self.stream.enqueue(self.name, lambda: np.add(self.source, self.number, out=self.target))


class Job:
    """Asks nobody, and writes into the device's log."""

    def __init__(self, device: HostDevice, refuse_at: int = -1) -> None:
        self.log, self.refuse_at = device.log, refuse_at
        self.asked: list[dict[str, Any]] = []

    @contextmanager
    def admitted(self, **request: Any):
        if len(self.asked) == self.refuse_at:
            raise Refused("no", "timeout")
        self.asked.append(request)
        self.log.append("admitted")
        yield SimpleNamespace(delay_s=0.0)
        self.log.append("over")


def capture(device: HostDevice, numbers: tuple[float, ...] = (1.0,), priority: str = "low"):
    """Capture x + numbers[0] + numbers[1] ..., a slice each."""
    with Workspace(device, priority) as work:
        addresses = [work.memory(SHAPE, DTYPE) for _ in range(len(numbers) + 1)]
        graphs = [
            Graph(work, f"graph {i}", addresses[i], addresses[i + 1], number)
            for i, number in enumerate(numbers)
        ]
        inputs = [work.port("x", addresses[0], SHAPE, DTYPE)]
        outputs = [work.port("y", addresses[-1], SHAPE, DTYPE)]
        return work.finish(graphs, inputs, outputs), graphs


def test_a_replay_copies_in_launches_copies_out_and_waits_for_an_event_behind_it():
    device = HostDevice()
    inference, _ = capture(device)
    (result,) = inference.run(ONES)
    assert device.log == ["copy in", "graph 0", "copy out", "record", "wait"]
    np.testing.assert_array_equal(result, np.full(SHAPE, 2.0))


def test_each_piece_is_over_before_its_admission_ends():
    device = HostDevice()
    inference, _ = capture(device, (1.0, 2.0, 4.0))
    inference.run(ONES, Job(device))
    end = ["record", "wait", "over"]
    assert device.log == [
        *("admitted", "copy in", "graph 0", *end),
        *("admitted", "graph 1", *end),
        *("admitted", "graph 2", "copy out", *end),
    ]


def test_each_piece_asks_with_its_own_part_and_what_is_left_of_the_deadline():
    device = HostDevice()
    inference, _ = capture(device, (1.0, 2.0))
    job = Job(device)
    inference.run(ONES, job, deadline_s=0.5, wait_s=0.25)
    assert [request["key"] for request in job.asked] == [0, 1]
    assert {request["wait_s"] for request in job.asked} == {0.25}
    first, second = (request["deadline_s"] for request in job.asked)
    assert 0.5 >= first >= second > 0.0


@given(
    numbers=st.lists(st.integers(-8, 8), min_size=1, max_size=6),
    runs=st.lists(st.integers(-99, 99), min_size=1, max_size=4),
)
def test_whatever_is_run_in_whatever_slices_gives_what_the_whole_gives(numbers: list[int], runs: list[int]):
    inference, _ = capture(HostDevice(), tuple(map(float, numbers)))
    for value in runs:
        (result,) = inference.run({"x": np.full(SHAPE, value, np.float32)})
        assert np.all(result == value + sum(numbers))


@pytest.mark.parametrize(("priority", "number"), [("high", -5), ("low", 0)])
def test_it_runs_on_one_stream_of_the_priority_that_was_asked_for(priority: str, number: int):
    device = HostDevice()
    inference, _ = capture(device, (1.0, 2.0), priority)
    assert [stream.priority for stream in device.streams] == [number]
    assert inference.stream is device.streams[0]


def test_a_refused_piece_ends_the_run_and_the_next_run_is_right():
    device = HostDevice()
    inference, _ = capture(device, (1.0, 2.0))
    with pytest.raises(Refused):
        inference.run(ONES, Job(device, refuse_at=1))
    assert "graph 1" not in device.log
    assert np.all(inference.run(ONES)[0] == 4.0)


def test_a_piece_that_fails_is_waited_for_inside_its_admission():
    device = HostDevice()
    inference, graphs = capture(device)
    graphs[0].error = RuntimeError("launch failed")
    with pytest.raises(RuntimeError, match="launch failed"):
        inference.run(ONES, Job(device))
    assert device.log == ["admitted", "copy in", "record", "wait"]


@pytest.mark.parametrize(
    ("feeds", "text"), [({}, "input x: missing"), ({"x": np.ones((3, 3))}, r"\[3, 3\].*captured as \[2, 3\]")]
)
def test_an_input_that_does_not_fit_is_refused_by_name_before_anything_runs(feeds: dict, text: str):
    device = HostDevice()
    inference, _ = capture(device)
    with pytest.raises(ValueError, match=text):
        inference.run(feeds)
    assert device.log == []


def test_it_runs_in_a_thread_that_never_saw_the_device():
    inference, _ = capture(HostDevice())
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(inference.run(ONES)))
    thread.start()
    thread.join()
    assert np.all(results[0] == 2.0)


def test_close_frees_everything_once_and_returned_outputs_stay_readable():
    device = HostDevice()
    inference, _ = capture(device, (1.0, 2.0))
    (result,) = inference.run(ONES)
    inference.close()
    inference.close()
    assert device.is_empty
    assert np.all(result == 4.0)
    with pytest.raises(RuntimeError, match="closed"):
        inference.run(ONES)


def test_a_producer_that_fails_halfway_leaves_nothing():
    device = HostDevice()
    with Workspace(device, "low") as work:
        work.port("x", work.memory(SHAPE, DTYPE), SHAPE, DTYPE)
        assert device.memory
    assert device.is_empty


@pytest.fixture
def admission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a device whose admission is this test's own."""
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    return "cuda:0"


def test_a_real_admission_admits_each_piece_on_its_own(admission: str):
    inference, _ = capture(HostDevice(), (1.0, 2.0, 4.0))
    job = BackgroundJob(admission, "segment", "split")
    inference.prime(job)
    assert all(job.expected_s(key) > 0.0 for key in range(3))
    inference.run(ONES, job)
    (status,) = read_status(admission).background
    assert status.admitted == 3


def test_nothing_is_launched_while_a_critical_inference_runs(admission: str):
    device = HostDevice()
    inference, _ = capture(device)
    critical = CriticalJob(admission, "policy", period_s=0.5, lease_s=5.0)
    job = BackgroundJob(admission, "segment")
    with critical, pytest.raises(Refused):
        inference.run(ONES, job, wait_s=0.02)
    assert device.log == []


def test_the_inference_can_stand_for_a_sliced_model():
    for name in ("run", "prime", "__len__"):
        mine, theirs = (
            list(inspect.signature(getattr(c, name)).parameters) for c in (CapturedInference, SlicedModel)
        )
        assert mine == theirs
