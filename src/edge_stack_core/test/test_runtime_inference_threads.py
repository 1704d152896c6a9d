# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""SCHED_FIFO of inference threads: taken, given back, and given back by itself where it would stop the control thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator

import pytest

from edge_stack_core.runtime import process
from edge_stack_core.runtime.inference_threads import InferenceThreads, cpu_time_s

needs_rights = pytest.mark.skipif(process.fifo_refusal() is not None, reason="no right to SCHED_FIFO here")


class System:
    """A clock, threads with processor time, and the policies they were given."""

    def __init__(self, refusal: str | None = None) -> None:
        self.now_s, self.used_s, self.refusal = 0.0, {1: 0.0, 2: 0.0}, refusal
        self.policies: dict[int, tuple[str, int]] = {}
        self.threads = InferenceThreads(
            clock=lambda: self.now_s, cpu_time=self.used_s.__getitem__, set_policy=self._set
        )

    def _set(self, policy: str, priority: int, threads: Collection[int]) -> str | None:
        if policy == "fifo" and self.refusal:
            return self.refusal
        self.policies.update(dict.fromkeys(threads, (policy, priority)))
        return None

    def work(self, cpu_s: float, period_s: float, thread: int = 1) -> bool:
        """Let a thread compute in a period; return whether it turned out to be too much."""
        self.now_s += period_s
        self.used_s[thread] += cpu_s
        return self.threads.run_too_much()


@pytest.mark.parametrize(
    ("cpu_s", "period_s", "too_much"),
    [
        (0.06, 0.2, False),
        (0.15, 0.2, False),
        (0.19, 0.2, True),
        (0.5, 2.0, False),
        (0.9, 3.0, True),  # the kernel looks at one second
        (3.0, 3.0, True),
    ],
)
def test_threads_that_leave_no_core_have_the_normal_policy_again(
    cpu_s: float, period_s: float, too_much: bool
) -> None:
    system = System()
    assert system.threads.take(10, [1, 2]) is None
    assert system.policies == {1: ("fifo", 10), 2: ("fifo", 10)}
    found = [system.work(cpu_s, period_s) for _ in range(40)]
    assert found.count(True) == too_much
    assert {policy for policy, _ in system.policies.values()} == {"other" if too_much else "fifo"}


def test_one_long_inference_is_no_reason() -> None:
    system = System()
    system.threads.take(10, [1])
    assert not any(system.work(4.0, 4.0) or system.work(0.1, 1.0) for _ in range(20))


def test_the_busiest_thread_counts_and_not_their_sum() -> None:
    system = System()
    system.threads.take(10, [1, 2])
    for _ in range(40):
        system.used_s[2] += 0.1
        assert not system.work(0.1, 0.2)


def test_a_refusal_leaves_the_normal_policy() -> None:
    system = System("not permitted")
    assert system.threads.take(10, [1]) == "not permitted"
    assert system.policies == {1: ("other", 0)}
    assert not system.work(1.0, 1.0)


@pytest.fixture
def idle_thread() -> Iterator[int]:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    done.set()
    thread.join()


@needs_rights
def test_real_threads_get_the_policy_and_the_others_of_the_process_keep_theirs(idle_thread: int) -> None:
    threads = InferenceThreads()
    assert threads.take(7, [idle_thread]) is None
    assert os.sched_getscheduler(idle_thread) == os.SCHED_FIFO
    assert os.sched_getparam(idle_thread).sched_priority == 7
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER
    threads.give_back()
    assert os.sched_getscheduler(idle_thread) == os.SCHED_OTHER


def test_processor_time_of_a_thread_is_that_of_the_kernel() -> None:
    me = threading.get_native_id()
    end_s = time.thread_time() + 0.02
    while time.thread_time() < end_s:
        pass
    assert cpu_time_s(me) == pytest.approx(time.thread_time(), abs=0.01)
    assert cpu_time_s(2**22 + 1) == 0.0


def test_trying_the_policy_changes_no_thread_that_stays() -> None:
    before = {thread: os.sched_getscheduler(thread) for thread in process.thread_ids()}
    process.fifo_refusal()
    assert {thread: os.sched_getscheduler(thread) for thread in process.thread_ids()} == before
