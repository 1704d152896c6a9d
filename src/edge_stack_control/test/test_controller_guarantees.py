# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the controller promises, over random episodes with a robot that sags, lags, sticks and is moved by hand.

Two controllers, one of which commands while the other follows, as fusion and its standby do, are driven through joint states
that flicker, jump, contradict each other and come from a second publisher; through chunks that are right, far away or
broken; through stops, persons, take-overs, clocks that are set, and parameters that change. The promises are checked by a
model that knows only what went out and where the robot was.

EDGE_STACK_EPISODES: how many (500); EDGE_STACK_SEED: of the first one, for fresh ones (each is printed when it fails).
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from edge_stack_control.chunk_intake import ActionChunk, ChunkRefused
from edge_stack_control.controller import Command, Controller, ControllerSettings, Surroundings
from edge_stack_control.limits import JointLimits
from edge_stack_control.rules import ControlState, Reason
from edge_stack_control.workspace import NOTHING, Sight
from edge_stack_core.joint_measurement import JointMeasurement
from edge_stack_core.robot import Joint, Robot

NAMES = ("pan", "lift")
PERIOD_S = 1.0 / 24.0
FOLLOWING, FOLLOWING_S = 0.25, 0.5
ROBOT = Robot(
    "arm", "base_link", tuple(Joint(n, -1.5, 1.5, 2.0, 0.0, FOLLOWING, FOLLOWING_S) for n in NAMES), {}
)
LIMITS = JointLimits.of(
    NAMES,
    ROBOT.position_min,
    ROBOT.position_max,
    ROBOT.velocity_max,
    following_error_max=FOLLOWING,
    following_error_s=FOLLOWING_S,
)
EPISODES = int(os.environ.get("EDGE_STACK_EPISODES", "500"))
SEED = int(os.environ.get("EDGE_STACK_SEED", "1"))
BATCHES = 10
TICKS = 150
PERSON = Sight(person_inside=True, person_distance=0.0)


class Episode:
    """One robot, two controllers, and everything that may befall them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        rng = self.rng
        self.controllers = [Controller(LIMITS, PERIOD_S) for _ in range(2)]
        self.settings = ControllerSettings()
        self.lead = self.led = 0
        self.monotonic_s, self.clock_s = 1000.0, 5000.0
        self.at = rng.choice([-1.6, -1.54, -1.0, 0.0, 1.0, 1.54, 1.6], 2) + rng.uniform(-0.02, 0.02, 2)
        self.sag = rng.choice([0.0, 0.05]) * rng.uniform(0.0, 1.0, 2)
        self.stuck = self.by_hand = False
        self.measurement = JointMeasurement(ROBOT.joints)
        self.around = Surroundings(perception_age_s=0.0, supervisor_age_s=0.0)
        self.joint_states, self.second_publisher, self.clock_ahead_s = True, False, 0.0
        self.chunks = True
        self.target = rng.uniform(-1.4, 1.4, 2)
        self.sequence = 0
        # The model's own knowledge.
        self.out: np.ndarray | None = None
        self.out_s = -math.inf
        self.may_begin = True
        self.was_silent = True
        self.both_since_s = math.inf
        self.beyond_s = np.full(2, math.inf)
        self.began_s = [-math.inf, -math.inf]  # of each controller: what was before it cannot know

    # ---- what may happen

    def befall(self) -> None:
        """Let one thing happen, seldom."""
        rng = self.rng
        if rng.random() > 0.12:
            return
        match rng.integers(17):
            case 0:
                self.target = rng.uniform(-1.9, 1.9, 2)
            case 1:
                self.chunks = not self.chunks
            case 2:
                self.joint_states = not self.joint_states
            case 3:
                self.second_publisher = not self.second_publisher
            case 4:
                self.stuck = not self.stuck
            case 5:
                self.by_hand = not self.by_hand
            case 6:
                self.around = replace(self.around, stop_requested=not self.around.stop_requested)
            case 7:
                self.around = replace(self.around, sight=NOTHING if self.around.sight is PERSON else PERSON)
            case 8:
                self.around = replace(self.around, supervisor_age_s=5.0 - self.around.supervisor_age_s)
            case 9:
                self.lead = 1 - self.lead
            case 10:
                self.clock_s += rng.choice([-1000.0, -5.0, -0.3, 0.3, 5.0, 1000.0])
            case 11:
                self.change_settings()
            case 12:
                self.measure(rng.choice([50.0, math.nan, 1e300, -math.inf, 1.0]) * np.ones(2))
            case 13:
                self.send_bad_chunk()
            case 14:
                self.at = np.clip(self.at + rng.uniform(-0.6, 0.6, 2), -1.6, 1.6)  # it was pushed
            case 15:
                self.around = replace(
                    self.around, second_commander=self.around.second_commander and "" or "/x"
                )
            case 16:
                self.controllers[1 - self.lead].reset()  # the one that follows is started anew
                self.began_s[1 - self.lead] = self.monotonic_s

    def change_settings(self) -> None:
        rng = self.rng
        self.settings = replace(
            self.settings,
            velocity_scale=float(rng.uniform(0.1, 1.0)),
            silent_hold=bool(rng.random() < 0.3),
            blend_s=float(rng.uniform(0.0, 0.5)),
        )
        limits = replace(LIMITS, step_max=np.full(2, rng.choice([math.inf, 0.02])))
        for controller in self.controllers:
            controller.configure(self.settings, limits)

    def send_bad_chunk(self) -> None:
        positions = np.full((5, 2), self.rng.choice([math.nan, math.inf, 1e9]))
        self.offer(positions)

    def offer(self, positions: np.ndarray, ahead_s: float = 0.0) -> None:
        self.sequence += 1
        start_s = self.clock_s + ahead_s
        chunk = ActionChunk(start_s, start_s, PERIOD_S, NAMES, positions, self.sequence)
        for controller in self.controllers:
            with contextlib.suppress(ChunkRefused):
                controller.offer(chunk, self.clock_s)

    def measure(self, positions: np.ndarray) -> None:
        self.measurement.take(NAMES, list(positions), self.monotonic_s, self.monotonic_s)

    # ---- one tick

    def tick(self) -> None:
        rng = self.rng
        self.monotonic_s += PERIOD_S
        self.clock_s += PERIOD_S
        self.befall()
        if self.out is not None and not self.stuck:
            self.at += np.clip(0.5 * (self.out - self.sag - self.at), -0.2, 0.2)
        if self.by_hand:
            self.at = np.clip(self.at + rng.uniform(-0.08, 0.08, 2), -1.6, 1.6)
        if self.joint_states and rng.random() < 0.9:
            self.measure(self.at + rng.normal(0.0, 1e-3, 2))
        if self.second_publisher:
            self.measure(self.at + np.array([0.5, 0.0]))
        if self.chunks and rng.random() < 0.3:
            self.offer(np.tile(self.target, (20, 1)))
        measurement = self.measurement
        age_s = math.inf if measurement.positions is None else self.monotonic_s - measurement.seen_s
        around = replace(
            self.around,
            measured=measurement.positions,
            joint_state_age_s=age_s,
            contradiction=measurement.contradiction(self.monotonic_s),
        )
        commands = []
        for index, controller in enumerate(self.controllers):
            follows = index != self.lead or index != self.led  # also in the tick in which it takes over
            if follows:
                recent = self.out is not None and self.monotonic_s - self.out_s < 0.5
                controller.follow(self.out.copy() if self.out is not None and recent else None, self.out_s)
            commands.append(controller.tick(self.clock_s, self.monotonic_s, around))
        self.led = self.lead
        self.check(commands[self.lead], around)

    def check(self, command: Command, around: Surroundings) -> None:
        """Compare what went out with what was promised."""
        holds = command.state >= ControlState.HOLD
        assert not holds or command.speed == 0.0
        if around.stop_requested:
            assert command.state is ControlState.STOP
        if around.second_commander or around.contradiction:
            assert holds
        both = self.joint_states and self.second_publisher
        self.both_since_s = min(self.both_since_s, self.monotonic_s) if both else math.inf
        if self.monotonic_s - self.both_since_s > 1.0:
            assert holds, "measurements contradict each other"
        self.check_following(command, around)
        if command.positions is None:
            assert self.was_silent or (self.settings.silent_hold and holds), "silent without leave"
            self.may_begin = self.was_silent = True
            return
        out = command.positions.copy()
        assert np.isfinite(out).all()
        assert (out >= LIMITS.position_min).all()
        assert (out <= LIMITS.position_max).all()
        reach = (
            self.settings.velocity_scale
            * LIMITS.velocity_max
            * min(self.monotonic_s - self.out_s, 2.0 * PERIOD_S)
        )
        if self.out is None:
            assert not around.contradiction
            self.check_begins(out, around, 0.0)
        elif holds:
            if not np.array_equal(out, self.out):
                assert self.was_silent, "a hold moved"
                self.check_begins(out, around, 0.0)
        elif (np.abs(out - self.out) > reach + 1e-9).any():
            assert self.may_begin, f"a jump of {np.abs(out - self.out).max():.3f}"
            self.check_begins(out, around, 2.0 * PERIOD_S * LIMITS.velocity_max.max())
        self.out, self.out_s, self.was_silent = out, self.monotonic_s, False
        # Also where another reason is shown, which is more severe.
        wrong = command.inputs.following_error or command.reason is Reason.FOLLOWING_ERROR
        self.may_begin = wrong or (self.may_begin and holds)

    def check_begins(self, out: np.ndarray, around: Surroundings, room: float) -> None:
        assert around.measured is not None
        place = np.clip(around.measured, LIMITS.position_min, LIMITS.position_max)
        assert np.abs(out - place).max() <= room + 1e-9, "motion does not begin where the robot is"
        beyond = np.abs(around.measured - place).max()
        assert beyond <= self.settings.position_tolerance + 1e-9, "motion begins beyond a limit"

    def check_following(self, command: Command, around: Surroundings) -> None:
        """A robot that is too far from its commands while it moves is held within its time and one period."""
        fresh = around.measured is not None and around.joint_state_age_s <= 0.5
        if self.out is None or not fresh or command.state >= ControlState.HOLD:
            self.beyond_s[:] = math.inf
            return
        assert around.measured is not None
        beyond = np.abs(around.measured - self.out) > FOLLOWING
        if around.joint_state_age_s > 0.5 * PERIOD_S:
            beyond &= (
                self.beyond_s < math.inf
            )  # a late measurement is none of this command, so that nothing begins by it
        self.beyond_s = np.where(beyond, np.minimum(self.beyond_s, self.monotonic_s), math.inf)
        since_s = np.maximum(self.beyond_s, self.began_s[self.lead])
        assert (self.monotonic_s - since_s <= FOLLOWING_S + PERIOD_S + 1e-9).all(), "not held in time"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_controller_keeps_its_promises_over_random_episodes(batch: int) -> None:
    moved = 0
    for seed in range(SEED + batch, SEED + EPISODES, BATCHES):
        episode = Episode(seed)
        try:
            for _ in range(TICKS):
                episode.tick()
        except AssertionError as error:
            raise AssertionError(f"seed {seed} at {episode.monotonic_s - 1000.0:.2f} s: {error}") from error
        moved += episode.out is not None
    assert moved, "some of them have to move at all"
