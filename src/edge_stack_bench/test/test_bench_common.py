# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks share: a load that always ends, a result that names its machine, and the tick benchmark's rows."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_stack_bench.benchmarks import common

NAP = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def lazy_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of the load sleep instead of being busy: other tests run beside this one."""
    monkeypatch.setattr(common, "_BUSY", common._BUSY.replace("while True: pass", NAP))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def test_the_load_ends_with_its_block() -> None:
    before = set(children_of(os.getpid()))
    with common.busy_cores(2) as count:
        pids = set(children_of(os.getpid())) - before
        assert len(pids) == count
    assert not any(alive(pid) for pid in pids)


def test_the_load_ends_when_the_block_raises() -> None:
    pids: set[int] = set()
    with contextlib.suppress(RuntimeError), common.busy_cores(1):
        pids = set(children_of(os.getpid()))
        raise RuntimeError
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_the_load_ends_when_the_benchmark_is_killed() -> None:
    code = f"""
import time
from edge_stack_bench.benchmarks import common
common._BUSY = common._BUSY.replace("while True: pass", {NAP!r})
with common.busy_cores(1):
    print("ready", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    pids = children_of(process.pid)
    assert pids
    process.kill()
    process.wait()
    process.stdout.close()
    end_s = time.monotonic() + 60.0
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end_s, "the load outlived its benchmark"
        time.sleep(0.02)


def test_a_result_names_machine_kernel_rights_and_versions(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    common.write_json(file, "tick", [{"a": 1}], ["no GPU here"], rate_hz=24.0)
    result = json.loads(file.read_text(encoding="utf-8"))
    assert (result["bench"], result["rows"], result["notes"]) == ("tick", [{"a": 1}], ["no GPU here"])
    assert result["rate_hz"] == 24.0
    machine = result["machine"]
    assert machine["kernel"] and machine["cores"] >= 1 and machine["versions"]["numpy"]
    assert set(machine["rights"]) == {"max_rt_priority", "min_nice", "lock_memory"}


def test_a_table_is_printed_with_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table("Title", ("name", "p99 ms"), [("timer", 12.34567), ("thread", 0.1)], ["a note"])
    out = capsys.readouterr().out
    assert all(text in out for text in ("Title", "timer", "12.346", "thread", "0.100", "a note"))


@pytest.mark.parametrize("config", ["executor_timer", "control_thread"])
def test_the_tick_benchmark_measures_each_configuration(domain: int, config: str) -> None:
    from edge_stack_bench.ros import tick

    rows, _ = tick.run(0.5, rounds=1, priority=0, configs=[config], loads=["saturated"])
    (row,) = rows
    assert (row["config"], row["load"]) == (config, "saturated")
    assert row["n"] >= 1
    assert set(row["lateness_ms"]) == {"p50", "p99", "p999", "max"}
    assert 0.0 <= row["lateness_ms"]["p50"] <= row["lateness_ms"]["max"]


def test_without_rights_no_process_of_the_demo_has_any() -> None:
    from edge_stack_bench.benchmarks import stack

    rights = stack.rights_of("without_rights")
    assert not rights.realtime
    assert not rights.lock_memory
    assert rights.min_nice >= 0
