# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
How often policies do the task in the simulator, with confidence intervals: the demo's, the visual servo, the expert.

Its unit of work is one of them over a range of seeds; a seed is one scene and one instruction, the same for all. Frames
and chunks come as late for all as in the stack. The whole stack is judged by `./edge demo --headless --report`; this needs
no ROS and runs faster than time.

    python -m edge_stack_sim.learning.evaluate --policy smolvla --policy visual_servo --policy expert --seed 500001
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot, find_robot, load_robot
from edge_stack_policy import PolicySettings, make_policy
from edge_stack_policy.contract import load_contract
from edge_stack_sim.learning.closed_loop import ClosedLoop
from edge_stack_sim.learning.demonstrations import HORIZON
from edge_stack_sim.learning.drivers import Driver, ExpertDriver, PolicyDriver
from edge_stack_sim.scene import CONTRACT, ROBOT
from edge_stack_sim.success_rate import wilson
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World

EXPERT, SERVO = "expert", "visual_servo"


@dataclass(frozen=True)
class EvaluationOutcome:
    """
    What came of a range of seeds.

    low, high: Wilson's 95 % interval of the success rate. duration_s: mean of the successful episodes. inference_ms: median
    of a chunk, of detecting what it needs, too. failed: seeds that did not succeed. minutes: it took.
    """

    policy: str
    episodes: int
    successes: int
    low: float
    high: float
    duration_s: float
    inference_ms: float
    failed: tuple[int, ...]
    minutes: float


def evaluate(driver: Driver, robot: Robot, seeds: Sequence[int], *, show: bool = False) -> EvaluationOutcome:
    """Let somebody drive from each seed once. The driver stays open."""
    started = time.monotonic()
    world = World(seed=seeds[0])
    times_s: list[float] = []

    def predict(
        frame: NDArray[np.uint8], state: NDArray[np.float64], words: str, now_s: float
    ) -> NDArray[np.float64]:
        began = time.perf_counter()
        chunk = driver.predict(frame, state, words, now_s)
        times_s.append(time.perf_counter() - began)
        return chunk

    loop = ClosedLoop(world, robot, predict)
    durations_s, failed = [], []
    try:
        for number, seed in enumerate(seeds):
            world.reset()
            task = PlaceTask(world, seed=seed)
            task.prepare()
            driver.begin(loop, task)
            if loop.run(task) is TaskState.SUCCEEDED:
                durations_s.append(task.last_success_s)
            else:
                failed.append(seed)
            if show:
                count = f"{len(durations_s)} of {number + 1}"
                print(f"\r{driver.name}: {count}", end="", file=sys.stderr, flush=True)
    finally:
        world.close()
    if show:
        print(file=sys.stderr)
    low, high = wilson(len(durations_s), len(seeds))
    return EvaluationOutcome(
        driver.name,
        len(seeds),
        len(durations_s),
        low,
        high,
        float(np.mean(durations_s)) if durations_s else math.nan,
        float(np.median(times_s)) * 1e3,
        tuple(failed),
        round((time.monotonic() - started) / 60.0, 2),
    )


def make_driver(name: str, robot: Robot, path: str, contract: str | Path) -> Driver:
    """
    Make a driver and load it.

    name: of a policy, or `expert`. path, contract: weights and features of a policy that sees the camera. ConfigurationError
    says what is wrong.
    """
    if name == EXPERT:
        return ExpertDriver(robot)
    if name == SERVO:
        return PolicyDriver(make_policy(name, PolicySettings(robot, horizon=HORIZON)), robot)
    features = load_contract(contract, robot)
    settings = PolicySettings(robot, horizon=HORIZON, path=path, contract=features)
    return PolicyDriver(make_policy(name, settings), robot, features)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policy",
        action="append",
        help=f"a policy, or {EXPERT}; several, one after another (default: smolvla)",
    )
    parser.add_argument("--policy-path", default="demo", help="weights of policies that have some")
    parser.add_argument("--contract", help="their contract: a file, or a shipped one's name")
    parser.add_argument("--robot", type=Path, help="the simulated robot's description (YAML)")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument(
        "--seed", type=int, default=100_000, help="the first; training uses those below 100000"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    outcomes = []
    try:
        robot = load_robot(options.robot or find_robot(ROBOT))
        contract = options.contract or CONTRACT
        seeds = range(options.seed, options.seed + options.episodes)
        for name in options.policy or ["smolvla"]:
            driver = make_driver(name, robot, options.policy_path, contract)
            outcomes.append(evaluate(driver, robot, seeds, show=True))
            driver.close()
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{'policy':14}{'success':>10}{'95 %':>14}{'seconds':>10}{'ms a chunk':>12}{'minutes':>10}")
    for one in outcomes:
        interval, rate = f"{one.low:.0%} to {one.high:.0%}", f"{one.successes}/{one.episodes}"
        print(
            f"{one.policy:14}{rate:>10}{interval:>14}{one.duration_s:>10.1f}{one.inference_ms:>12.1f}{one.minutes:>10.1f}"
        )
    if options.json:
        rows = [asdict(one) for one in outcomes]
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
