# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The controller tick by tick: it follows chunks, never jumps, and reacts to every condition within one tick."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stack_control.chunk_intake import ActionChunk, ChunkRefused
from edge_stack_control.controller import Command, Controller, ControllerSettings, Surroundings
from edge_stack_control.explain import explain
from edge_stack_control.limits import JointLimits
from edge_stack_control.rules import ControlState, Reason, RuleSettings
from edge_stack_control.workspace import NOTHING, Sight
from edge_stack_core.easing import EASING_S

NAMES = ("pan", "lift")
PERIOD_S = 1.0 / 24.0
LIMITS = JointLimits.of(NAMES, [-2.0, -2.0], [2.0, 2.0], [1.0, 2.0])
START = np.array([0.2, -0.3])
T0 = 1000.0
INSIDE = Sight(person_inside=True, person_distance=0.0)
sights = st.sampled_from(
    [NOTHING, INSIDE, Sight(person_distance=0.2), Sight(object_distance=0.4), Sight(person_distance=1.5)]
)


class Bench:
    """A controller with a clock and surroundings in which all is well."""

    def __init__(
        self, controller_settings: ControllerSettings | None = None, limits: JointLimits = LIMITS
    ) -> None:
        self.controller = Controller(limits, PERIOD_S, controller_settings)
        self.now_s = T0
        self.around = Surroundings(START.copy(), 0.0, 0.0, NOTHING, 0.0)
        self.commands: list[np.ndarray] = []
        self.sequence = 0

    def offer(self, target: Any, horizon: int = 48, **changes: Any) -> None:
        self.sequence += 1
        positions = np.asarray(target, dtype=np.float64)
        if positions.ndim == 1:
            positions = np.tile(positions, (horizon, 1))
        values: dict[str, Any] = {
            "stamp_s": self.now_s,
            "start_s": self.now_s,
            "step_s": PERIOD_S,
            "joint_names": NAMES,
            "positions": positions,
            "sequence": self.sequence,
        }
        self.controller.offer(ActionChunk(**{**values, **changes}), self.now_s)

    def tick(self, **around: Any) -> Command:
        self.now_s += PERIOD_S
        self.around = replace(self.around, **around)
        command = self.controller.tick(self.now_s, self.now_s, self.around)
        if command.positions is not None:
            self.commands.append(command.positions.copy())
        return command

    def run(self, ticks: int, **around: Any) -> Command:
        return [self.tick(**around) for _ in range(ticks)][-1]

    def run_until(self, condition: Callable[[Command], bool], ticks: int = 400) -> Command:
        for _ in range(ticks):
            command = self.tick()
            if condition(command):
                return command
        raise AssertionError("not within the limit")


def fed(bench: Bench, ticks: int, target: Any = (0.5, 0.5), **around: Any) -> Command:
    """Tick with a new chunk every 5 ticks, as a policy would send them."""
    for index in range(ticks):
        if index % 5 == 0:
            bench.offer(target)
        command = bench.tick(**around)
    return command


def test_without_a_measured_position_nothing_is_commanded() -> None:
    bench = Bench()
    bench.offer([0.5, 0.5])
    command = bench.tick(measured=None, joint_state_age_s=math.inf)
    assert command.positions is None
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.JOINT_STATE_STALE)


def test_who_follows_a_silent_controller_begins_where_the_robot_is_and_nowhere_else() -> None:
    bench = Bench()

    def follow_nobody() -> Command:
        bench.offer([0.5, 0.5])
        bench.controller.follow(None, 0.0)
        return bench.tick()

    for _ in range(5):
        assert np.array_equal(
            follow_nobody().positions, START
        )  # what it would do itself is no place to go on from
    bench.around = replace(bench.around, measured=np.array([1.2, -1.0]))  # by hand, meanwhile
    taken_over = follow_nobody()
    assert np.array_equal(taken_over.positions, [1.2, -1.0])
    bench.around = replace(bench.around, measured=np.array([2.3, -1.0]))  # and beyond a limit
    assert follow_nobody().positions is None


def test_the_first_command_is_the_measured_position() -> None:
    bench = Bench()
    command = bench.tick()
    assert command.positions is not None
    assert np.array_equal(command.positions, START)
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.NO_ACTION)


def test_chunks_are_followed_to_their_target() -> None:
    bench = Bench()
    command = fed(bench, 120)
    assert command.state is ControlState.RUN
    assert command.positions == pytest.approx([0.5, 0.5], abs=1e-6)
    assert command.queue_s > 0.0


def test_a_moving_target_is_followed_by_its_time_stamps() -> None:
    bench = Bench()
    fed(bench, 60, START)
    times = np.arange(72)[:, None] * PERIOD_S
    path = START + 0.2 * np.sin(times)
    begin_s = bench.now_s
    bench.offer(path)
    for _ in range(36):
        command = bench.tick()
    assert command.positions == pytest.approx(START + 0.2 * np.sin(bench.now_s - begin_s), abs=1e-6)


def test_when_chunks_stop_the_last_command_is_held_and_the_reason_given() -> None:
    bench = Bench()
    fed(bench, 60)
    held = bench.run_until(lambda c: c.state is ControlState.HOLD)
    assert held.reason is Reason.STALE_ACTION
    before = bench.commands[-1]
    bench.run(50)
    assert np.array_equal(bench.commands[-1], before)


def test_it_continues_when_chunks_come_again() -> None:
    bench = Bench()
    fed(bench, 60)
    bench.run_until(lambda c: c.reason is Reason.STALE_ACTION)
    command = fed(bench, 120, [-0.5, -0.5])
    assert command.state is ControlState.RUN
    assert command.positions == pytest.approx([-0.5, -0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("around", "state", "reason"),
    [
        ({"stop_requested": True}, ControlState.STOP, Reason.STOP_REQUESTED),
        ({"sight": INSIDE}, ControlState.STOP, Reason.PERSON_IN_WORKSPACE),
        ({"sight": Sight(person_distance=0.5)}, ControlState.SLOW, Reason.PERSON_NEAR),
        ({"sight": Sight(object_distance=0.5)}, ControlState.SLOW, Reason.OBJECT_NEAR),
        ({"perception_age_s": 5.0}, ControlState.HOLD, Reason.STALE_PERCEPTION),
        ({"joint_state_age_s": 5.0}, ControlState.HOLD, Reason.JOINT_STATE_STALE),
        ({"supervisor_age_s": 5.0}, ControlState.SLOW, Reason.SUPERVISOR_LOST),
        ({"stack_stopping": True}, ControlState.HOLD, Reason.STACK_STOPPING),
    ],
)
def test_a_condition_is_reacted_to_in_the_very_next_tick(
    around: dict[str, Any], state: ControlState, reason: Reason
) -> None:
    bench = Bench()
    fed(bench, 60)
    bench.offer([1.5, 1.5])
    moving = bench.tick().positions
    assert moving is not None
    before = moving.copy()
    command = bench.tick(**around)
    assert (command.state, command.reason) == (state, reason)
    if state >= ControlState.HOLD:
        assert np.array_equal(command.positions, before)


def test_a_person_stops_until_the_workspace_was_clear_for_the_clear_time() -> None:
    bench = Bench()
    fed(bench, 60)
    bench.tick(sight=INSIDE)
    cleared = fed(bench, int(1.8 / PERIOD_S), sight=NOTHING)
    assert cleared.state is ControlState.STOP
    assert fed(bench, int(0.4 / PERIOD_S)).state is ControlState.RUN


def test_in_slow_no_joint_is_faster_than_its_share_of_full_speed() -> None:
    bench = Bench()
    fed(bench, 60, [0.2, -0.3])
    begin = len(bench.commands)
    fed(bench, 48, [1.9, 1.9], supervisor_age_s=9.0)
    steps = np.abs(np.diff(bench.commands[begin:], axis=0))
    share = bench.controller.settings.rules.slow_scale
    assert (steps <= LIMITS.velocity_max * PERIOD_S * share + 1e-9).all()
    assert steps.max() > 0.0


def test_speed_follows_the_distance_of_a_person() -> None:
    bench = Bench()
    fed(bench, 60)
    assert fed(bench, 5, sight=Sight(person_distance=0.5)).speed == pytest.approx(0.65)
    assert fed(bench, 5, sight=Sight(person_distance=0.0)).speed == pytest.approx(0.3)
    assert fed(bench, 30, sight=Sight(person_distance=0.5)).speed == pytest.approx(0.65)


def test_a_requested_stop_lasts_until_it_was_released_for_the_clear_time() -> None:
    bench = Bench()
    fed(bench, 60)
    held = fed(bench, 1, stop_requested=True).positions
    assert held is not None
    before = held.copy()
    assert np.array_equal(fed(bench, 200, [1.5, 1.5]).positions, before)
    assert fed(bench, int(1.8 / PERIOD_S), stop_requested=False).reason is Reason.STOP_REQUESTED
    assert fed(bench, int(0.4 / PERIOD_S)).state is ControlState.RUN


def test_after_a_hold_speed_rises_gradually() -> None:
    bench = Bench()
    fed(bench, 60)
    bench.run_until(lambda c: c.reason is Reason.STALE_ACTION)
    begin = len(bench.commands)
    fed(bench, 30, [-1.5, -1.5])
    speeds = np.abs(np.diff(bench.commands[begin - 1 :], axis=0)).max(axis=1) / PERIOD_S
    assert speeds[:4].max() < 0.5 * speeds.max()


def test_a_malformed_chunk_holds_until_a_right_one_comes() -> None:
    bench = Bench()
    fed(bench, 60)
    with pytest.raises(ChunkRefused):
        bench.offer([math.nan, 0.0])
    command = bench.tick()
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.INVALID_ACTION)
    assert bench.run(5).reason is Reason.INVALID_ACTION
    assert fed(bench, 10).state is ControlState.RUN


def test_a_chunk_that_is_only_late_is_refused_without_a_hold() -> None:
    bench = Bench()
    fed(bench, 60)
    with pytest.raises(ChunkRefused):
        bench.offer([0.0, 0.0], stamp_s=bench.now_s - 60.0, start_s=bench.now_s - 60.0)
    assert bench.tick().state is ControlState.RUN


def test_actions_beyond_the_limits_slow_down_and_are_named() -> None:
    bench = Bench()
    fed(bench, 60)
    command = fed(bench, 100, [5.0, 0.0])
    assert (command.state, command.reason) == (ControlState.SLOW, Reason.LIMIT_POSITION)
    assert command.limited
    assert command.positions is not None and command.positions[0] <= 2.0
    assert "pan" in explain(command, RuleSettings(), limiter=bench.controller.limiter)


def test_actions_faster_than_the_joints_slow_down_and_are_named() -> None:
    bench = Bench()
    fed(bench, 60, [0.0, 0.0])
    times = np.arange(48)[:, None] * PERIOD_S
    bench.offer(np.hstack([3.0 * np.minimum(times, 0.6), 0.0 * times]))
    seen = {bench.tick().reason for _ in range(20)}
    assert Reason.LIMIT_VELOCITY in seen


def test_a_position_just_beyond_the_limit_is_clipped_without_slowing() -> None:
    bench = Bench()
    fed(bench, 120, [2.04, 0.0])
    command = fed(bench, 20, [2.04, 0.0])
    assert command.state is ControlState.RUN
    assert command.positions is not None and command.positions[0] == pytest.approx(2.0)


def test_when_joint_states_return_commands_go_on_from_the_last_one() -> None:
    bench = Bench()
    fed(bench, 60)
    held = bench.commands[-1].copy()
    bench.tick(joint_state_age_s=9.0)
    command = bench.tick(joint_state_age_s=0.0, measured=held - 0.05)
    assert command.state is ControlState.HOLD
    assert np.array_equal(bench.commands[-1], held)


def test_a_clock_set_back_voids_what_was_queued() -> None:
    bench = Bench()
    fed(bench, 60)
    command = bench.controller.tick(bench.now_s - 100.0, bench.now_s + PERIOD_S, bench.around)
    assert (command.state, command.reason) == (ControlState.HOLD, Reason.NO_ACTION)


@pytest.mark.parametrize("back_s", [1000.0, 5.0, 0.3])
@pytest.mark.parametrize("when", ["before the jump", "between the jump and the tick"])
def test_a_chunk_that_waits_while_the_clock_is_set_back_does_not_keep_the_robot_still(
    back_s: float, when: str
) -> None:
    bench = Bench()
    fed(bench, 60)
    accepted_s = bench.now_s
    bench.offer([1.0, 1.0])
    monotonic_s = bench.now_s

    def tick(now_s: float) -> Command:
        nonlocal monotonic_s
        monotonic_s += PERIOD_S
        return bench.controller.tick(now_s, monotonic_s, bench.around)

    bench.now_s -= back_s
    if when == "between the jump and the tick":
        tick(bench.now_s)
        # The receiving thread had looked at the clock, and was late.
        chunk = ActionChunk(accepted_s, accepted_s, PERIOD_S, NAMES, np.tile([1.0, 1.0], (48, 1)))
        bench.controller.intake.reset()
        bench.controller.offer(chunk, accepted_s)
        bench.controller.intake.reset()
    assert tick(bench.now_s).reason is Reason.NO_ACTION
    before = np.array(tick(bench.now_s).positions)
    for index in range(48):
        bench.now_s += PERIOD_S
        if index % 5 == 0:
            bench.offer([-0.5, -0.5])
        command = tick(bench.now_s)
    assert command.state is ControlState.RUN
    assert np.abs(command.positions - before).max() > 0.3


def test_reset_begins_anew_from_the_measured_position() -> None:
    bench = Bench()
    fed(bench, 60)
    bench.controller.reset()
    command = bench.tick(measured=np.array([1.0, 1.0]))
    assert np.array_equal(command.positions, [1.0, 1.0])
    assert command.reason is Reason.NO_ACTION


def test_a_lower_velocity_scale_counts_from_the_next_tick() -> None:
    bench = Bench()
    fed(bench, 60, [0.0, 0.0])
    bench.controller.configure(ControllerSettings(velocity_scale=0.1))
    begin = len(bench.commands)
    fed(bench, 24, [1.0, 1.0])
    steps = np.abs(np.diff(bench.commands[begin - 1 :], axis=0))
    assert (steps <= 0.1 * LIMITS.velocity_max * PERIOD_S + 1e-9).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, math.nan])
def test_a_velocity_scale_that_makes_no_sense_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="velocity_scale"):
        Controller(LIMITS, PERIOD_S, ControllerSettings(velocity_scale=scale))


def test_every_reason_is_explained_in_words() -> None:
    bench = Bench()
    command = bench.tick()
    for reason in Reason:
        for state in (ControlState.SLOW, ControlState.HOLD):
            text = explain(replace(command, reason=reason, state=state), RuleSettings(), refusal="nan")
            assert bool(text) == (reason is not Reason.OK)
    assert explain(replace(command, state=ControlState.RUN), RuleSettings()) == ""


event = st.one_of(
    st.tuples(st.just("chunk"), st.tuples(st.floats(-5, 5), st.floats(-5, 5)), st.integers(1, 30)),
    st.tuples(
        st.just("around"),
        st.fixed_dictionaries(
            {},
            optional={
                "sight": sights,
                "perception_age_s": st.sampled_from([0.0, 5.0]),
                "supervisor_age_s": st.sampled_from([0.0, 5.0]),
                "stop_requested": st.booleans(),
                "stack_stopping": st.booleans(),
            },
        ),
        st.integers(1, 20),
    ),
    st.tuples(st.just("bad"), st.sampled_from([math.nan, math.inf, 1e9]), st.integers(1, 5)),
    st.tuples(st.just("path"), st.integers(0, 2**31), st.integers(1, 30)),
)


@settings(deadline=None)
@given(st.lists(event, max_size=12))
def test_whatever_arrives_no_command_is_ever_unsafe(events: list[tuple[str, Any, int]]) -> None:
    bench = Bench()
    for kind, value, ticks in events:
        try:
            if kind == "chunk":
                bench.offer(value)
            elif kind == "bad":
                bench.offer([value, 0.0])
            elif kind == "path":
                bench.offer(np.random.default_rng(value).uniform(-3, 3, (24, 2)))
        except ChunkRefused:
            assert kind == "bad"
        for _ in range(ticks):
            before = bench.commands[-1] if bench.commands else START
            command = bench.tick(**(value if kind == "around" else {}))
            after = bench.commands[-1]
            assert np.isfinite(after).all()
            assert (after >= LIMITS.position_min).all() and (after <= LIMITS.position_max).all()
            assert (np.abs(after - before) <= LIMITS.velocity_max * PERIOD_S * command.speed + 1e-9).all()
            if command.state >= ControlState.HOLD:
                assert np.array_equal(after, before)


@settings(deadline=None, max_examples=50)
@given(
    st.fixed_dictionaries(
        {
            "sight": sights,
            "perception_age_s": st.sampled_from([0.0, 5.0, math.inf, math.nan]),
            "joint_state_age_s": st.sampled_from([0.0, 5.0, math.inf, math.nan]),
            "supervisor_age_s": st.sampled_from([0.0, 5.0, math.inf, math.nan]),
            "stack_stopping": st.booleans(),
        }
    )
)
def test_the_reaction_to_any_mixture_is_the_most_severe_of_them(around: dict[str, Any]) -> None:
    bench = Bench()
    fed(bench, 60)
    bench.offer([1.0, 1.0])
    command = bench.tick(**around)
    expected = ControlState.RUN
    sight = around["sight"]
    if not around["supervisor_age_s"] <= 2.0 or min(sight.person_distance, sight.object_distance) < 1.0:
        expected = ControlState.SLOW
    if around["stack_stopping"] or not (
        around["perception_age_s"] <= 1.0 and around["joint_state_age_s"] <= 0.5
    ):
        expected = ControlState.HOLD
    if sight.person_inside:
        expected = ControlState.STOP
    assert command.state is expected


def ramp(bench: Bench, speed: float, horizon: int = 30) -> np.ndarray:
    """Return a chunk that goes on from the last command at a constant speed."""
    return bench.commands[-1] + np.array([1.0, -1.0]) * speed * PERIOD_S * np.arange(horizon)[:, None]


def test_when_chunks_stop_while_the_robot_moves_it_comes_to_rest_smoothly_and_the_underrun_is_counted() -> (
    None
):
    bench = Bench()
    fed(bench, 60, START)
    bench.offer(ramp(bench, 0.5))
    begin = len(bench.commands) + 6  # the blend is over
    held = bench.run_until(lambda c: c.state is ControlState.HOLD)
    bench.run(3)
    assert (held.reason, held.underruns) == (Reason.STALE_ACTION, 1)
    speeds = np.diff(bench.commands[begin:], axis=0) / PERIOD_S
    assert speeds[0] == pytest.approx([0.5, -0.5])
    assert speeds[-1] == pytest.approx([0.0, 0.0])
    bound = 0.5 * PERIOD_S / (2.0 * EASING_S)
    assert np.abs(np.diff(speeds, axis=0)).max() <= bound + 1e-6
    assert bench.run(100).underruns == 1, "one underrun, however long it lasts"


def test_a_chunk_that_comes_late_while_the_robot_slows_down_takes_it_along_without_a_jump() -> None:
    bench = Bench()
    fed(bench, 60, START)
    for speed in (0.5, -0.5, 0.5):
        bench.offer(ramp(bench, speed))
        bench.run_until(lambda c: c.queue_s < 0.045)
        # Computed from an observation when all went on, it is ahead of the robot by now.
        bench.offer(ramp(bench, speed) + np.sign(speed) * np.array([0.1, -0.1]))
        begin = len(bench.commands) - 1
        assert bench.run(12).state is ControlState.RUN
        speeds = np.diff(bench.commands[begin:], axis=0) / PERIOD_S
        assert np.abs(np.diff(speeds, axis=0)).max() < 0.4
    assert bench.tick().underruns == 3


def test_chunks_in_time_give_no_underrun() -> None:
    bench = Bench()
    assert fed(bench, 120).underruns == 0


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(-0.9, 0.9), st.integers(1, 60)), min_size=1, max_size=6), st.integers(8, 60)
)
def test_whatever_came_before_the_end_of_the_actions_is_slowed_down_to_with_bounded_deceleration(
    arrivals: list[tuple[float, int]], horizon: int
) -> None:
    bench = Bench(limits=JointLimits.of(NAMES, [-9.0, -9.0], [9.0, 9.0], [1.0, 2.0]))
    fed(bench, 60, START)
    for speed, ticks in arrivals:
        bench.offer(ramp(bench, speed, horizon))
        bench.run(ticks)
    speed = arrivals[-1][0]
    bench.offer(ramp(bench, speed, 60))
    bench.run(25)  # a hold is over, speed has risen, and the last chunk has taken over
    begin = len(bench.commands)
    assert bench.run(60).reason is Reason.STALE_ACTION
    speeds = np.diff(bench.commands[begin:], axis=0) / PERIOD_S
    assert speeds[-1] == pytest.approx([0.0, 0.0])
    assert (np.abs(speeds) <= abs(speed) + 1e-4).all()
    slowing = 1.0 / (2.0 * EASING_S)
    rising = 1.0 / ControllerSettings().speed_rise_s  # after a hold
    assert np.abs(np.diff(speeds, axis=0)).max() <= abs(speed) * PERIOD_S * max(slowing, rising) + 1e-4


@pytest.mark.parametrize("gap", [0.02, 0.1, 0.26])
def test_after_an_underrun_the_way_back_to_the_actions_begins_no_faster_than_speed_rises(gap: float) -> None:
    bench = Bench(limits=JointLimits.of(NAMES, [-9.0, -9.0], [9.0, 9.0], [3.0, 3.0]))
    fed(bench, 60, START)
    bench.offer(ramp(bench, 0.3))
    assert bench.run(60).reason is Reason.STALE_ACTION
    begin = len(bench.commands) - 1
    target = bench.commands[-1] + gap
    fed(bench, 60, target)
    assert bench.commands[-1] == pytest.approx(target, abs=1e-6)
    speeds = np.diff(bench.commands[begin:], axis=0) / PERIOD_S
    assert np.abs(np.diff(speeds, axis=0)).max() < 0.3


def test_joint_states_that_come_and_are_refused_are_not_said_to_be_missing() -> None:
    bench = Bench()
    refused = {
        Reason.JOINT_STATE_STALE: "their stamps are 0.30 s ahead of this clock, at most 0.1 s is allowed"
    }
    never = bench.tick(measured=None, joint_state_age_s=math.inf)
    words = "joint states come, but their stamps are 0.30 s ahead of this clock, at most 0.1 s is allowed"
    assert explain(never, RuleSettings(), refused=refused) == f"{words}; nothing is commanded"
    assert "no complete joint state has come yet" in explain(never, RuleSettings())
    bench.tick(measured=START, joint_state_age_s=0.0)
    later = bench.tick(joint_state_age_s=3.0)
    assert explain(later, RuleSettings(), refused=refused) == words
    assert "3.00 s old" in explain(later, RuleSettings())
