# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""How often a policy that sees images does the task in the simulator, beside the expert, with confidence intervals.

Its unit of work is one policy over a range of seeds; a seed is one scene and one instruction, the same for all policies.
The whole stack is judged by `./edge demo --headless --report`; this needs no ROS and runs faster than time.

    python -m edge_stack_sim.learning.evaluate --episodes 100
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

from edge_stack.intervals import wilson
from edge_stack.policies import PolicySettings, make_policy
from edge_stack.policies.base import STATE, TASK, TIME_S, Policy
from edge_stack.policies.contract import PolicyContract, load_contract
from edge_stack.robot import Robot, load_robot
from edge_stack.share import share_folder
from edge_stack_sim.expert import Expert, glance
from edge_stack_sim.learning.closed_loop import ClosedLoop, Predict
from edge_stack_sim.learning.demonstrations import HORIZON
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World


@dataclass(frozen=True)
class Outcome:
    """
    What came of a range of seeds.

    low, high: Wilson's 95 % interval of the success rate. duration_s: mean of the successful episodes. inference_ms: median
    of a chunk. failed: seeds that did not succeed.
    """

    policy: str
    episodes: int
    successes: int
    low: float
    high: float
    duration_s: float
    inference_ms: float
    failed: tuple[int, ...]


def predictor(policy: Policy, contract: PolicyContract) -> Predict:
    """Let a policy that sees the simulator's camera drive the arm."""

    def predict(
        frame: NDArray[np.uint8], state: NDArray[np.float64], task: str, now_s: float
    ) -> NDArray[np.float64]:
        seen = {image.key: image.fit(frame) for image in contract.images}
        return policy.predict_action_chunk(
            {STATE: state.astype(np.float32), TASK: task, TIME_S: now_s, **seen}
        )

    return predict


def evaluate(
    name: str,
    robot: Robot,
    seeds: Sequence[int],
    policy: Policy | None = None,
    contract: PolicyContract | None = None,
    *,
    show: bool = False,
) -> Outcome:
    """Run a policy with its contract, or the expert where none is given, from each seed once."""
    world = World(seed=seeds[0])
    expert = Expert(robot)
    task = PlaceTask(world)
    drive = None if policy is None or contract is None else predictor(policy, contract)
    times_s: list[float] = []

    def predict(
        frame: NDArray[np.uint8], state: NDArray[np.float64], words: str, now_s: float
    ) -> NDArray[np.float64]:
        began = time.perf_counter()
        if drive is None:
            chunk = expert.chunk(
                expert.resume(loop.last_command, loop.command), glance(world, task.target), HORIZON
            )
        else:
            chunk = drive(frame, state, words, now_s)
        times_s.append(time.perf_counter() - began)
        return chunk

    loop = ClosedLoop(world, robot, predict)
    durations_s, failed = [], []
    try:
        for number, seed in enumerate(seeds):
            world.reset()
            task = PlaceTask(world, seed=seed)
            task.prepare()
            if policy is not None:
                policy.reset()
            if loop.run(task) is TaskState.SUCCEEDED:
                durations_s.append(task.last_success_s)
            else:
                failed.append(seed)
            if show:
                print(f"\r{name}: {len(durations_s)} of {number + 1}", end="", file=sys.stderr, flush=True)
    finally:
        world.close()
    if show:
        print(file=sys.stderr)
    low, high = wilson(len(durations_s), len(seeds))
    return Outcome(
        name,
        len(seeds),
        len(durations_s),
        low,
        high,
        float(np.mean(durations_s)) if durations_s else math.nan,
        float(np.median(times_s)) * 1e3,
        tuple(failed),
    )


def main() -> None:
    """Evaluate from the command line."""
    config = share_folder("edge_stack") / "config"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="smolvla", help="name of a policy that sees the camera")
    parser.add_argument("--policy-path", default="demo", help="its weights")
    parser.add_argument("--contract", type=Path, default=config / "policies" / "demo.yaml")
    parser.add_argument("--robot", type=Path, default=config / "robots" / "so101_sim.yaml")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument(
        "--seed", type=int, default=100_000, help="the first; training uses those below 100000"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    robot = load_robot(options.robot)
    contract = load_contract(options.contract, robot)
    policy = make_policy(
        options.policy, PolicySettings(robot, horizon=HORIZON, path=options.policy_path, contract=contract)
    )
    policy.load()
    seeds = range(options.seed, options.seed + options.episodes)
    outcomes = [
        evaluate("expert", robot, seeds, show=True),
        evaluate(options.policy, robot, seeds, policy, contract, show=True),
    ]
    policy.close()
    print(f"{'policy':14}{'success':>10}{'95 %':>14}{'seconds':>10}{'ms a chunk':>12}")
    for one in outcomes:
        interval = f"{one.low:.0%} to {one.high:.0%}"
        rate = f"{one.successes}/{one.episodes}"
        print(f"{one.policy:14}{rate:>10}{interval:>14}{one.duration_s:>10.1f}{one.inference_ms:>12.1f}")
    if options.json:
        options.json.write_text(
            json.dumps([asdict(one) for one in outcomes], indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
