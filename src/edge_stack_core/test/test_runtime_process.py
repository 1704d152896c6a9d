# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Process settings: they reach every thread, and a refusal says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from unittest import mock

import pytest

from edge_stack_core.runtime import process
from edge_stack_core.runtime.process import ProcessSettings, ProcessUsage, apply_process_settings


@pytest.fixture
def idle_thread() -> Iterator[int]:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    done.set()
    thread.join()


def in_child(code: str) -> str:
    """Run code in a process of its own: settings of the test process stay as they are."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_a_nice_value_reaches_every_thread() -> None:
    code = """
import os, threading
from edge_stack_core.runtime import process
done = threading.Event()
threads = [threading.Thread(target=done.wait) for _ in range(3)]
[t.start() for t in threads]
lower = os.getpriority(os.PRIO_PROCESS, 0) + 3
print(process.apply_process_settings(process.ProcessSettings(nice=min(lower, 19))))
print({os.getpriority(os.PRIO_PROCESS, t) for t in process.thread_ids()} == {min(lower, 19)})
done.set()
"""
    assert in_child(code).splitlines() == ["[]", "True"]


def test_an_affinity_reaches_every_thread() -> None:
    code = """
import os, threading
from edge_stack_core.runtime import process
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
core = min(os.sched_getaffinity(0))
print(process.apply_process_settings(process.ProcessSettings(cpu_affinity=(core,))))
print(all(os.sched_getaffinity(t) == {core} for t in process.thread_ids()))
done.set()
"""
    assert in_child(code).splitlines() == ["[]", "True"]


def test_a_batch_policy_needs_no_rights() -> None:
    code = """
from edge_stack_core.runtime import process
print(process.apply_process_settings(process.ProcessSettings(scheduling_policy="batch")))
print(process.describe_thread().split(",")[0])
"""
    assert in_child(code).splitlines() == ["[]", "batch"]


def test_a_title_shows_in_the_process_list() -> None:
    pytest.importorskip("setproctitle")
    code = """
from edge_stack_core.runtime import process
process.apply_process_settings(process.ProcessSettings(title="edge_stack/test"))
print(open("/proc/self/cmdline").read().strip(chr(0)))
"""
    assert in_child(code).startswith("edge_stack/test")


def test_a_core_that_is_not_there_is_refused_by_number() -> None:
    (refusal,) = apply_process_settings(ProcessSettings(cpu_affinity=(4095,)))
    assert "no core 4095" in refusal


def test_a_refused_policy_names_the_remedy(idle_thread: int) -> None:
    with mock.patch.object(os, "sched_setscheduler", side_effect=PermissionError(1, "not permitted")):
        (refusal,) = apply_process_settings(ProcessSettings(scheduling_policy="fifo", scheduling_priority=20))
    assert "fifo at priority 20 is not permitted" in refusal
    assert "rtprio" in refusal and "limits.d" in refusal and "usermod" in refusal


def test_an_unknown_policy_is_refused_with_the_choices() -> None:
    (refusal,) = apply_process_settings(ProcessSettings(scheduling_policy="fast"))
    assert "'fast' is not one of other, batch, idle, fifo, rr" in refusal


def test_a_thread_that_ended_meanwhile_is_no_error() -> None:
    assert process.set_nice(os.getpriority(os.PRIO_PROCESS, 0), [2**22 - 1]) is None


def test_memory_is_not_locked_under_a_finite_limit() -> None:
    with mock.patch.object(process, "rights", return_value=process.Rights(0, 0, lock_memory=False)):
        refusal = process.lock_memory()
    assert refusal is not None and "memlock" in refusal


def test_usage_measures_busy_time_as_percent_of_a_core() -> None:
    usage = ProcessUsage()
    cpu_s = [0.0]
    clock_s = [usage._last_s]
    usage._clock = lambda: clock_s[0]
    with mock.patch("time.process_time", side_effect=lambda: cpu_s[0]):
        usage._last_cpu_s = 0.0
        clock_s[0] += 2.0
        cpu_s[0] = 0.5
        assert usage.sample().cpu_pct == pytest.approx(25.0)


def test_resident_memory_is_measured_and_missing_processes_have_none() -> None:
    assert 1.0 < process.rss_mb() < 100_000.0
    assert process.rss_mb(2**22 - 1) != process.rss_mb(2**22 - 1)


def test_the_peak_of_memory_is_a_processs_own_and_not_that_of_who_started_it() -> None:
    large = bytearray(300 << 20)
    large[::4096] = b"1" * len(large[::4096])
    assert process.peak_rss_mb() > 300.0
    code = "from edge_stack_core.runtime.process import peak_rss_mb; print(peak_rss_mb())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1.0 < float(child.stdout) < 200.0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (
            ["/lib/yolo", "--ros-args", "-r", "__node:=detect", "--params-file", "/tmp/launch_params_x"],
            "detect",
        ),
        (["/lib/yolo", "--ros-args", "-r", "__node:=a", "-r", "__node:=b"], "b"),
        (["/lib/yolo", "-r", "image_raw:=__node:=x"], "yolo"),
        (["-c"], "-c"),
        ([], ""),
    ],
)
def test_a_program_is_called_by_its_node(arguments: list[str], name: str) -> None:
    assert process.program_name(arguments) == name


def test_c_libraries_know_the_program_by_its_name_also_under_a_title() -> None:
    code = """
import ctypes
from edge_stack_core.runtime import process
process.set_title("edge_stack/left/fusion")
process.set_program_name("fusion")
process.set_title("another/title")
print(ctypes.c_char_p.in_dll(ctypes.CDLL(None), "program_invocation_name").value.decode())
"""
    assert in_child(code) == "fusion"


def test_a_title_leaves_the_environment_that_proc_shows() -> None:
    code = """
import os
from edge_stack_core.runtime import process
process.set_title("edge_stack/fusion")
print("MARK=it" in open("/proc/self/environ").read().split(chr(0)))
"""
    from edge_stack_core.process_environment import process_environment

    environment = {**process_environment(os.environ), "MARK": "it"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stdout.strip() == "True"
