# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether admission is in force: by setting, device and rights; and who asks while a critical job is announced."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_stack_core.admission import BackgroundJob, CriticalJob, layout
from edge_stack_core.admission import __main__ as table
from edge_stack_core.admission.choice import SETTINGS, Asks, choose_background, choose_critical, explain_auto
from edge_stack_core.admission.status import read_status

PRIORITY = 10


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    return tmp_path


# setting, device, may have SCHED_FIFO: announces, priority that is taken, the line.
CRITICAL = [
    ("auto", "cpu", True, False, PRIORITY, "off (auto: the policy may have SCHED_FIFO)"),
    ("auto", "cpu", False, True, 0, "on (auto: the policy may not have SCHED_FIFO; see ./edge doctor)"),
    ("auto", "cuda:0", True, True, 0, "on (auto: cuda:0 is a GPU)"),
    ("auto", "cuda:0", False, True, 0, "on (auto: cuda:0 is a GPU)"),
    ("on", "cpu", True, True, 0, "on (set by the parameter)"),
    ("on", "cpu", False, True, 0, "on (set by the parameter)"),
    ("on", "cuda:1", True, True, 0, "on (set by the parameter)"),
    ("on", "cuda:1", False, True, 0, "on (set by the parameter)"),
    ("off", "cpu", True, False, PRIORITY, "off (set by the parameter)"),
    ("off", "cpu", False, False, 0, "off (set by the parameter)"),
    ("off", "cuda:0", True, False, 0, "off (set by the parameter)"),
    ("off", "cuda:0", False, False, 0, "off (set by the parameter)"),
]


@pytest.mark.parametrize(("setting", "device", "rights", "announces", "priority", "line"), CRITICAL)
def test_a_critical_job_announces_itself_where_priority_does_not_do(
    setting: str, device: str, rights: bool, announces: bool, priority: int, line: str
) -> None:
    choice = choose_critical(setting, device, may_have_fifo=rights, priority=PRIORITY)
    assert (choice.announces, choice.priority, str(choice)) == (announces, priority, line)


@pytest.mark.parametrize(
    ("given", "rights", "priority", "announces", "line"),
    [
        ("fifo", True, PRIORITY, False, "off (auto: scheduling_policy is fifo)"),
        ("fifo", False, PRIORITY, True, "on (auto: the policy may not have SCHED_FIFO; see ./edge doctor)"),
        ("other", True, PRIORITY, True, "on (auto: scheduling_policy is other)"),
        ("idle", True, PRIORITY, True, "on (auto: scheduling_policy is idle)"),
        ("", True, 0, True, "on (auto: inference_priority is 0)"),
    ],
)
def test_scheduling_that_the_user_gave_is_left_as_it_is(
    given: str, rights: bool, priority: int, announces: bool, line: str
) -> None:
    choice = choose_critical("auto", "cpu", may_have_fifo=rights, priority=priority, given_policy=given)
    assert (choice.announces, choice.priority, str(choice)) == (announces, 0, line)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_policy_on_a_server_neither_announces_itself_nor_takes_a_priority(setting: str) -> None:
    choice = choose_critical(setting, "", may_have_fifo=True, priority=PRIORITY)
    assert (choice.announces, choice.priority) == (False, 0)


def test_a_background_job_follows_the_critical_one_on_a_cpu_alone() -> None:
    asks = {
        (setting, device): choose_background(setting, device).asks
        for setting, device in itertools.product(SETTINGS, ("cpu", "cuda:0"))
    }
    assert asks == {
        ("auto", "cpu"): Asks.WHILE_ANNOUNCED,
        ("auto", "cuda:0"): Asks.ALWAYS,
        ("on", "cpu"): Asks.ALWAYS,
        ("on", "cuda:0"): Asks.ALWAYS,
        ("off", "cpu"): Asks.NEVER,
        ("off", "cuda:0"): Asks.NEVER,
    }


def test_the_lines_of_a_background_job_say_what_holds_and_why() -> None:
    auto, gpu = choose_background("auto", "cpu"), choose_background("auto", "cuda:0")
    assert auto.text(False) == "off (auto: no critical job is announced)"
    assert auto.text(True) == "on (auto: a critical job is announced)"
    assert gpu.text(False) == "on (auto: cuda:0 is a GPU)"
    assert choose_background("off", "cpu").text(True) == "off (set by the parameter)"


# ---- on a page


def test_a_critical_job_is_seen_from_its_announcement_until_it_is_withdrawn_or_its_lease_ends() -> None:
    job = BackgroundJob("cpu", "detect")
    assert not job.critical_is_announced()
    critical = CriticalJob("cpu", "policy", period_s=0.05)
    assert not job.critical_is_announced(), "it joined and has announced nothing"
    critical.announce(time.monotonic() + 0.02)
    assert job.critical_is_announced()
    critical.withdraw()
    assert not job.critical_is_announced()
    critical.begin()
    assert job.critical_is_announced()
    critical.end()
    end_s = time.monotonic() + 5.0
    while job.critical_is_announced():  # the release that end announced passes, and its lease
        assert time.monotonic() < end_s


@pytest.mark.parametrize("moment", ["announced an hour ahead", "in an inference with a lease of an hour"])
def test_a_critical_job_that_was_killed_counts_no_longer_even_within_its_lease(moment: str) -> None:
    code = (
        "import os, time\n"
        "from edge_stack_core.admission import CriticalJob\n"
        "job = CriticalJob('cpu', 'policy', 0.05, lease_s=3600.0)\n"
        + ("job.announce(time.monotonic() + 3600.0)\n" if "ahead" in moment else "job.begin()\n")
        + "print('there', flush=True)\n"
        "time.sleep(60)\n"
    )
    job = BackgroundJob("cpu", "detect")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as critical:
        assert critical.stdout is not None and critical.stdout.readline() == "there\n"
        assert job.critical_is_announced()
        critical.kill()
        critical.wait()
        assert not job.critical_is_announced()


def test_a_page_that_was_removed_is_found_anew(folder: Path) -> None:
    job = BackgroundJob("cpu", "detect")
    for file in folder.iterdir():
        file.unlink()
    critical = CriticalJob("cpu", "policy", period_s=10.0)
    critical.announce(time.monotonic() + 5.0)
    end_s = time.monotonic() + 5.0
    while not job.critical_is_announced():  # it looks once a second
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.mark.exclusive
def test_the_look_costs_some_microseconds() -> None:
    job = BackgroundJob("cpu", "detect")
    others = [BackgroundJob("cpu", f"job {index}") for index in range(5)]
    critical = CriticalJob("cpu", "policy", period_s=10.0)
    for announced in (False, True):
        if announced:
            critical.announce(time.monotonic() + 5.0)
        times_us = []
        for _ in range(2000):
            start = time.perf_counter_ns()
            assert job.critical_is_announced() is announced
            times_us.append((time.perf_counter_ns() - start) * 1e-3)
        assert sorted(times_us)[len(times_us) // 2] < 50.0
    assert len(others) == 5


# ---- what is said


def test_the_table_says_what_auto_means_now_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "fifo_refusal", lambda: None)
    job, critical = BackgroundJob("cpu", "detect"), CriticalJob("cpu", "policy", period_s=10.0)
    off = "admission: auto is off now, because no critical job is announced (this user may have SCHED_FIFO)"
    assert off in table.render(read_status("cpu"))
    critical.announce(time.monotonic() + 5.0)
    monkeypatch.setattr(table, "fifo_refusal", lambda: "not permitted")
    on = "admission: auto is on now, because policy is announced (this user may not have SCHED_FIFO)"
    assert on in table.render(read_status("cpu"))
    assert table.main(["cpu", "--json"]) == 0
    assert f'"admission_auto": "{on}"' in capsys.readouterr().out
    assert job.policy == "refuse" and layout.VERSION


def test_on_a_gpu_auto_is_on_whatever_is_announced() -> None:
    assert explain_auto("cuda:0", [], True) == explain_auto("cuda:0", ["policy"], False)
    assert "is on, because a GPU" in explain_auto("cuda:0", [], True)
