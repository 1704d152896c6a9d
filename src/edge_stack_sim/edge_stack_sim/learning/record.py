# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Writes the expert's episodes as a LeRobot dataset (v3), for LeRobot's own training or anybody else's.

    python -m edge_stack_sim.learning.record --out DIR --episodes 50

Its unit of work is one episode in the simulator, without ROS: at each control step the camera's frame, the joints, the
instruction, and the positions that the expert commands then, under the keys and in the units of a policy contract. Failed
episodes are thrown away. What a running stack does is recorded by edge_stack_record.ros.record_dataset. Needs lerobot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot, find_robot, load_robot
from edge_stack_policy.contract import PolicyContract, load_contract, to_units
from edge_stack_policy.lerobot.dataset import DatasetWriter
from edge_stack_sim.expert import Expert, glance
from edge_stack_sim.learning.closed_loop import EPISODE
from edge_stack_sim.scene import CAMERA, CONTRACT, JOINTS, ROBOT
from edge_stack_sim.task import PlaceTask, TaskState
from edge_stack_sim.world import World

FAILURES_MAX = 20
"""In a row; the expert fails once in a hundred."""


def record(
    writer: DatasetWriter,
    robot: Robot,
    episodes: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """
    Let the expert do episodes until so many have succeeded, and write them.

    seed: of all scenes. progress: is told episodes and frames so far. ConfigurationError if the contract asks for what the
    simulator does not have.
    """
    contract = writer.contract
    _check(contract)
    world, expert = World(seed=seed), Expert(robot)
    task, failures = PlaceTask(world, seed=seed), 0
    try:
        while writer.episodes < episodes:
            world.reset()
            task.prepare()
            _play(world, expert, task, writer)
            kept = writer.end_episode(keep=task.state is TaskState.SUCCEEDED)
            failures = 0 if kept else failures + 1
            if failures == FAILURES_MAX:
                raise ConfigurationError(
                    f"the expert failed {failures} times in a row; is the robot its own?"
                )
            if kept and progress is not None:
                progress(writer.episodes, writer.frames)
    finally:
        world.close()


def _play(world: World, expert: Expert, task: PlaceTask, writer: DatasetWriter) -> None:
    contract = writer.contract
    moved = [JOINTS.index(name) for name in contract.action.joints]
    motion, number = expert.start(world.joint_positions), 0
    task.start()
    while not task.update():
        seen = glance(world, task.target)
        observation: dict[str, Any] = {image.key: world.render() for image in contract.images}
        if contract.state is not None:
            state = seen.joints[[JOINTS.index(name) for name in contract.state.fields]]
            observation[contract.state.key] = to_units(contract.state, state)
        expert.advance(motion, seen)
        writer.add(observation, motion.joints[moved], task.instruction)
        world.step(motion.joints, EPISODE.physics_steps(number))
        number += 1


def _check(contract: PolicyContract) -> None:
    where = contract.path or "contract"
    if abs(contract.rate_hz * EPISODE.step_s - 1.0) > 1e-6:
        raise ConfigurationError(
            f"{where}: rate_hz: {contract.rate_hz:g}; the simulator is commanded {1.0 / EPISODE.step_s:g} times a second"
        )
    for image in contract.images:
        if image.camera != CAMERA:
            raise ConfigurationError(
                f"{where}: {image.key}: camera: '{image.camera}'; the simulator's only one is '{CAMERA}'"
            )
    if contract.environment_state is not None:
        raise ConfigurationError(
            f"{where}: {contract.environment_state.key}: nothing detects here; record a running stack"
            " (./edge record-dataset)"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Record from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist yet")
    parser.add_argument("--episodes", type=_positive, default=50, help="successful ones (default: 50)")
    parser.add_argument(
        "--contract",
        help="what is recorded, and how: a file, or a shipped one's name (default: the demo's)",
    )
    parser.add_argument("--robot", type=Path, help="the simulated robot's description (YAML)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the scenes; evaluations use those from 100000 (default: 0)"
    )
    parser.add_argument("--videos", action="store_true", help="cameras as video files; else as PNG")
    parser.add_argument("--repo-id", default="", help="the dataset's name (default: local/<folder>)")
    options = parser.parse_args(argv)
    try:
        robot = load_robot(options.robot or find_robot(ROBOT))
        contract = load_contract(options.contract or CONTRACT, robot)
        _check(contract)
        with DatasetWriter(
            options.out, contract, robot_type=robot.name, repo_id=options.repo_id, videos=options.videos
        ) as writer:
            record(writer, robot, options.episodes, options.seed, _say)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {writer.episodes} episodes, {writer.frames} frames at {writer.fps} Hz")
    return 0


def _say(episodes: int, frames: int) -> None:
    print(f"\r{episodes} episodes, {frames} frames", end="", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
