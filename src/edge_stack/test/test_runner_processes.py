# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The process runner: what starts, comes back and ends; by really starting and killing processes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_stack.runner import sessions
from edge_stack.runner.processes import ProcessGroup, ProcessLimits, ProcessSpec, describe_exit

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
FAST = ProcessLimits(respawn_delay_s=0.05, longest_delay_s=0.2, interrupt_s=0.5, terminate_s=0.5)

OBEDIENT = "import time\nprint('up', flush=True)\ntime.sleep(60)"
STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""
# Starts a child of its own, which ignores everything but SIGKILL.
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}])
print('child', child.pid, flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"not within {timeout_s} s"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def python(name: str, code: str, **kwargs: Any) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-S", "-c", code], dict(os.environ), **kwargs)


def wait_for_output(group: ProcessGroup, name: str, text: str) -> str:
    return str(until(lambda: (out := group.log_path(name).read_text()) and text in out and out))


@pytest.fixture
def exits() -> list[tuple[str, int, bool]]:
    return []


@pytest.fixture
def group(tmp_path: Path, exits: list[tuple[str, int, bool]]) -> Iterator[ProcessGroup]:
    with ProcessGroup(tmp_path, lambda *what: exits.append(what), FAST) as made:
        yield made


def test_output_goes_to_a_file_of_the_process(group: ProcessGroup) -> None:
    group.start(python("one", "print('said this', flush=True)", respawn=False))
    wait_for_output(group, "one", "said this")
    until(lambda: "ended with code 0" in group.tails())


def test_a_killed_process_is_started_again(group: ProcessGroup, exits: list[tuple[str, int, bool]]) -> None:
    first = group.start(python("one", OBEDIENT))
    group.signal("one", signal.SIGKILL)
    second = until(lambda: group.pids().get("one") not in (first, None) and group.pids()["one"])
    assert alive(second)
    assert exits == [("one", -signal.SIGKILL, True)]


def test_a_process_that_should_not_come_back_stays_away(
    group: ProcessGroup, exits: list[tuple[str, int, bool]]
) -> None:
    group.start(python("one", "raise SystemExit(3)", respawn=False))
    until(lambda: exits)
    assert exits == [("one", 3, False)]
    assert group.pids() == {}


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path) -> None:
    limits = ProcessLimits(respawn_delay_s=0.05, longest_delay_s=0.4)
    with ProcessGroup(tmp_path, limits=limits) as group:
        # By the word of each process: it has begun before it ends, and the next one after the pause that follows its end.
        group.start(python("one", "import time; print('began', time.monotonic(), flush=True)"))

        def began_s() -> list[float]:
            lines = group.log_path("one").read_text().splitlines(keepends=True)
            return [float(line.split()[1]) for line in lines if line.startswith("began") and "\n" in line]

        until(lambda: len(began_s()) >= 7)
        delays_s = [later - sooner for sooner, later in itertools.pairwise(began_s())]
    for delay_s, least_s in zip(delays_s, (0.05, 0.1, 0.2, 0.4, 0.4, 0.4), strict=False):
        assert delay_s >= least_s


def test_an_executable_that_is_missing_is_an_error_at_once(group: ProcessGroup) -> None:
    with pytest.raises(FileNotFoundError):
        group.start(ProcessSpec("one", ["/no/such/program"], {}))
    assert group.pids() == {}


def test_two_processes_cannot_have_one_name(group: ProcessGroup) -> None:
    group.start(python("one", OBEDIENT))
    with pytest.raises(ValueError, match="one"):
        group.start(python("one", OBEDIENT))


def test_stop_asks_politely_first(tmp_path: Path) -> None:
    code = "import time\ntry: print('up', flush=True); time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(7)"
    group = ProcessGroup(
        tmp_path, limits=ProcessLimits(interrupt_s=30.0)
    )  # however slowly it takes the request
    group.start(python("one", code))
    wait_for_output(group, "one", "up")
    assert group.stop() == {"one": 7}


def test_stop_kills_what_ignores_every_request(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path, limits=FAST)
    pid = group.start(python("one", STUBBORN))
    wait_for_output(group, "one", "up")
    assert group.stop() == {"one": -signal.SIGKILL}
    assert not alive(pid)


def test_kill_does_not_wait_even_while_stop_waits(tmp_path: Path) -> None:
    group = ProcessGroup(tmp_path, limits=ProcessLimits(interrupt_s=600.0))  # longer than this test may last
    group.start(python("one", STUBBORN))
    wait_for_output(group, "one", "up")
    stopper = threading.Thread(target=group.stop)
    stopper.start()
    until(lambda: group._stop_at_s is not None)
    assert group.kill() == {"one": -signal.SIGKILL}
    stopper.join(60.0)
    assert not stopper.is_alive()


def test_what_a_process_started_ends_with_it(group: ProcessGroup) -> None:
    group.start(python("one", PARENT, respawn=False))
    grandchild = int(wait_for_output(group, "one", "up").split()[1])
    group.signal("one", signal.SIGKILL)
    until(lambda: not alive(grandchild))


def test_nothing_starts_after_stop(group: ProcessGroup) -> None:
    group.start(python("one", OBEDIENT))
    group.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        group.start(python("two", OBEDIENT))


def test_stop_without_a_start_is_fine(tmp_path: Path) -> None:
    assert ProcessGroup(tmp_path).stop() == {}


def test_a_callback_that_raises_does_not_lose_the_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("defect of the owner")

    with ProcessGroup(tmp_path, broken, FAST) as group:
        first = group.start(python("one", OBEDIENT))
        group.signal("one", signal.SIGKILL)
        until(lambda: group.pids().get("one") not in (first, None))
    assert "defect of the owner" in capsys.readouterr().err


RUNNER = """
import os, signal, sys, time
from pathlib import Path
from edge_stack.runner.processes import ProcessGroup, ProcessSpec
group = ProcessGroup(Path(sys.argv[1]))
for index, code in enumerate(sys.argv[2:]):
    print(group.start(ProcessSpec(f"p{index}", [sys.executable, "-S", "-c", code], dict(os.environ))), flush=True)
print(group._guard.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A runner of its own with two children; one of them has a stubborn child. Yields it and all their ids."""
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGE_FOLDER}:{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path), STUBBORN, PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(3)]
    log = tmp_path / "p1.log"
    grandchild = int(until(lambda: log.exists() and "up" in (text := log.read_text()) and text.split()[1]))
    pids.insert(2, grandchild)
    until(lambda: "up" in (tmp_path / "p0.log").read_text())
    try:
        yield process, pids
    finally:
        process.kill()
        process.wait()
        sessions.kill_all(set(pids))


def test_all_end_when_the_runner_is_killed(runner: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, pids = runner
    assert all(alive(pid) for pid in pids)
    process.kill()
    for pid in pids:
        until(lambda pid=pid: not alive(pid))


def test_children_end_when_runner_and_guard_are_killed(
    runner: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, (_, child, _, guard) = runner
    os.kill(guard, signal.SIGKILL)
    process.kill()
    until(lambda: not alive(child))


OWNER = """
import os, subprocess, sys, time
from edge_stack.runner.guard_client import GuardClient
guard = GuardClient()
guard.environment("MARK", "it")
for code, mark in zip(sys.argv[1:], ("it", "it", "another")):
    print(subprocess.Popen([sys.executable, "-S", "-c", code], env={**os.environ, "MARK": mark}, stdout=2).pid, flush=True)
time.sleep(60)
"""


def test_the_guard_ends_what_has_its_owner_s_mark_in_the_environment_and_nothing_else(tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, STUBBORN, PARENT, OBEDIENT],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{PACKAGE_FOLDER}:{os.environ.get('PYTHONPATH', '')}"},
        )
    assert owner.stdout is not None
    stubborn, parent, other = (int(owner.stdout.readline()) for _ in range(3))
    try:
        text = until(
            lambda: (read := (tmp_path / "output").read_text()).count("up") == 3 and "child" in read and read
        )
        child = int(text.partition("child ")[2].split()[0])
        owner.kill()
        until(lambda: not any(map(alive, (stubborn, parent, child))))
        assert alive(other)
    finally:
        owner.kill()
        owner.wait()
        sessions.send([other], signal.SIGKILL)


def test_how_a_process_ended_is_said_in_words() -> None:
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(3) == "ended with code 3"
