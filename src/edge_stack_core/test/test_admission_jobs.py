# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Jobs on a real page of shared memory: what they wait for, what they are refused for, and what others read of it."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_stack_core.admission import AdmissionDevice, BackgroundJob, CriticalJob, Refused, background, layout
from edge_stack_core.admission import __main__ as table
from edge_stack_core.admission.page import path_of
from edge_stack_core.admission.status import devices, read_status
from edge_stack_core.errors import ConfigurationError

LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_STACK_ADMISSION_DIR", str(tmp_path))
    return tmp_path


def background_status(name: str, device: str = "gpu"):
    return next(job for job in read_status(device).background if job.name == name)


def until(condition) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_page_is_the_users_alone() -> None:
    AdmissionDevice("gpu")
    mode = path_of("gpu").stat().st_mode
    assert stat.S_ISREG(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_page_that_others_may_read_is_refused() -> None:
    path_of("gpu").touch(mode=0o644)
    with pytest.raises(ConfigurationError, match="mode 0600"):
        AdmissionDevice("gpu")


def test_the_pages_memory_is_reserved_when_it_is_made_and_one_that_is_full_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path_of("gpu").touch(mode=0o600)
    AdmissionDevice("gpu")
    status = path_of("gpu").stat()
    assert status.st_blocks * 512 >= status.st_size, "a store may end the process with SIGBUS"

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match="No space left"):
        AdmissionDevice("other")
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_name_that_is_no_file_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="for example|letters, digits"):
        AdmissionDevice("../gpu")


def test_a_job_alone_runs_at_once_and_its_duration_is_learned() -> None:
    job = BackgroundJob("gpu", "detect")
    for _ in range(6):
        with job.admitted() as admission:
            time.sleep(0.002)
    assert admission.reason == "none"
    assert admission.expected_s >= 0.002
    assert job.expected_s() >= 0.002


def test_a_failed_run_ends_and_is_not_learned() -> None:
    job = BackgroundJob("gpu", "detect")
    with pytest.raises(ValueError, match="wrong"), job.admitted():
        raise ValueError("wrong")
    assert job.expected_s() == 0
    with job.admitted():
        pass


def test_a_job_waits_until_the_critical_inference_ends_and_says_so() -> None:
    critical = CriticalJob("gpu", "policy", period_s=5.0, budget_s=1.0)
    job = BackgroundJob("gpu", "detect")
    critical.announce(time.monotonic())
    critical.begin()
    began = threading.Event()
    admissions = []

    def run() -> None:
        began.set()
        with job.admitted(expected_s=0.001, wait_s=LIMIT_S) as admission:
            admissions.append((time.monotonic(), admission))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: background_status("detect").state == "waiting")
    ended = time.monotonic()
    critical.end()
    thread.join(LIMIT_S)
    (when, admission), *_ = admissions
    assert when >= ended
    assert admission.reason == "critical job active"
    assert admission.delay_s > 0


def test_a_job_that_ends_before_the_release_runs_and_a_longer_one_waits_for_the_next_slack() -> None:
    critical = CriticalJob("gpu", "policy", period_s=80.0, budget_s=0.1)
    critical.announce(time.monotonic() + 40.0)
    job = BackgroundJob("gpu", "detect")
    with job.admitted(expected_s=0.2) as admission:
        pass
    assert admission.reason == "none"
    with pytest.raises(Refused) as refused, job.admitted(expected_s=60.0, wait_s=0.05):
        pass
    assert refused.value.reason == "timeout"
    assert "ends after the next release" in str(refused.value)


def test_withdrawing_lets_those_who_wait_start() -> None:
    critical = CriticalJob("gpu", "policy", period_s=30.0, budget_s=10.0)
    critical.announce(time.monotonic())
    job = BackgroundJob("gpu", "detect")

    def withdraw() -> None:
        until(lambda: background_status("detect").state == "waiting")
        critical.withdraw()

    other = threading.Thread(target=withdraw)
    other.start()
    with job.admitted(expected_s=0.01, wait_s=LIMIT_S) as admission:
        assert admission.reason != "none"
    other.join()


def test_jobs_beyond_the_limit_wait_for_one_to_end() -> None:
    device = AdmissionDevice("gpu", limit=2)
    jobs = [BackgroundJob(device, f"job {index}") for index in range(3)]
    refused = pytest.raises(Refused, match="concurrency limit")
    with jobs[0].admitted(), jobs[1].admitted(), refused, jobs[2].admitted(wait_s=0.02):
        pass
    with jobs[2].admitted():
        pass


def test_the_earliest_deadline_is_admitted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_PATIENCE_NS", int(LIMIT_S * 1e9))  # on a busy machine none overtakes
    device = AdmissionDevice("gpu", limit=1)
    holder = BackgroundJob(device, "holder")
    order: list[str] = []

    def run(name: str, deadline_s: float) -> None:
        with BackgroundJob(device, name).admitted(deadline_s=deadline_s, wait_s=LIMIT_S):
            order.append(name)

    with holder.admitted():
        threads = [
            threading.Thread(target=run, args=item)
            for item in (("late", 0.9), ("early", 0.0), ("middle", 0.45))
        ]
        for thread in threads:
            thread.start()
        until(lambda: sum(job.state == "waiting" for job in read_status("gpu").background) == 3)
    for thread in threads:
        thread.join(LIMIT_S)
    assert order == ["early", "middle", "late"]


def test_a_job_that_timed_out_keeps_its_place_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_PATIENCE_NS", int(LIMIT_S * 1e9))
    device = AdmissionDevice("gpu", limit=1)
    holder, old = BackgroundJob(device, "holder"), BackgroundJob(device, "old")
    order: list[str] = []

    def run(job: BackgroundJob, deadline_s: float) -> None:
        with job.admitted(deadline_s=deadline_s, wait_s=LIMIT_S):
            order.append(job.name)

    with holder.admitted():
        with pytest.raises(Refused), old.admitted(deadline_s=0.6, wait_s=0.3):
            pass
        threads = [
            threading.Thread(target=run, args=item)
            for item in ((BackgroundJob(device, "new"), 0.5), (old, 0.6))
        ]
        for thread in threads:
            thread.start()
        until(lambda: sum(job.state == "waiting" for job in read_status("gpu").background) == 2)
    for thread in threads:
        thread.join(LIMIT_S)
    assert order == ["old", "new"]


def test_a_job_that_never_fits_is_refused_with_the_figure_that_would_fit() -> None:
    critical = CriticalJob("gpu", "policy", period_s=50.0, budget_s=30.0)
    critical.announce(time.monotonic() + 40.0)
    job = BackgroundJob("gpu", "segment")
    with pytest.raises(Refused) as refused, job.admitted(expected_s=45.0):
        pass
    assert refused.value.reason == "never_fits"
    assert refused.value.fits_s == pytest.approx(19.9995, abs=1e-4)
    assert refused.value.slices == 3
    status = background_status("segment")
    assert status.refused["never fits"] == 1
    assert status.fits_ms == pytest.approx(19999.5, abs=0.1)


def test_a_job_to_be_split_is_refused_with_the_number_of_slices() -> None:
    critical = CriticalJob("gpu", "policy", period_s=50.0, budget_s=30.0)
    critical.announce(time.monotonic() + 40.0)
    job = BackgroundJob("gpu", "segment", policy="split")
    with pytest.raises(Refused) as refused, job.admitted(expected_s=45.0):
        pass
    assert (refused.value.reason, refused.value.slices) == ("split", 3)


def test_a_job_at_the_lower_rate_runs_right_after_a_critical_end_and_then_pauses() -> None:
    critical = CriticalJob("gpu", "policy", period_s=0.2, budget_s=0.15)
    job = BackgroundJob("gpu", "segment", policy="lower_rate", lower_rate_s=0.3)
    stop = threading.Event()

    def loop() -> None:
        release = time.monotonic() + 0.01
        critical.announce(release)
        while not stop.wait(max(0.0, release - time.monotonic())):
            with critical:
                time.sleep(0.01)
            release += 0.2

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        times = []
        for _ in range(3):
            with job.admitted(expected_s=0.4, wait_s=LIMIT_S):
                times.append(job._started_ns * 1e-9)  # when it was admitted, however late this thread goes on
    finally:
        stop.set()
        thread.join(LIMIT_S)
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.29
    assert background_status("segment").oversize_runs == 3


def test_a_critical_job_learns_its_budget() -> None:
    critical = CriticalJob("gpu", "policy", period_s=1.0, budget_s=0.5)
    for _ in range(10):
        with critical:
            time.sleep(0.002)
    assert 0.002 <= critical.budget_s < 0.5


def test_a_job_of_another_process_that_was_killed_while_it_ran_holds_up_nobody() -> None:
    code = (
        "import time\n"
        "from edge_stack_core.admission import BackgroundJob, CriticalJob\n"
        "critical = CriticalJob('gpu', 'policy', 60.0, 30.0)\n"
        "job = BackgroundJob('gpu', 'other')\n"
        "with job.admitted(expected_s=50.0):\n"
        "    critical.announce(time.monotonic()); critical.begin()\n"
        "    print('runs', flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"runs\n"
    job = BackgroundJob("gpu", "detect")
    with pytest.raises(Refused), job.admitted(expected_s=0.001, wait_s=0.05):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    with job.admitted(expected_s=0.001, wait_s=LIMIT_S):
        pass
    assert [status.name for status in read_status("gpu").background] == ["detect"]


def test_a_job_that_was_killed_while_it_ran_does_not_count_as_running_for_ever() -> None:
    code = (
        "import os, signal\n"
        "from edge_stack_core.admission import BackgroundJob\n"
        "with BackgroundJob('gpu', 'other').admitted(expected_s=0.001):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    device = AdmissionDevice("gpu", limit=3, co_run=1)
    critical, job = CriticalJob(device, "policy", period_s=5.0), BackgroundJob(device, "detect")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL

    def may_run_co_run() -> bool:
        for _ in range(30):
            with critical:
                time.sleep(0.001)
        return "detect" not in read_status("gpu").critical[0].apart

    # Nobody ever waits, so that nobody looks whether its owner lives.
    until(may_run_co_run)
    job.close()


def test_a_run_that_ends_after_its_job_was_closed_leaves_the_slots_next_owner_alone() -> None:
    critical, job = CriticalJob("gpu", "policy", period_s=5.0), BackgroundJob("gpu", "detect")
    with job.admitted(expected_s=0.001), critical:
        # As a node does that no longer waits for the inference that runs.
        job.close()
        critical.close()
        owners = [BackgroundJob("gpu", "one"), CriticalJob("gpu", "two", period_s=5.0)]
        before = list(owners[0]._page.words[layout.STATES :])
    assert list(owners[0]._page.words[layout.STATES :]) == before


def test_a_stopped_process_that_comes_first_in_the_order_is_passed_over() -> None:
    device = AdmissionDevice("gpu", limit=1)
    holder = BackgroundJob(device, "holder")
    code = (
        "from edge_stack_core.admission import BackgroundJob\n"
        "with BackgroundJob('gpu', 'stopped').admitted(deadline_s=0.0, wait_s=60.0):\n"
        "    pass\n"
    )
    job = BackgroundJob(device, "detect")
    with holder.admitted():
        child = subprocess.Popen([sys.executable, "-c", code])
        until(lambda: any(status.state == "waiting" for status in read_status("gpu").background))
        # Asleep: it has left the mutex.
        until(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
        child.send_signal(signal.SIGSTOP)
    try:
        with job.admitted(deadline_s=0.9, wait_s=LIMIT_S) as admission:
            assert admission.reason == "earlier deadline first"
    finally:
        child.kill()
        child.wait()
    assert background_status("detect").passed_over == 1


def test_jobs_go_on_when_the_shared_memory_was_removed_under_them() -> None:
    critical, job = CriticalJob("gpu", "policy", 0.5), BackgroundJob("gpu", "detect")
    path_of("gpu").unlink()
    critical._look_at_ns = job._look_at_ns = 0  # it is looked for every second
    with critical:
        pass
    with job.admitted(expected_s=0.001):
        pass
    status = read_status("gpu")
    assert [one.name for one in status.critical] == ["policy"]
    assert [one.name for one in status.background] == ["detect"]


def test_a_forked_child_may_not_use_its_parents_job_but_may_make_its_own() -> None:
    job = BackgroundJob("gpu", "detect")
    pid = os.fork()
    if pid == 0:
        try:
            with job.admitted():
                pass
        except RuntimeError:
            with BackgroundJob("gpu", "child").admitted():
                os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with job.admitted():
        pass


def test_a_job_cannot_be_admitted_twice() -> None:
    job = BackgroundJob("gpu", "detect")
    with job.admitted(), pytest.raises(RuntimeError, match="already admitted"), job.admitted():
        pass


def test_what_a_job_learned_is_known_after_a_restart() -> None:
    job = BackgroundJob("gpu", "detect")
    for _ in range(5):
        with job.admitted():
            time.sleep(0.003)
    job.close()
    assert BackgroundJob("gpu", "detect").expected_s() >= 0.003


def test_limits_that_are_given_hold_for_all_and_others_stay() -> None:
    AdmissionDevice("gpu", limit=3, guard_s=0.002)
    AdmissionDevice("gpu", co_run=1)
    status = read_status("gpu")
    assert (status.limit, status.guard_ms, status.co_run) == (3, 2.0, 1)


def test_a_job_runs_co_run_the_critical_one_once_it_is_known_how_long_that_takes_alone() -> None:
    device = AdmissionDevice("gpu", limit=2, co_run=1)
    critical = CriticalJob(device, "policy", period_s=5.0)
    job = BackgroundJob(device, "detect")
    critical.begin()
    with pytest.raises(Refused, match="critical job active"), job.admitted(expected_s=0.001, wait_s=0.02):
        pass
    critical.end()
    assert read_status("gpu").critical[0].apart == ("detect",)
    for _ in range(30):  # more than 8: one that was slow to begin with is forgotten
        with critical:
            time.sleep(0.001)
    assert read_status("gpu").critical[0].apart == ()
    with critical, job.admitted(expected_s=0.001, wait_s=LIMIT_S):
        assert read_status("gpu").critical[0].state == "running"


def test_a_critical_job_that_takes_longer_than_its_period_starves_nobody_after_its_first_inference() -> None:
    device = AdmissionDevice("gpu")
    critical = CriticalJob(device, "policy", period_s=0.002)
    job = BackgroundJob(device, "detect")
    with critical:
        time.sleep(0.02)
    critical.begin()
    for _ in range(3):
        with job.admitted(wait_s=LIMIT_S):
            time.sleep(0.002)
    critical.end()
    assert read_status("gpu").critical[0].apart == ()
    assert job.expected_s() > 0.001, "what it takes is learned, though it never ran alone"


def test_on_processor_cores_all_but_one_may_run_co_run_the_critical_job() -> None:
    cores = len(os.sched_getaffinity(0))
    AdmissionDevice("cpu")
    status = read_status("cpu")
    assert (status.limit, status.co_run) == (cores, cores - 1)


def test_the_table_shows_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    critical, job = CriticalJob("gpu", "policy", 0.5, 0.1), BackgroundJob("gpu", "detect")
    with critical:
        pass
    with job.admitted(expected_s=0.001):
        pass
    assert devices() == ["gpu"]
    assert table.main(["gpu", "--once"]) == 0
    text = capsys.readouterr().out
    assert "policy" in text
    assert "detect" in text
    assert table.main(["--json"]) == 0
    (status,) = json.loads(capsys.readouterr().out)
    assert status["background"][0]["admitted"] == 1


def test_asking_for_a_admission_that_is_not_there_names_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    AdmissionDevice("cpu")
    assert table.main(["gpu", "--once"]) == 1
    assert "there are: cpu" in capsys.readouterr().err
