# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a node hangs: from its silence, its working thread's word and looks at its threads; parking; own processes."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_stack_core.runtime.local_process import LocalProcess, ThreadLook, machine, start_ticks
from edge_stack_core.runtime.progress import FIRST_S, FLOOR_S, MARGIN, PATIENCE_S, Work, WorkProgress
from edge_stack_supervisor.supervision import NodeState, Report, SupervisionLimits
from edge_stack_supervisor.supervision.crash_loop import (
    DEATHS,
    PARKED_S,
    WELL_S,
    CrashLoop,
    Offence,
    WrongOutputs,
)
from edge_stack_supervisor.supervision.vitals import Vitals

PID, TID = 10, 11
TICK_S = 0.1


class Watched:
    """A node's vitals, ticked as the supervisor does."""

    def __init__(self) -> None:
        self.vitals = Vitals(SupervisionLimits())
        self.now_s = 100.0
        self.cpu_s = 1.0

    def say(self, work: Work = Work.WAITING, age_s: float = 0.0, steps: int = 1) -> None:
        report = Report(
            PID,
            NodeState.ACTIVE,
            work=work,
            work_steps=steps,
            work_age_s=age_s,
            work_allowed_s=0.3 if work is Work.BUSY else math.inf,
            work_limit_s=4.0 if work is Work.BUSY else math.inf,
            work_tid=TID,
        )
        self.vitals.observe(report, self.now_s)

    def tick(self, state: str = "S", share: float = 0.0, others_run: bool = False, deaf: bool = False) -> str:
        """Let a tick pass; return "" if the node does not hang, else "shown" or "killed"."""
        self.now_s += TICK_S
        self.cpu_s += share * TICK_S
        for thread_id in self.vitals.suspects(self.now_s):
            self.vitals.look(thread_id, ThreadLook(state, self.cpu_s, others_run), self.now_s)
        hang = self.vitals.judge(self.now_s, deaf)
        return "" if hang is None else "killed" if hang.kill else "shown"


def test_a_silent_node_whose_executor_sleeps_through_hangs_within_half_a_second() -> None:
    node = Watched()
    node.say()
    verdicts = [node.tick("T") for _ in range(7)]
    assert "shown" in verdicts[:5]
    assert verdicts[-1] == "killed"


def test_a_process_that_has_just_begun_is_given_longer() -> None:
    node = Watched()
    node.vitals.observe(Report(PID, NodeState.UNCONFIGURED), node.now_s)
    assert {node.tick() for _ in range(14)} == {""}
    assert "killed" in {node.tick() for _ in range(4)}


@pytest.mark.parametrize("state", ["R", "D", "t"])
def test_a_silent_node_that_waits_for_a_core_or_a_disk_or_is_debugged_does_not_hang_so_soon(
    state: str,
) -> None:
    node = Watched()
    node.say()
    assert {node.tick(state) for _ in range(100)} == {""}


def test_a_silent_node_whose_executor_wakes_is_not_heard_but_does_not_hang_so_soon() -> None:
    node = Watched()
    node.say()
    assert {node.tick("S", 0.01) for _ in range(45)} == {""}
    assert "killed" in {node.tick("S", 0.01) for _ in range(20)}


def test_a_supervisor_that_hears_nobody_ends_nobody_whose_executor_wakes() -> None:
    node = Watched()
    node.say()
    assert {node.tick("S", 0.01, deaf=True) for _ in range(300)} == {""}


def test_a_node_that_waits_for_input_never_hangs() -> None:
    node = Watched()
    for second in range(100):
        node.say(Work.WAITING, float(second))
        assert node.tick() == ""


def test_busy_work_that_sleeps_past_its_time_is_shown_and_ended_past_its_limit() -> None:
    node = Watched()
    verdicts = []
    for tick in range(45):
        if tick % 2 == 0:
            node.say(Work.BUSY, tick * TICK_S)
        verdicts.append(node.tick())
    assert verdicts.index("shown") * TICK_S <= 0.6
    assert verdicts.index("killed") * TICK_S == pytest.approx(4.1, abs=0.15)


@pytest.mark.parametrize(("state", "others_run"), [("R", False), ("S", True)])
def test_busy_work_on_a_crowded_machine_is_slow_and_not_hung(state: str, others_run: bool) -> None:
    node = Watched()
    for tick in range(90):
        node.say(Work.BUSY, tick * TICK_S)
        assert node.tick(state, 0.1, others_run) == ""
    assert node.vitals.slow


def test_work_that_computes_without_end_hangs_too() -> None:
    node = Watched()
    verdicts = []
    for tick in range(45):
        node.say(Work.BUSY, tick * TICK_S)
        verdicts.append(node.tick("R", 1.0))
    assert verdicts[-1] == "killed"


def test_work_that_moves_on_clears_the_suspicion() -> None:
    node = Watched()
    for tick in range(100):
        node.say(Work.BUSY, 0.05, steps=tick)
        assert node.tick() == ""


def test_time_in_which_the_supervisor_itself_was_held_up_is_not_counted() -> None:
    node = Watched()
    node.say()
    node.now_s += 3.0
    node.vitals.excuse(3.0)
    assert node.tick("T") == ""


# ---- the word of a working thread -------------------------------------------------------------------------------------


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_work_that_turned_out_to_be_none_teaches_nothing() -> None:
    clock = Clock()
    progress = WorkProgress(clock=clock)
    for _ in range(
        5
    ):  # a policy whose inputs have not come yet: its first chunk may take seconds all the same
        progress.busy()
        progress.skipped()
        progress.waiting(0.2)
    progress.busy()
    assert progress.state().allowed_s == FIRST_S
    clock.now_s += 5.0
    progress.waiting(0.2)
    progress.busy()
    assert progress.state().allowed_s == pytest.approx(MARGIN * 5.0)


@given(durations=st.lists(st.floats(0.001, 10.0), min_size=1, max_size=50))
def test_allowed_time_follows_the_longest_recent_work(durations: list[float]) -> None:
    clock = Clock()
    progress = WorkProgress(clock=clock)
    progress.busy()
    assert progress.state().allowed_s == FIRST_S
    for duration_s in durations:
        clock.now_s += duration_s
        progress.waiting()
        assert progress.state().allowed_s == math.inf
        clock.now_s += 1.0
        progress.busy()
    state = progress.state()
    assert state.work is Work.BUSY
    assert state.allowed_s == pytest.approx(max(FLOOR_S, MARGIN * max(durations[-32:])))
    assert state.limit_s >= max(state.allowed_s, PATIENCE_S)
    assert state.steps == 1 + 2 * len(durations)


def test_a_wait_for_a_release_has_its_end_and_an_impatient_thread_no_grace() -> None:
    clock = Clock()
    progress = WorkProgress(patient=False, clock=clock)
    progress.waiting(0.04)
    clock.now_s += 0.1
    state = progress.state()
    assert (state.work, state.age_s) == (Work.WAITING, 0.1)
    assert state.allowed_s == state.limit_s == pytest.approx(0.04 + FLOOR_S)
    progress.ended()
    assert progress.state().work is Work.NONE


# ---- parking ----------------------------------------------------------------------------------------------------------


def test_a_node_that_dies_often_is_parked_tried_once_and_parked_for_longer() -> None:
    loop = CrashLoop()
    for count in range(DEATHS):
        assert loop.left_s(float(count)) == 0.0
        loop.died(float(count))
    now_s = DEATHS - 1.0
    assert loop.left_s(now_s) == PARKED_S
    assert loop.reason == "5 deaths in 4 s"
    now_s += PARKED_S
    assert loop.left_s(now_s) == 0.0
    loop.died(now_s + 1.0)
    assert loop.left_s(now_s + 1.0) == 2.0 * PARKED_S
    now_s += 1.0 + 2.0 * PARKED_S + WELL_S
    loop.died(now_s)
    assert loop.left_s(now_s) == 0.0


def test_a_node_that_dies_now_and_then_is_not_parked() -> None:
    loop = CrashLoop()
    for count in range(50):
        loop.died(10.0 * count)
        assert loop.left_s(10.0 * count) == 0.0


def test_wrong_outputs_lead_to_a_recycle_then_a_kill_then_parking() -> None:
    wrong = WrongOutputs()
    offences, count = [], 0
    for tick in range(9):
        count += 1
        offence = wrong.observe(count, 0.2 * tick)
        if offence is not Offence.NONE:
            offences.append(offence)
            count = 0  # it starts anew, and counts anew
            assert wrong.observe(0, 0.2 * tick) is Offence.NONE
    assert offences == [Offence.RECYCLE, Offence.KILL, Offence.PARK]


def test_rare_wrong_outputs_lead_to_nothing() -> None:
    wrong = WrongOutputs()
    assert {wrong.observe(count, 3.0 * count) for count in range(100)} == {Offence.NONE}


# ---- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.01)"])
    yield process
    process.kill()
    process.wait()


def wait_for(condition: object, timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_process_is_seen_to_run_to_stop_and_to_end(sleeper: subprocess.Popen[bytes]) -> None:
    process = LocalProcess(sleeper.pid, start_ticks(sleeper.pid))
    before = process.look(sleeper.pid)
    assert before is not None
    wait_for(lambda: process.look(sleeper.pid).cpu_s > before.cpu_s)
    sleeper.send_signal(signal.SIGSTOP)
    wait_for(lambda: process.look(sleeper.pid).state == "T")
    assert not process.ended()
    assert process.kill() == ""
    wait_for(process.ended)
    assert process.look(sleeper.pid + 10_000_000) is None
    sleeper.wait()
    assert process.kill() == ""
    process.close()


def test_a_process_with_another_start_time_or_that_is_no_nodes_is_not_taken(
    sleeper: subprocess.Popen[bytes],
) -> None:
    with pytest.raises(ProcessLookupError, match="another one"):
        LocalProcess(sleeper.pid, start_ticks(sleeper.pid) + 1)
    for pid in (0, 1, os.getpid(), os.getppid()):
        with pytest.raises(ProcessLookupError, match="no node's"):
            LocalProcess(pid, 0)
    with pytest.raises(ProcessLookupError, match="cannot be"):
        LocalProcess(2**32 - 1, 0)  # what a status can tell
    assert machine()
