# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Trains the demo's policy from nothing: a tiny SmolVLA that puts the object that it is told to on the mark.

    python -m edge_stack_sim.learning.train --out DIR

Its unit of work is one stage: demonstrations, seeing, acting, then rounds in which the policy drives, the expert says what
it would have done (DAgger), and the policy learns from that too. Each stage leaves a file in DIR; run again, it goes on
after the last whole one. DIR/policy is what the policy node runs (policy `smolvla`), DIR/checkpoint is LeRobot's. Needs
lerobot.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from edge_stack_core.device import parse_device
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot, find_robot, load_robot
from edge_stack_policy.base import STATE
from edge_stack_policy.contract import ACTION
from edge_stack_policy.smolvla.export import export
from edge_stack_sim.learning.closed_loop import Predict
from edge_stack_sim.learning.demonstrations import HORIZON, Samples, demonstrate, follow, scaled
from edge_stack_sim.learning.lessons import (
    Lesson,
    Say,
    TrainingPace,
    join,
    learn_to_act,
    learn_to_see,
    normalized,
    prepare,
)
from edge_stack_sim.learning.model import INSTRUCTIONS, LANGUAGE_TOKENS, Statistics, Student, statistics_of
from edge_stack_sim.scene import ROBOT

SHARD = 2000  # samples in a file
SEE, ACT, AGAIN = (
    TrainingPace(2000, 10.0, 2e-3),
    TrainingPace(2000, 16.0, 1.2e-3),
    TrainingPace(1000, 8.0, 1e-3),
)
OWN_SHARE = 2  # how often what the policy itself got into is taken, for once that a demonstration is


@dataclass(frozen=True)
class TrainingPlan:
    """How much of everything. Minutes are limits; steps come first on a fast machine."""

    samples: int = 32_000
    see: TrainingPace = SEE
    act: TrainingPace = ACT
    rounds: int = 2
    round_samples: int = 5_000
    again: TrainingPace = AGAIN


@dataclass(frozen=True)
class Workshop:
    """Where and with what it is trained."""

    out: Path
    robot: Robot
    device: torch.device
    seed: int
    processes: int
    say: Say


def train(plan: TrainingPlan, shop: Workshop) -> Path:
    """Run all stages that are not done yet; return the folder of the exported policy."""
    torch.manual_seed(shop.seed)
    first = [shop.out / "demonstrations" / f"{number:03}.npz" for number in range(-(-plan.samples // SHARD))]
    size = min(SHARD, plan.samples)
    _in_processes(
        shop,
        "demonstrations",
        [(path, _demonstrate, shop.seed + 1 + number, size) for number, path in enumerate(first)],
    )
    basis = Samples.load(*first[: max(1, len(first) // 2)])
    statistics = statistics_of(basis.states, basis.chunks)
    student = Student(shop.out / "checkpoint", statistics, shop.seed).to(shop.device)

    seen = shop.out / "seen.safetensors"
    if not _restore(student, seen):
        learn_to_see(student, basis, plan.see, shop.device, shop.say)
        _keep(student, seen)
    del basis
    lessons = [prepare(student, Samples.load(path), statistics, shop.device) for path in first]
    shop.say(f"seeing is done; {sum(map(len, lessons))} samples looked at")

    acted = shop.out / "acted.safetensors"
    if not _restore(student, acted):
        learn_to_act(student, join(lessons), plan.act, shop.device, shop.say)
        _keep(student, acted)
    for number in range(plan.rounds):
        lessons += [_follow(plan, shop, student, statistics, number)] * OWN_SHARE
        done = shop.out / f"round{number + 1}.safetensors"
        if not _restore(student, done):
            learn_to_act(student, join(lessons), plan.again, shop.device, shop.say)
            _keep(student, done)
    return _finish(student, shop)


def driver(student: Student, statistics: Statistics, device: torch.device) -> Predict:
    """Let the student drive the arm, as the exported policy would."""
    noise = torch.zeros(1, HORIZON, 6, device=device)  # grows into the middle of what may be done

    @torch.no_grad()
    def predict(
        frame: NDArray[np.uint8], state: NDArray[np.float64], task: str, _: float
    ) -> NDArray[np.float64]:
        images = torch.from_numpy(scaled(frame))[None].to(device)
        states = normalized(state[None], statistics, STATE).to(device)
        target = torch.tensor([INSTRUCTIONS.index(task)], device=device)
        chunk = student.act(student.read(student.look(images), target, states), noise)[0].cpu().numpy()
        return np.asarray(chunk * statistics[ACTION]["std"] + statistics[ACTION]["mean"], dtype=np.float64)

    return predict


def _follow(
    plan: TrainingPlan,
    shop: Workshop,
    student: Student,
    statistics: Statistics,
    number: int,
) -> Lesson:
    path = shop.out / f"round{number + 1}.npz"
    if not path.is_file():
        say_rows = _counter(shop.say, f"round {number + 1}: driving", plan.round_samples)
        follow(
            shop.robot,
            driver(student, statistics, shop.device),
            shop.seed + 50_000 + number,
            plan.round_samples,
            say_rows,
        ).save(path)
    return prepare(student, Samples.load(path), statistics, shop.device)


def _finish(student: Student, shop: Workshop) -> Path:
    """Save LeRobot's checkpoint, whole with its processors, and export it."""
    checkpoint, policy = shop.out / "checkpoint", shop.out / "policy"
    student.policy.to("cpu").eval()
    student.policy.save_pretrained(checkpoint)
    shop.say("exporting")
    exported = export(checkpoint, policy, language_tokens=LANGUAGE_TOKENS, units="rad", noise_scale=0.0)
    milliseconds = sum(exported.onnx_ms.values())
    shop.say(f"{policy}: {milliseconds:.1f} ms a chunk, parity {exported.description.parity_max_abs:.1g}")
    return policy


# ---- files


def _keep(student: Student, path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    save_file({name: value.contiguous().clone() for name, value in student.state_dict().items()}, unfinished)
    unfinished.replace(path)


def _restore(student: Student, path: Path) -> bool:
    if not path.is_file():
        return False
    student.load_state_dict(load_file(path))
    return True


# ---- demonstrations


def _demonstrate(robot: Robot, seed: int, count: int) -> Samples:
    return demonstrate(robot, seed, count)


def _write(job: tuple[Path, Callable[[Robot, int, int], Samples], int, int], robot: Robot) -> Path:
    path, make, seed, count = job
    make(robot, seed, count).save(path)
    return path


def _in_processes(
    shop: Workshop, name: str, jobs: Sequence[tuple[Path, Callable[[Robot, int, int], Samples], int, int]]
) -> None:
    """Make the files that are missing."""
    missing = [job for job in jobs if not job[0].is_file()]
    for job in missing:
        job[0].parent.mkdir(parents=True, exist_ok=True)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(shop.processes, mp_context=context) as pool:
        for number, _ in enumerate(pool.map(_write, missing, [shop.robot] * len(missing))):
            shop.say(f"{name}: {number + 1} of {len(missing)} files")


def _counter(say: Say, what: str, whole: int) -> Callable[[int], None]:
    def count(rows: int) -> None:
        if rows % 1000 == 0 or rows == whole:
            say(f"{what}: {rows} of {whole}")

    return count


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=2, help="on a CPU (default: 2)")
    parser.add_argument("--processes", type=int, default=2, help="that demonstrate at once (default: 2)")
    parser.add_argument(
        "--seed", type=int, default=0, help="below 100000, where the seeds of evaluations begin"
    )
    parser.add_argument("--robot", type=Path, help="the simulated robot's description (YAML)")
    parser.add_argument(
        "--samples", type=int, default=TrainingPlan.samples, help=f"default: {TrainingPlan.samples}"
    )
    parser.add_argument(
        "--rounds", type=int, default=TrainingPlan.rounds, help=f"of DAgger; default: {TrainingPlan.rounds}"
    )
    options = parser.parse_args()
    try:
        device = parse_device(options.device)
    except ConfigurationError as error:
        parser.error(str(error))
    torch.set_num_threads(options.threads)
    if options.robot is None:
        options.robot = find_robot(ROBOT)
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    shop = Workshop(
        options.out.resolve(),
        load_robot(options.robot),
        torch.device(device),
        options.seed,
        options.processes,
        lambda text: print(f"[{(time.monotonic() - began) / 60.0:5.1f} min] {text}", flush=True),
    )
    train(TrainingPlan(samples=options.samples, rounds=options.rounds), shop)
    minutes = (time.monotonic() - began) / 60.0
    (options.out / "training.json").write_text(
        json.dumps({"minutes": round(minutes, 1), "seed": options.seed, "samples": options.samples}) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
