# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""One node under supervision: calls, answers, failures, deaths, and what was set by hand."""

from __future__ import annotations

import math

import pytest

from edge_stack_supervisor.supervision import (
    ManagedNode,
    NodeSpec,
    NodeState,
    ParameterCall,
    Report,
    SupervisionLimits,
    Transition,
)
from edge_stack_supervisor.supervision.explain import NOT_FOUND_S, explain

LIMITS = SupervisionLimits(
    heartbeat_timeout_s=1.5,
    transition_timeout_s=30.0,
    answer_timeout_s=0.5,
    retry_s=0.5,
    retry_max_s=4.0,
    max_attempts=3,
)


class Driver:
    """A managed node and a clock; says what a node would say."""

    def __init__(self, goal: NodeState | None = NodeState.ACTIVE, rate_hz: float | None = None) -> None:
        self.node = ManagedNode(NodeSpec("one", rate_hz=rate_hz), LIMITS)
        self.node.want(goal)
        self.now_s = 100.0

    def say(
        self, state: NodeState, pid: int = 1, message: str = "", target_hz: float = 0.0, after_s: float = 0.1
    ) -> None:
        self.now_s += after_s
        self.node.tick(self.now_s)
        self.node.observe(Report(pid, state, message, target_hz), self.now_s)

    def asked(self) -> Transition | None:
        return self.node.call(self.now_s).transition if self.node.call_due(self.now_s) else None

    def rate_asked(self) -> ParameterCall | None:
        return self.node.parameter_call(self.now_s) if self.node.parameters_due() else None

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s
        self.node.tick(self.now_s)

    def bring_up(self, pid: int = 1) -> None:
        for state in (NodeState.UNCONFIGURED, NodeState.INACTIVE, NodeState.ACTIVE):
            self.say(state, pid)
            self.asked()

    def fail_configure(self, reason: str, pid: int = 1) -> None:
        assert self.asked() is Transition.CONFIGURE
        self.say(NodeState.CONFIGURING, pid)
        self.say(NodeState.UNCONFIGURED, pid, reason)


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_nothing_is_asked_of_a_node_that_gave_no_sign(driver: Driver) -> None:
    assert driver.asked() is None
    assert explain(driver.node, driver.now_s) == "no sign of it yet"


def test_a_node_that_is_not_found_for_long_says_what_to_look_at(driver: Driver) -> None:
    assert explain(driver.node, driver.now_s, NOT_FOUND_S - 1.0) == "no sign of it yet"
    text = explain(driver.node, driver.now_s, NOT_FOUND_S + 1.0)
    assert text.startswith("not found: its process does not run, or is in another ROS_DOMAIN_ID")
    driver.say(NodeState.UNCONFIGURED)
    assert explain(driver.node, driver.now_s, NOT_FOUND_S + 1.0) == ""


def test_a_new_node_is_configured_then_activated(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is Transition.CONFIGURE
    driver.say(NodeState.INACTIVE)
    assert driver.asked() is Transition.ACTIVATE
    driver.say(NodeState.ACTIVE)
    assert driver.asked() is None
    assert driver.node.settled
    assert explain(driver.node, driver.now_s) == ""


def test_an_active_node_is_adopted_as_it_is(driver: Driver) -> None:
    driver.say(NodeState.ACTIVE)
    assert driver.asked() is None
    assert driver.node.settled
    assert driver.node.recoveries == 0


def test_one_call_is_outstanding_at_a_time(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is Transition.CONFIGURE
    driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is None


def test_a_call_without_a_sign_of_arrival_is_asked_again(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is Transition.CONFIGURE
    for _ in range(6):
        driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is Transition.CONFIGURE
    assert "no answer to 1 calls" in explain(driver.node, driver.now_s)


def test_a_slow_configure_is_not_asked_again_nor_taken_for_a_death(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    assert driver.asked() is Transition.CONFIGURE
    driver.say(NodeState.CONFIGURING)
    driver.wait(20.0)
    assert driver.asked() is None
    driver.say(NodeState.INACTIVE)
    assert driver.asked() is Transition.ACTIVATE
    assert driver.node.recoveries == 0


def test_a_transition_that_never_ends_counts_as_lost(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    driver.asked()
    driver.say(NodeState.CONFIGURING)
    driver.wait(31.0)
    assert driver.node.state is NodeState.MISSING
    assert "silent for 31.0 s" in explain(driver.node, driver.now_s)


def test_a_failed_transition_shows_the_nodes_reason_and_is_tried_again_after_a_pause(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    driver.fail_configure("configure failed: model: file x.onnx does not exist")
    assert driver.asked() is None
    message = explain(driver.node, driver.now_s)
    assert "file x.onnx does not exist" in message
    assert "attempt 1, next attempt in 0.5 s" in message
    driver.wait(0.51)
    assert driver.asked() is Transition.CONFIGURE


def test_a_refused_call_counts_as_a_failure_even_where_no_report_shows_the_transition(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    call = driver.node.call(driver.now_s)
    driver.node.answered(call.number, False, driver.now_s)
    driver.say(NodeState.UNCONFIGURED, message="configure failed: no such camera")
    assert "no such camera (attempt 1" in explain(driver.node, driver.now_s)


def test_pauses_double_up_to_their_maximum_and_attempts_end(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    for pause_s in (0.5, 1.0):
        driver.fail_configure("no")
        for _ in range(int(pause_s / 0.1) - 1):
            driver.say(NodeState.UNCONFIGURED, message="no")
            assert driver.asked() is None
        driver.say(NodeState.UNCONFIGURED, message="no")
        driver.say(NodeState.UNCONFIGURED, message="no")
    driver.fail_configure("no")
    assert driver.node.given_up
    assert driver.node.settled
    for _ in range(100):
        driver.say(NodeState.UNCONFIGURED, message="no")
    assert driver.asked() is None
    assert explain(driver.node, driver.now_s) == "given up after 3 attempts: no"


def give_up(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    while not driver.node.given_up:
        driver.fail_configure("no")
        for _ in range(50):
            driver.say(NodeState.UNCONFIGURED, message="no")


def test_a_new_process_of_a_node_that_was_given_up_is_tried_anew(driver: Driver) -> None:
    give_up(driver)
    driver.say(NodeState.UNCONFIGURED, pid=2)
    assert driver.asked() is Transition.CONFIGURE


def test_a_node_that_was_given_up_and_configured_by_hand_is_helped_on(driver: Driver) -> None:
    give_up(driver)
    driver.say(NodeState.INACTIVE)
    assert driver.asked() is Transition.ACTIVATE
    assert driver.node.wanted is NodeState.ACTIVE


def test_activation_that_falls_back_to_unconfigured_every_time_is_given_up(driver: Driver) -> None:
    driver.say(NodeState.UNCONFIGURED)
    for _ in range(2000):
        asked = driver.asked()
        if asked is Transition.CONFIGURE:
            driver.say(NodeState.CONFIGURING)
            driver.say(NodeState.INACTIVE)
        elif asked is Transition.ACTIVATE:
            driver.say(NodeState.ACTIVATING)
            driver.say(NodeState.UNCONFIGURED, message="error")
        else:
            driver.say(driver.node.state, message="error")
    assert driver.node.given_up


def test_a_process_that_ends_in_configure_every_time_is_given_up_with_that_reason(driver: Driver) -> None:
    pid = 1
    driver.say(NodeState.UNCONFIGURED, pid)
    while not driver.node.given_up:
        for _ in range(60):
            driver.say(NodeState.UNCONFIGURED, pid)
        assert driver.asked() is Transition.CONFIGURE
        driver.say(NodeState.CONFIGURING, pid)
        pid += 1
        driver.say(NodeState.UNCONFIGURED, pid, after_s=2.0)
    assert (
        explain(driver.node, driver.now_s) == "given up after 3 attempts: its process ended during configure"
    )


def test_a_new_pid_is_a_death_at_once_and_the_recovery_is_measured_from_the_last_sign_of_life(
    driver: Driver,
) -> None:
    driver.bring_up(pid=1)
    driver.say(NodeState.UNCONFIGURED, pid=2, after_s=0.7)
    assert driver.node.troubled
    assert driver.asked() is Transition.CONFIGURE
    driver.say(NodeState.INACTIVE, pid=2, after_s=0.2)
    assert driver.asked() is Transition.ACTIVATE
    driver.say(NodeState.ACTIVE, pid=2, after_s=0.1)
    assert driver.node.recoveries == 1
    assert driver.node.last_recovery_s == pytest.approx(1.0)
    assert not driver.node.troubled


def test_silence_is_a_death_and_its_end_a_recovery(driver: Driver) -> None:
    driver.bring_up()
    driver.wait(1.6)
    assert driver.node.state is NodeState.MISSING
    assert driver.node.troubled
    driver.say(NodeState.ACTIVE, after_s=0.4)
    assert driver.node.recoveries == 1
    assert driver.node.last_recovery_s == pytest.approx(2.0)


def test_a_process_that_begins_anew_under_the_old_pid_is_brought_up(driver: Driver) -> None:
    driver.bring_up()
    driver.say(NodeState.UNCONFIGURED, after_s=1.0)
    assert driver.node.wanted is NodeState.ACTIVE
    assert driver.asked() is Transition.CONFIGURE


def test_two_processes_under_one_name_are_reported_and_the_newer_one_is_followed(driver: Driver) -> None:
    driver.bring_up(pid=1)
    driver.say(NodeState.UNCONFIGURED, pid=2)
    for _ in range(10):
        driver.say(NodeState.ACTIVE, pid=1)
        driver.say(NodeState.UNCONFIGURED, pid=2)
    assert driver.node.pid == 2
    assert "two processes run under this name (pids 1 and 2)" in explain(driver.node, driver.now_s)
    for _ in range(31):
        driver.say(NodeState.UNCONFIGURED, pid=2)
    assert "two processes" not in explain(driver.node, driver.now_s)


def test_deactivation_by_hand_is_respected_until_it_is_taken_back(driver: Driver) -> None:
    driver.bring_up()
    driver.say(NodeState.DEACTIVATING)
    driver.say(NodeState.INACTIVE)
    assert driver.asked() is None
    assert driver.node.wanted is NodeState.INACTIVE
    assert "inactive was set by hand" in explain(driver.node, driver.now_s)
    driver.say(NodeState.UNCONFIGURED)
    assert driver.node.wanted is NodeState.UNCONFIGURED
    driver.say(NodeState.INACTIVE)
    driver.say(NodeState.ACTIVE)
    assert explain(driver.node, driver.now_s) == ""
    assert driver.node.wanted is NodeState.ACTIVE


def test_what_was_set_by_hand_outlives_the_process_and_ends_with_the_next_verb(driver: Driver) -> None:
    driver.bring_up()
    driver.say(NodeState.INACTIVE)
    driver.say(NodeState.UNCONFIGURED, pid=2, after_s=1.0)
    assert driver.asked() is Transition.CONFIGURE
    driver.say(NodeState.INACTIVE, pid=2)
    assert driver.asked() is None
    driver.node.want(NodeState.ACTIVE)
    assert driver.asked() is Transition.ACTIVATE


def test_the_supervisors_own_late_transition_is_not_taken_for_one_by_hand(driver: Driver) -> None:
    driver.bring_up()
    driver.node.want(NodeState.INACTIVE)
    assert driver.asked() is Transition.DEACTIVATE
    driver.node.want(NodeState.ACTIVE)
    driver.say(NodeState.INACTIVE)
    assert driver.node.wanted is NodeState.ACTIVE
    assert driver.asked() is Transition.ACTIVATE


def test_a_finalized_node_is_not_asked_again_but_its_new_process_is(driver: Driver) -> None:
    driver.say(NodeState.FINALIZED)
    assert driver.asked() is None
    assert driver.node.settled
    assert "only a new process" in explain(driver.node, driver.now_s)
    driver.say(NodeState.UNCONFIGURED, pid=2)
    assert driver.asked() is Transition.CONFIGURE


@pytest.mark.parametrize(
    ("goal", "states"),
    [
        (NodeState.INACTIVE, [NodeState.INACTIVE]),
        (NodeState.UNCONFIGURED, [NodeState.INACTIVE, NodeState.UNCONFIGURED]),
        (NodeState.FINALIZED, [NodeState.INACTIVE, NodeState.UNCONFIGURED, NodeState.FINALIZED]),
    ],
)
def test_an_active_node_is_taken_down_step_by_step(goal: NodeState, states: list[NodeState]) -> None:
    driver = Driver()
    driver.bring_up()
    driver.node.want(goal)
    for state in states:
        asked = driver.asked()
        assert asked is not None
        assert asked.result is state
        driver.say(state)
    assert driver.asked() is None
    assert driver.node.settled


def test_a_node_is_left_alone_while_nothing_is_wanted_of_it() -> None:
    driver = Driver(goal=None)
    for state in (NodeState.UNCONFIGURED, NodeState.ACTIVE, NodeState.INACTIVE):
        driver.say(state)
        assert driver.asked() is None
    assert explain(driver.node, driver.now_s) == ""


def test_an_active_nodes_own_complaint_is_passed_on(driver: Driver) -> None:
    driver.bring_up()
    driver.say(NodeState.ACTIVE, message="camera: /dev/video0 is gone")
    assert explain(driver.node, driver.now_s) == "camera: /dev/video0 is gone"


def test_a_rate_is_set_once_where_it_differs_and_not_enforced_afterwards() -> None:
    driver = Driver(rate_hz=5.0)
    driver.say(NodeState.UNCONFIGURED, target_hz=30.0)
    call = driver.rate_asked()
    assert call is not None
    assert call.values == {"rate_hz": 5.0}
    assert driver.rate_asked() is None
    driver.node.parameters_answered(call.number, {})
    driver.say(NodeState.ACTIVE, target_hz=5.0)
    driver.say(NodeState.ACTIVE, target_hz=2.0)
    assert driver.rate_asked() is None


def test_a_new_process_and_a_new_wish_set_the_rate_again() -> None:
    driver = Driver(rate_hz=5.0)
    driver.say(NodeState.ACTIVE, target_hz=5.0)
    assert driver.rate_asked() is None
    driver.node.want_rate(2.0)
    assert driver.rate_asked() is not None
    driver.say(NodeState.ACTIVE, target_hz=2.0)
    driver.say(NodeState.UNCONFIGURED, pid=2, target_hz=5.0)
    call = driver.rate_asked()
    assert call is not None
    assert call.values == {"rate_hz": 2.0}


def test_a_lost_rate_call_is_sent_again_and_a_refusal_is_shown() -> None:
    driver = Driver(rate_hz=500.0)
    driver.say(NodeState.ACTIVE, target_hz=5.0)
    assert driver.rate_asked() is not None
    for _ in range(11):
        driver.say(NodeState.ACTIVE, target_hz=5.0)
    call = driver.rate_asked()
    assert call is not None
    driver.node.parameters_answered(call.number, {"rate_hz": "500 is above the maximum 120"})
    assert driver.rate_asked() is None
    assert "rate_hz refused: 500 is above" in explain(driver.node, driver.now_s)


def test_a_node_without_a_rate_is_set_none() -> None:
    driver = Driver(rate_hz=None)
    driver.say(NodeState.ACTIVE, target_hz=24.0)
    assert driver.rate_asked() is None
    assert math.isnan(driver.node.last_recovery_s)


def driver_at(rate_hz: float) -> Driver:
    """Return a driver of an active node that has taken its rate."""
    driver = Driver(rate_hz=rate_hz)
    driver.say(NodeState.ACTIVE, target_hz=rate_hz)
    assert driver.rate_asked() is None
    return driver


def test_a_rate_that_somebody_sets_is_the_wish_from_then_on_and_a_governor_may_lower_it() -> None:
    driver = driver_at(5.0)
    assert driver.node.rate_was_set(2.0, driver.now_s)
    assert (driver.node.wished_hz, driver.node.rate_hz) == (2.0, 2.0)
    assert driver.rate_asked() is None, "the node has it already"
    driver.node.limit_rate(1.0)
    call = driver.rate_asked()
    assert call is not None and call.values == {"rate_hz": 1.0}
    assert not driver.node.rate_was_set(1.0, driver.now_s), "what the supervisor has set is nobody's wish"
    driver.node.parameters_answered(call.number, {})
    assert driver.node.wished_hz == 2.0


def test_a_rate_above_what_a_governor_allows_is_lowered_again() -> None:
    driver = driver_at(5.0)
    driver.node.limit_rate(1.0)
    call = driver.rate_asked()
    assert call is not None
    driver.node.parameters_answered(call.number, {})
    driver.node.rate_was_set(1.0, driver.now_s)
    assert not driver.node.rate_was_set(5.0, driver.now_s), "that is wanted already"
    driver.node.limit_rate(1.0)
    call = driver.rate_asked()
    assert call is not None and call.values == {"rate_hz": 1.0}


def test_a_rate_that_was_under_way_when_somebody_set_another_does_not_stay() -> None:
    driver = driver_at(5.0)
    driver.node.limit_rate(3.0)
    call = driver.rate_asked()
    assert call is not None
    assert driver.node.rate_was_set(2.0, driver.now_s)  # before the call has arrived
    assert not driver.node.rate_was_set(3.0, driver.now_s)
    driver.node.parameters_answered(call.number, {})
    again = driver.rate_asked()
    assert again is not None and again.values == {"rate_hz": 2.0}


def test_a_rate_by_hand_ends_with_its_process_at_a_release_and_where_the_stack_wants_another() -> None:
    for end in ("process", "release", "stack"):
        driver = driver_at(5.0)
        driver.node.rate_was_set(2.0, driver.now_s)
        if end == "process":
            driver.say(NodeState.UNCONFIGURED, pid=2, target_hz=2.5)
        elif end == "release":
            driver.node.release()
        else:
            driver.node.want_rate(4.0)
        call = driver.rate_asked()
        assert call is not None and call.values == {"rate_hz": 4.0 if end == "stack" else 5.0}, end
        assert driver.node.rate_by_hand is None


def test_a_rate_by_hand_is_taken_back_by_setting_the_one_before() -> None:
    driver = driver_at(5.0)
    driver.node.rate_was_set(2.0, driver.now_s)
    assert driver.node.rate_was_set(5.0, driver.now_s)
    assert driver.node.rate_by_hand is None
    assert driver.rate_asked() is None


def test_a_node_without_a_rate_takes_none_by_hand() -> None:
    driver = Driver(rate_hz=None)
    driver.say(NodeState.ACTIVE, target_hz=24.0)
    assert not driver.node.rate_was_set(12.0, driver.now_s)
    assert driver.rate_asked() is None
