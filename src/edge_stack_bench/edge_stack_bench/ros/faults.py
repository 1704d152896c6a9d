# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every fault, done to the whole demo: when it is noticed, what happens, and when all is well again.

Its unit is one row: one run of the stack with one fault. detected_ms: from the fault's begin to the first sign that the
stack shows of it. recovered_ms: from the end of its cause until all has been well for a second. For what the governor does
the cause is what the board tells, which outlasts the fault: it ends when no signal is above its `raise` any more;
cooled_ms: from the fault's end until then. control_gap_ms: longest time between two commands, by their stamps.
unsafe_commands: beyond a limit, or moving during a hold. task_success_delta: share of the task's attempts that succeed,
against a run without a fault. states: of control, from the first sign to the end. subscriber_gap_ms: longest time in which a
subscriber with a driver's priority heard no command. lost: what did not come back. over: which limits it missed
(faults_limits.py).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edge_stack.shipped import shipped_config
from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.faults_limits import missed_limits
from edge_stack_bench.benchmarks.faults_observe import FaultObservations
from edge_stack_bench.faults import KINDS, FaultRunner, ScheduledFault, parse_fault
from edge_stack_bench.faults.random_faults import random_faults
from edge_stack_bench.ros.running import STARTUP_LIMIT_S, RunningDemo, running_demo
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.stack_config import StackConfig, load_config
from edge_stack_supervisor.governor.settings import default_settings_path

if TYPE_CHECKING:
    from edge_stack_bench.views.report import RunRecord

SETTLE_S = 6.0
WELL_S = 1.0
RECOVERY_LIMIT_S = 30.0
# After many faults a node may be parked for a minute, memory comes back after half of one, and the governor, in real time
# here, gives back one step of one node's rate in 20 s.
RANDOM_RECOVERY_LIMIT_S = 420.0
MOST_SIGNS = 40
# This process may come late to read: what was sent by the end of a row is waited for.
READ_S = 0.5
# Whether a network of one's own may be had is tried in a process that is none the worse for it.
_NETWORK_TRIAL = "from edge_stack_bench.faults.injections import own_network; own_network()"
# The simulated board runs in quick motion, so that an hour of heat fits into seconds, and its governor with it. (The
# predictive one learns what a board does over minutes of real time: the table decides.)
QUICK = 200.0
READING_S = 0.1
QUICK_BOARD: dict[str, dict[str, Any]] = {
    "board": {"time_scale": QUICK, "gpu_load_scale": 2.5},
    "supervisor": {"governor": "table", "board_period_s": READING_S},
}


@dataclass(frozen=True)
class FaultCase:
    """One row: a fault, what counts as a sign of it, and whether the simulated board runs in quick motion for it."""

    fault: str
    sign: str
    quick: bool = False


CASES = (
    FaultCase("node_kill:detect@0", r"process detect|node detect"),
    FaultCase("node_kill:segment@0", r"process segment|node segment"),
    FaultCase("node_kill:policy@0", r"process policy|node policy"),
    FaultCase("node_kill:sim@0", r"process sim|node sim"),
    FaultCase("node_kill:fusion@0", r"process fusion|node fusion"),
    FaultCase("supervisor_kill@0", r"process supervisor|supervisor_lost"),
    FaultCase("node_hang:detect@0:5", r"node detect"),
    FaultCase("node_hang:segment@0:5", r"node segment"),
    FaultCase("node_hang:policy@0:5", r"node policy"),
    FaultCase("camera_stall@0:5", r"image_raw: deadline_missed|stale_perception"),
    FaultCase("camera_noise@0:5", r"image_raw: noisy"),
    FaultCase("frame_flood@0:5", r"image_raw: flood"),
    FaultCase("policy_nan@0:5", r"action_chunk: (wrong_output|refused)|invalid_action|node policy"),
    FaultCase("policy_slow@0:8", r"event policy .*deadline_missed|stale_action|node policy"),
    FaultCase("arm_stuck@0:8", r"control hold: following_error"),
    FaultCase("implausible_joint@0:2", r"event fusion(_standby)? joint_states: implausible"),
    FaultCase("second_commander@0:3", r"control hold: second_commander"),
    FaultCase("large_inputs@0:8", r"event fusion(_standby)? \S+: too_large"),
    FaultCase("large_command@0:4", r"control hold: second_commander"),
    FaultCase("stop_restart@0:20", r"control stop"),
    FaultCase("cpu_hog@0:10", r"cpu_busy"),
    FaultCase("clock_jump@0:5", r"clock: jumped"),
    FaultCase("dds_drop@0:5", r"control|node "),
    FaultCase("thermal_ramp@0:30", r"node .*(temperature|heat|thermal)", quick=True),
    FaultCase("ambient_step@0:15", r"node .*(temperature|heat|thermal)", quick=True),
    FaultCase("fan_fail@0:15", r"node .*(temperature|heat|thermal)", quick=True),
    FaultCase("power_mode:7@0:10", r"node .*(power|temperature|misses|deadline)", quick=True),
    FaultCase("memory_pressure@0:8", r"node .*memory", quick=True),
)


def run(
    cases: Sequence[FaultCase], config_path: str | None = None, repeat: int = 1
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run every case so many times, each in a process of its own; return the rows and what could not be done."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    print("no fault", file=sys.stderr, flush=True)
    baseline = _in_process(None, config_path)
    if "error" in baseline:
        return [], [f"without a fault: not done: {baseline['error']}"]
    rows.append(baseline)
    for case in [case for case in cases for _ in range(repeat)]:
        print(case.fault, file=sys.stderr, flush=True)
        row = _in_process(case, config_path)
        if "error" in row:
            notes.append(f"{case.fault}: not done: {row['error']}")
            continue
        row["task_success_delta"] = _difference(row["task"], baseline["task"])
        rows.append(row)
    return rows, notes


def _in_process(
    case: FaultCase | None, config_path: str | None, arguments: Sequence[str] = (), limit_s: float = 300.0
) -> dict[str, Any]:
    """Run one case in a process of its own: a network of its own has to be entered with one thread."""
    with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
        path = Path(folder) / "row.json"
        command = [sys.executable, "-m", __spec__.name if __spec__ else "edge_stack_bench.ros.faults"]
        command += ["--row", str(path), "--only", case.fault if case is not None else "none"]
        command += ["--config", config_path] if config_path else []
        command += ["--limit", str(limit_s - 10.0), *arguments]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired as error:
            print((error.stderr or b"").decode(errors="replace"), file=sys.stderr)  # where it hung
            if not path.exists():
                return {"error": f"it did not end within {limit_s:g} s"}
        else:
            if done.returncode != 0:
                return {"error": (done.stderr.strip().splitlines() or ["it ended"])[-1]}
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return row


def run_random(
    duration_s: float, seed: int, config_path: str | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the stack with random faults for so long; return one row and what could not be done."""
    print(f"random faults for {duration_s:g} s, seed {seed}", file=sys.stderr, flush=True)
    arguments = ["--random", str(duration_s), "--seed", str(seed)]
    limit_s = STARTUP_LIMIT_S + SETTLE_S + duration_s + RANDOM_RECOVERY_LIMIT_S + 60.0
    row = _in_process(None, config_path, arguments, limit_s)
    if "error" in row:
        return [], [f"random faults, seed {seed}: not done: {row['error']}"]
    return [row], []


def _random_list(config: StackConfig, duration_s: float, seed: int) -> tuple[ScheduledFault, ...]:
    nodes = [node.name for node in config.select(sim=True)]
    without = set()
    if subprocess.run(
        [sys.executable, "-c", _NETWORK_TRIAL], stderr=subprocess.DEVNULL, check=False
    ).returncode:
        without = {kind.name for kind in KINDS.values() if kind.own_network}
    return random_faults(seed, duration_s, nodes, without)


def run_case(
    case: FaultCase | None,
    path: Path,
    config_path: str | None = None,
    chance: tuple[float, int] | None = None,
) -> None:
    """
    Run the stack with one fault (None: without) in this process and write its row to a file, before the stack is ended.

    chance: duration, s, and seed of random faults in place of one.
    """
    from edge_stack_bench.ros.demo import RunningStack, prepare
    from edge_stack_bench.views.report import write_report

    faults = [] if case is None else [parse_fault(case.fault)]
    with tempfile.TemporaryDirectory(prefix="edge_bench_") as folder:
        try:
            config = _configure(load_config(config_path or shipped_config()), case, Path(folder))
            if chance is not None:
                faults = list(_random_list(config, *chance))
            config = prepare(config, faults)
        except ConfigurationError as error:
            write_report(path, {"error": str(error)})
            return
        with running_demo(config, Path(folder)) as demo:
            runner = FaultRunner(faults, RunningStack(demo.processes, demo.monitor), lambda _: None)
            try:
                times = _let_happen(demo, runner, faults, demo.record if chance else None)
                time.sleep(READ_S)
                with demo.lock, demo.monitor.lock:
                    row = _row(case, faults, runner, demo.seen, demo.record, times)
                if chance is not None:
                    row["fault"] = f"random, {chance[0]:g} s, seed {chance[1]}"
                    row["faults"] = [str(fault) for fault in faults]
                if "error" not in row:
                    kind = faults[0].kind if case is not None else ""
                    row["over"] = missed_limits(row, kind, 1.0 / config.control_rate_hz)
                write_report(path, row)
            finally:
                runner.close()


def _configure(config: StackConfig, case: FaultCase | None, folder: Path) -> StackConfig:
    if case is None or not case.quick:
        return config
    for name, values in QUICK_BOARD.items():
        for parameter, value in values.items():
            config = config.with_parameter(name, parameter, value)
    path = folder / "governor.yaml"
    path.write_text(yaml.safe_dump(quick_governor(QUICK)), encoding="utf-8")
    return config.with_parameter("supervisor", "governor_file", str(path))


def quick_governor(factor: float) -> dict[str, Any]:
    """Return the shipped governor.yaml with every time divided by a factor, and as many more changes as it takes."""

    def quick(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: quick(v, k) for k, v in value.items()}
        return value / factor if key.endswith("_s") else value

    path = default_settings_path()
    settings: dict[str, Any] = quick(yaml.safe_load(path.read_text(encoding="utf-8")))
    settings["max_changes_per_minute"] = round(factor * settings["max_changes_per_minute"])
    # One step at every reading, which is 20 s of the board's time, as in real time; without this, at every other one.
    settings["table"]["raise_every_s"] = 0.5 * READING_S
    return settings


def _let_happen(
    demo: RunningDemo, runner: FaultRunner, faults: Sequence[ScheduledFault], record: RunRecord | None = None
) -> tuple[float, float, float]:
    """
    Wait until all is well, do the faults, wait until all is well again; return begin, end of the cause, and now.

    record: of the run, to wait for a success of the task after many faults too.
    """
    demo.wait_until_well(SETTLE_S if record is None else WELL_S)
    begin_s = time.monotonic()
    runner.start(begin_s)
    last_s = max((fault.at_s + fault.duration_s for fault in faults), default=0.0)
    demo.wait(lambda: all(d.ended_s is not None or d.error for d in runner.done), last_s + 60.0)
    end_s = time.monotonic() if faults else begin_s + 8.0
    before = record.task.as_dict()["successes"] if record is not None else 0
    demo.wait(
        lambda: (
            time.monotonic() - end_s > 5.0
            and demo.seen.well_since(end_s, WELL_S, time.monotonic()) is not None
            and (record is None or record.task.as_dict()["successes"] > before)
        ),
        RANDOM_RECOVERY_LIMIT_S if record is not None else RECOVERY_LIMIT_S if faults else 14.0,
    )
    return begin_s, end_s, time.monotonic()


def _row(
    case: FaultCase | None,
    faults: Sequence[ScheduledFault],
    runner: FaultRunner,
    seen: FaultObservations,
    record: RunRecord,
    times: tuple[float, float, float],
) -> dict[str, Any]:
    begin_s, end_s, over_s = times
    errors = [f"{done.fault}: {done.error}" for done in runner.done if done.error]
    if errors and case is not None:
        return {"error": errors[0]}
    if case is not None:
        begin_s, end_s = runner.done[0].began_s or begin_s, runner.done[0].ended_s or end_s
    task, unsafe = record.task.as_dict(), seen.unsafe_commands(begin_s, over_s)
    gap_at_s, gap_s = max(seen.gaps(begin_s, over_s), key=lambda gap: gap[1])
    row: dict[str, Any] = {
        "fault": str(faults[0]).replace("@0", "") if faults else "none",
        "detected_ms": None,
        "sign": "",
        "reaction": "",
        "cooled_ms": None,
        "recovered_ms": None,
        "control_gap_ms": round(gap_s * 1e3, 1),
        "gap_at_ms": round((gap_at_s - begin_s) * 1e3),
        "deadline_misses": record.control.total("deadline_misses"),
        "unsafe_commands": len(unsafe),
        "unsafe": [{"at_ms": round((u.at_s - begin_s) * 1e3), "why": u.why} for u in unsafe],
        "commands": sum(begin_s <= t <= over_s for t, _ in seen.commands),
        "task": {key: task[key] for key in ("attempts", "successes")},
        "lost": [],
        "signs": [
            {
                "at_ms": round((s.began_s - begin_s) * 1e3),
                "until_ms": None if s.ended_s is None else round((s.ended_s - begin_s) * 1e3),
                "text": s.text,
            }
            for s in seen.signs
            if s.began_s >= begin_s
        ][: MOST_SIGNS if case is not None else None],
    }
    if case is None and not faults:
        return row
    if case is None:
        row["not_done"] = errors  # of a node that was away just then
    sign = None if case is None else seen.first_sign(case.sign, begin_s)
    row["states"] = seen.states(begin_s if sign is None else sign.began_s, end_s)
    for done in runner.done:
        row.update(done.figures)
    if sign is not None:
        row["detected_ms"] = round((sign.began_s - begin_s) * 1e3, 1)
        row["sign"] = sign.text
    row["reaction"] = _reaction(seen, begin_s, over_s)
    well_s = seen.well_since(end_s, WELL_S, over_s)
    cooled_s = seen.cool_since(end_s)
    if cooled_s is not None:
        row["cooled_ms"] = round((cooled_s - end_s) * 1e3, 1)
    if well_s is not None:
        row["recovered_ms"] = round(max(0.0, well_s - max(end_s, cooled_s or end_s)) * 1e3, 1)
    else:
        row["lost"] = seen.troubles() or ["the stack is not well"]
    return row


def _reaction(seen: FaultObservations, begin_s: float, over_s: float) -> str:
    """Return what control did, and what the supervisor did, in the order in which it was first said."""
    said: list[str] = []
    for sign in sorted(seen.signs, key=lambda s: s.began_s):
        if begin_s <= sign.began_s <= over_s and sign.text.startswith(("control ", "node ")):
            # What follows tells more of the same: since when, and what is done about it.
            text = sign.text.removeprefix("control ").partition(";")[0]
            if text not in said:
                said.append(text)
    return "; ".join(said[:3]) or "none needed: control runs on"


def _difference(task: Mapping[str, int], baseline: Mapping[str, int]) -> float | None:
    if not task["attempts"] or not baseline["attempts"]:
        return None
    share = task["successes"] / task["attempts"] - baseline["successes"] / baseline["attempts"]
    return round(share, 3) if math.isfinite(share) else None


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench faults", description=__doc__.split("\n\n")[0])
    common.add_output_options(parser)
    parser.add_argument("--config", metavar="FILE", help="another robot.yaml")
    parser.add_argument("--only", action="append", metavar="FAULT", help="only faults that begin so")
    parser.add_argument("--repeat", type=int, default=1, metavar="TIMES", help="do each fault so often")
    parser.add_argument(
        "--random", type=float, metavar="SECONDS", help="instead: random faults of all kinds for so long"
    )
    parser.add_argument("--seed", type=int, help="of the random faults; without it one is drawn, and printed")
    parser.add_argument("--row", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.random is not None and options.random <= 0.0:
        parser.error(f"--random {options.random:g}: must be above 0")
    if options.repeat < 1:
        parser.error(f"--repeat {options.repeat}: must be at least 1")
    if options.row:
        chance = (options.random, options.seed) if options.random else None
        case = next((c for c in CASES if c.fault == options.only[0]), None)
        faulthandler.dump_traceback_later(options.limit)
        run_case(case, Path(options.row), options.config, chance)
        faulthandler.cancel_dump_traceback_later()
        return 0
    if options.random is not None:
        seed = random.randrange(2**31) if options.seed is None else options.seed
        rows, notes = run_random(options.random, seed, options.config)
        common.report(options, "faults", rows, notes)
        return _verdict(rows, notes)
    cases = [c for c in CASES if not options.only or c.fault.startswith(tuple(options.only))]
    if not cases:
        parser.error(f"--only {' '.join(options.only)}: there are {', '.join(c.fault for c in CASES)}")
    rows, notes = run(cases, options.config, options.repeat)
    code = _verdict(rows, notes)
    if any(case.quick for case in cases):
        notes.append(
            f"heat, power and memory: the simulated board and the governor's times run {QUICK:g} times as fast; cooled:"
            " from the fault's end until the board no longer tells what rates are lowered for; well again: from then on"
        )
    common.report(options, "faults", rows, notes)
    return code


def _verdict(rows: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> int:
    """Return 0 if all was done and nothing missed its limit. notes: what could not be done."""
    return 1 if not rows or notes or any(row["over"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
