# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Real processes on one admission, killed with SIGKILL at random moments and at every single store of the protocol."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_stack_core.admission import AdmissionDevice, BackgroundJob, CriticalJob
from edge_stack_core.admission.status import read_status

PERIOD_S = 0.1
LONG_PERIOD_S = 2.0  # so long that whoever had to wait for its end would show, however busy the machine is
KILLS = 200
LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))


def fork(work: Callable[[], None]) -> int:
    """Run work in a child of its own until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def withheld_s(pids: list[int]) -> float:
    """Return how long processes were ready to run and got no core: a busy machine's share in a delay."""
    total_ns = 0
    for pid in pids:
        path = Path(f"/proc/{pid}/schedstat")
        if path.exists():
            total_ns += int(path.read_text(encoding="ascii").split()[1])
    return total_ns * 1e-9


def critical_loop() -> None:
    critical = CriticalJob("gpu", "critical", PERIOD_S, budget_s=0.01)
    release = time.monotonic()
    while True:
        critical.announce(release)
        time.sleep(max(0.0, release - time.monotonic()))
        with critical:
            end = time.monotonic() + 0.003
            while time.monotonic() < end:
                pass
        release += PERIOD_S


def background_loop(name: str, seed: int) -> None:
    moments = random.Random(seed)
    job = BackgroundJob("gpu", name)
    while True:
        with job.admitted(deadline_s=moments.uniform(0.0, 0.05), wait_s=LIMIT_S):
            end = time.monotonic() + moments.uniform(0.0, 0.0005)
            while time.monotonic() < end:
                pass


def start(index: int, seed: int) -> int:
    return fork(critical_loop) if index == 0 else fork(lambda: background_loop(f"background {index}", seed))


@pytest.mark.exclusive
def test_kill_9_of_any_process_at_any_moment_leaves_the_admission_usable_within_one_period() -> None:
    moments = random.Random(20260801)
    survivor = BackgroundJob(AdmissionDevice("gpu", limit=1), "survivor")
    parties = [start(index, index) for index in range(4)]
    delays = []
    try:
        for count in range(KILLS):
            victim = moments.randrange(len(parties))
            time.sleep(moments.uniform(0.0, 0.012))
            kill(parties[victim])
            living = [os.getpid(), *parties[:victim], *parties[victim + 1 :]]
            withheld, killed_at = withheld_s(living), time.monotonic()
            with survivor.admitted(expected_s=0.0005, deadline_s=0.0, wait_s=LIMIT_S):
                delays.append(time.monotonic() - killed_at)
            delays[-1] -= withheld_s(living) - withheld
            parties[victim] = start(victim, 1000 + count)
    finally:
        for party in parties:
            kill(party)
    assert max(delays) < PERIOD_S
    with survivor.admitted(expected_s=10.0) as admission:
        pass
    assert admission.delay_s < PERIOD_S
    assert [job.name for job in read_status("gpu").background] == ["survivor"]


class _Deadly:
    """The shared words, ending the process at a store."""

    def __init__(self, words, stores: int) -> None:
        self._words = words
        self._left = stores

    def __getitem__(self, index):
        return self._words[index]

    def __setitem__(self, index, value) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        self._words[index] = value


def deadly_background(stores: int) -> None:
    job = BackgroundJob("gpu", "victim")
    job._words = _Deadly(job._words, stores)
    for _ in range(3):
        with job.admitted(expected_s=0.001):
            pass


def deadly_critical(stores: int) -> None:
    job = CriticalJob("gpu", "victim", LONG_PERIOD_S, 0.01)
    job._words = _Deadly(job._words, stores)
    for _ in range(3):
        job.announce(time.monotonic())
        with job:
            pass


def deadly_joining(stores: int) -> None:
    page = AdmissionDevice("gpu").page()
    page.words = _Deadly(page.words, stores)
    BackgroundJob("gpu", "victim")


@pytest.mark.parametrize(
    ("work", "most"),
    [(deadly_background, range(60)), (deadly_critical, range(60)), (deadly_joining, range(0, 200, 3))],
)
def test_a_process_killed_at_each_store_of_the_protocol_holds_up_nobody(work, most: range) -> None:
    survivor = BackgroundJob(AdmissionDevice("gpu", limit=1), "survivor")
    for stores in most:
        pid = fork(lambda stores=stores: work(stores))
        _, status = os.waitpid(pid, 0)
        with survivor.admitted(expected_s=10.0, wait_s=LIMIT_S) as admission:
            pass
        assert admission.delay_s < LONG_PERIOD_S, f"after a kill at store {stores}"
        if os.WIFEXITED(status):
            break
    else:
        pytest.fail("the victim was still killed at the last store: the test covers too few")
