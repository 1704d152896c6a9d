# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the supervisor node itself, and the stack and the limits of supervision that follow from them."""

from __future__ import annotations

from edge_stack_core.ros.parameters import Parameter, ParameterValues
from edge_stack_core.stack_config import StackConfig, load_config
from edge_stack_supervisor.supervision import SupervisionLimits

PARAMETERS = (
    Parameter("config_file", "", "The stack's robot.yaml.", give="the path of the stack's robot.yaml"),
    Parameter(
        "robot",
        "",
        "Robot in place of the file's own: a name (robots/NAME.yaml beside config_file, or a shipped one) or a .yaml file.",
    ),
    Parameter("sim", True, "Whether the stack runs with the simulated robot."),
    Parameter("disabled", (), "Names of nodes that do not run.", element=str),
    Parameter("enabled", (), "Names of nodes that run though the file switches them off.", element=str),
    Parameter(
        "overrides",
        (),
        "What was set in place of config_file for this run, each NODE.PARAMETER=VALUE with the value as JSON.",
        element=str,
    ),
    Parameter("autostart", True, "Whether it configures and activates itself: nobody else does."),
    Parameter("startup", True, "Whether it then brings the stack up, or waits for startup on ~/manage."),
    Parameter(
        "heartbeat_timeout_s", 1.5, "Silence after which a node is lost, s.", minimum=0.3, maximum=60.0
    ),
    Parameter("transition_timeout_s", 120.0, "The same within a transition, s.", minimum=1.0, maximum=3600.0),
    Parameter("answer_timeout_s", 0.5, "Time to the next try of a call, s.", minimum=0.1, maximum=60.0),
    Parameter(
        "retry_s",
        0.5,
        "Pause after a failed transition, doubled each time, s.",
        minimum=0.1,
        maximum=60.0,
    ),
    Parameter("retry_max_s", 10.0, "Longest such pause, s.", minimum=0.1, maximum=600.0),
    Parameter(
        "max_attempts",
        6,
        "Failures of one transition before giving up; 0: never.",
        minimum=0,
        maximum=1000,
    ),
    Parameter(
        "stage_timeout_s",
        5.0,
        "How long later stages wait for a missing node, s.",
        minimum=0.0,
        maximum=600.0,
    ),
    Parameter("manage_timeout_s", 60.0, "How long a ~/manage call may take, s.", minimum=1.0, maximum=3600.0),
)


def stack_of(p: ParameterValues) -> StackConfig:
    """Return the stack that parameters tell, with what was set for this run alone. Raises ConfigurationError."""
    return load_config(p.config_file, robot=p.robot or None).switch_on(p.enabled).with_overrides(p.overrides)


def limits_from(p: ParameterValues) -> SupervisionLimits:
    """Return the limits that parameters tell."""
    return SupervisionLimits(
        heartbeat_timeout_s=p.heartbeat_timeout_s,
        transition_timeout_s=p.transition_timeout_s,
        answer_timeout_s=p.answer_timeout_s,
        retry_s=p.retry_s,
        retry_max_s=p.retry_max_s,
        max_attempts=p.max_attempts,
        stage_timeout_s=p.stage_timeout_s,
    )
