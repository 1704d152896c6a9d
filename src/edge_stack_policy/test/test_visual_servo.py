# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The visual servo against a table without physics: joints follow commands, a closed gripper holds what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import CameraModel, find_robot, load_robot
from edge_stack_policy import PolicySettings, make_policy, policy_names
from edge_stack_policy.visual_servo.kinematics import ArmKinematics, point_to_pixel
from edge_stack_policy.visual_servo.policy import (
    CLASS_NAMES,
    TRANSITIONS,
    InstructionError,
    ServoPhase,
    VisualServo,
    parse_instruction,
)

ROBOT = load_robot(find_robot("so101_sim"))
ARM = ArmKinematics.of(ROBOT)
CAMERA = ROBOT.cameras["table"]
PERIOD_S = 0.2
TASK = "put the red cube on the mark"


@dataclass
class Table:
    """A red cube and a mark; the arm is where it was last told to be. slippery: grasps that fail."""

    cube: np.ndarray = field(default_factory=lambda: np.array((0.2, 0.12, 0.015)))
    mark: np.ndarray = field(default_factory=lambda: np.array((0.22, -0.1, 0.0)))
    joints: np.ndarray = field(default_factory=lambda: ROBOT.home.copy())
    held: bool = False
    slippery: int = 0
    slipped: bool = False
    now_s: float = 100.0

    def detections(self) -> np.ndarray:
        rows = []
        for name, point, size in (("red_cube", self.cube, 26.0), ("mark", self.mark, 44.0)):
            pixel = point_to_pixel(CAMERA, point)
            assert pixel is not None
            rows.append((CLASS_NAMES.index(name), 0.9, *pixel, size, size, 0.0, 0.15))
        return np.array(rows, dtype=np.float32)

    def observation(self, task: str = TASK, detections: np.ndarray | None = None) -> dict:
        return {
            "observation.state": self.joints.astype(np.float32),
            "observation.environment_state": self.detections() if detections is None else detections,
            "task": task,
            "time_s": self.now_s,
        }

    def follow(self, chunk: np.ndarray, step_s: float) -> None:
        """Execute a chunk for one period."""
        for index in range(round(PERIOD_S / step_s)):
            self.joints = chunk[index + 1].copy()
            tool = ARM.forward(self.joints).xyz
            if self.held:
                self.cube = tool + (0.0, 0.0, 0.006)
                self.joints[5] = max(self.joints[5], 0.5)
                if chunk[index + 1][5] > 0.6:
                    self.held = False
                    self.cube[2] = 0.015
            elif self.joints[5] < 0.5 and np.linalg.norm(tool - self.cube) < 0.014:
                self.slipped = self.slippery > 0
                self.held = not self.slipped
            elif self.slipped and self.joints[5] > 0.6:
                self.slipped = False
                self.slippery -= 1
        self.now_s += PERIOD_S


def servo() -> VisualServo:
    policy = make_policy("visual_servo", PolicySettings(ROBOT, horizon=24))
    assert isinstance(policy, VisualServo)
    policy.load()
    return policy


def run(
    policy: VisualServo, table: Table, limit_s: float = 20.0, until: ServoPhase = ServoPhase.DONE, **kwargs
) -> list[ServoPhase]:
    phases: list[ServoPhase] = []
    end_s = table.now_s + limit_s
    while table.now_s < end_s:
        table.follow(policy.predict_action_chunk(table.observation(**kwargs)), policy.step_s)
        if not phases or phases[-1] is not policy.phase:
            phases.append(policy.phase)
        if policy.phase is until:
            return phases
    raise AssertionError(f"not {until} within {limit_s} s: {phases}")


def on_mark(table: Table) -> bool:
    return bool(np.linalg.norm(table.cube[:2] - table.mark[:2]) < 0.02 and not table.held)


def test_the_named_object_ends_up_on_the_mark() -> None:
    table = Table()
    phases = run(servo(), table)
    assert on_mark(table)
    assert phases == [
        ServoPhase.SEARCH, ServoPhase.REACH, ServoPhase.DESCEND, ServoPhase.CLOSE,
        ServoPhase.LIFT, ServoPhase.CARRY, ServoPhase.LOWER, ServoPhase.OPEN,
        ServoPhase.RETREAT, ServoPhase.VERIFY, ServoPhase.DONE,
    ]  # fmt: skip


def test_a_grasp_that_fails_is_tried_again() -> None:
    table = Table(slippery=1)
    phases = run(servo(), table, 30.0)
    assert on_mark(table)
    assert phases.count(ServoPhase.CLOSE) == 2


def test_an_object_that_is_moved_before_the_grasp_is_found_again() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.REACH)
    table.cube = np.array((0.24, -0.02, 0.015))
    run(policy, table, 30.0)
    assert on_mark(table)


def test_an_object_taken_off_the_mark_is_put_back() -> None:
    table, policy = Table(), servo()
    run(policy, table)
    table.cube = np.array((0.2, 0.12, 0.015))
    run(policy, table, until=ServoPhase.REACH)
    run(policy, table, 30.0)
    assert on_mark(table)


def test_an_object_lost_on_the_way_is_picked_up_again() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.CARRY)
    table.held = False
    table.joints[5] = 0.2
    table.cube = np.array((0.2, 0.05, 0.015))
    run(policy, table, 30.0)
    assert on_mark(table)


def test_without_detections_the_arm_waits_at_home() -> None:
    table, policy = Table(), servo()
    nothing = np.zeros((0, 8), dtype=np.float32)
    for _ in range(20):
        table.follow(policy.predict_action_chunk(table.observation(detections=nothing)), policy.step_s)
    assert policy.phase is ServoPhase.SEARCH
    np.testing.assert_allclose(table.joints, ROBOT.home, atol=0.02)


def test_detections_that_stop_after_the_approach_do_not_stop_the_task() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.DESCEND)
    run(policy, table, until=ServoPhase.VERIFY, detections=np.zeros((0, 8), dtype=np.float32))
    assert on_mark(table)


@pytest.mark.parametrize(
    "task", ["put the purple cube on the mark", "sing", "put the red cube on the green cube"]
)
def test_an_instruction_that_cannot_be_followed_is_a_problem_and_the_arm_holds(task: str) -> None:
    table, policy = Table(), servo()
    before = table.joints.copy()
    for _ in range(10):
        table.follow(policy.predict_action_chunk(table.observation(task)), policy.step_s)
    assert task in policy.problem
    np.testing.assert_allclose(table.joints, before, atol=1e-6)


def test_a_problem_goes_away_with_an_instruction_that_can_be_followed() -> None:
    table, policy = Table(), servo()
    policy.predict_action_chunk(table.observation("sing"))
    assert policy.problem
    policy.predict_action_chunk(table.observation())
    assert not policy.problem


def test_no_instruction_is_no_problem_and_the_arm_holds() -> None:
    table, policy = Table(), servo()
    chunk = policy.predict_action_chunk(table.observation(""))
    assert not policy.problem
    np.testing.assert_allclose(chunk, np.tile(table.joints, (24, 1)), atol=1e-6)


def test_an_object_out_of_reach_is_a_problem_and_the_arm_waits() -> None:
    table, policy = Table(cube=np.array((0.42, 0.1, 0.015))), servo()
    for _ in range(10):
        table.follow(policy.predict_action_chunk(table.observation()), policy.step_s)
    assert "out of reach" in policy.problem
    assert policy.phase is ServoPhase.SEARCH


def test_an_object_that_is_held_when_the_task_changes_is_put_down_first() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.CARRY)
    assert table.held
    policy.reset()
    policy.predict_action_chunk(table.observation())
    assert policy.phase is ServoPhase.LOWER
    run(policy, table, until=ServoPhase.RETREAT)
    assert table.cube[2] == pytest.approx(0.015)
    run(policy, table, 30.0)
    assert on_mark(table)


def test_a_policy_that_starts_with_an_object_in_the_gripper_puts_it_down_first() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.CARRY)
    policy = servo()  # the process died and came back
    policy.predict_action_chunk(table.observation())
    assert policy.phase is ServoPhase.LOWER
    run(policy, table, 30.0)
    assert on_mark(table)


def test_an_arm_that_is_held_for_a_while_goes_on_where_it_was() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.CARRY)
    for _ in range(40):  # 8 s: commands are not executed
        policy.predict_action_chunk(table.observation())
        table.now_s += PERIOD_S
        assert policy.phase is ServoPhase.CARRY
    run(policy, table)
    assert on_mark(table)


def test_a_clock_that_jumps_back_does_not_blind_the_policy() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.REACH)
    table.now_s -= 50.0
    run(policy, table, 30.0)
    assert on_mark(table)


def test_chunks_join_without_a_jump_and_within_the_speed_limits() -> None:
    table, policy = Table(), servo()
    last: np.ndarray | None = None
    while policy.phase is not ServoPhase.DONE:
        chunk = policy.predict_action_chunk(table.observation())
        assert chunk.shape == (24, 6)
        assert np.isfinite(chunk).all()
        speed = np.abs(np.diff(chunk, axis=0)) / policy.step_s
        assert (speed <= ROBOT.velocity_max + 1e-6).all()
        assert (chunk >= ROBOT.position_min).all()
        assert (chunk <= ROBOT.position_max).all()
        if last is not None:
            overlap = round(PERIOD_S / policy.step_s)
            assert np.abs(chunk[0, :5] - last[overlap, :5]).max() < 0.06
        last = chunk
        table.follow(chunk, policy.step_s)
        assert table.now_s < 130.0


def test_a_plan_far_from_the_joints_starts_anew_from_the_joints() -> None:
    table, policy = Table(), servo()
    run(policy, table, until=ServoPhase.REACH)
    table.joints = ROBOT.home + np.array((0.9, 0.0, 0.0, 0.0, 0.0, 0.0))
    chunk = policy.predict_action_chunk(table.observation())
    np.testing.assert_allclose(chunk[0], table.joints, atol=1e-6)


@pytest.mark.parametrize("state", [[0.0] * 5, [float("nan")] * 6, [0.0] * 7])
def test_unusable_joint_positions_are_refused(state: list[float]) -> None:
    with pytest.raises(ValueError, match="6 finite"):
        servo().predict_action_chunk({**Table().observation(), "observation.state": state})


def test_every_phase_is_reached_and_left() -> None:
    assert {phase for phase, _ in TRANSITIONS} == set(ServoPhase)
    assert {*TRANSITIONS.values(), ServoPhase.IDLE} == set(ServoPhase)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("put the red cube on the mark", "red_cube"),
        ("Place the YELLOW cylinder onto the mark, please.", "yellow_cylinder"),
        ("blue_cube -> mark", "blue_cube"),
    ],
)
def test_an_instruction_names_its_object(text: str, name: str) -> None:
    assert parse_instruction(text) == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("put the pink cube on the mark", "names no known object"),
        ("put the red cube and the blue cube on the mark", "more than one"),
        ("throw the red cube away", "where to"),
        ("", "names no known object"),
    ],
)
def test_an_instruction_that_cannot_be_followed_says_why(text: str, reason: str) -> None:
    with pytest.raises(InstructionError, match=reason):
        parse_instruction(text)


def test_an_unknown_policy_names_the_known_ones() -> None:
    assert "visual_servo" in policy_names()
    with pytest.raises(ConfigurationError, match="visual_servo"):
        make_policy("visual_serve", PolicySettings(ROBOT))


def test_an_unknown_camera_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="table"):
        make_policy("visual_servo", PolicySettings(ROBOT, camera="wrist"))


def test_a_camera_without_a_pose_is_refused_by_name_and_passed_over_where_none_is_named() -> None:
    wrist = CameraModel("wrist", "wrist_optical", 320, 240, 60.0)
    robot = replace(ROBOT, cameras={"wrist": wrist, **ROBOT.cameras})
    assert isinstance(make_policy("visual_servo", PolicySettings(robot)), VisualServo)
    says = "camera 'wrist' of robot so101_sim has no position and look_at.* the robot has: table"
    with pytest.raises(ConfigurationError, match=says):
        make_policy("visual_servo", PolicySettings(robot, camera="wrist"))
    with pytest.raises(ConfigurationError, match="the robot has: none"):
        make_policy("visual_servo", PolicySettings(replace(ROBOT, cameras={"wrist": wrist})))
