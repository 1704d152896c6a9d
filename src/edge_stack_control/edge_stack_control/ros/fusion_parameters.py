# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's parameters, and what the controller makes of them.

Its unit is one set of values. Everything but robot, rate, message types and scheduling may change while the robot moves.
"""

from __future__ import annotations

import math
from typing import Any

from edge_stack_control.controller import ControllerSettings
from edge_stack_control.limits import JointLimits
from edge_stack_control.perception_watch import WatchSettings
from edge_stack_control.ros.fusion_messages import COMMAND_FORMATS
from edge_stack_control.rules import ControlState, Reason, RuleSettings
from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import Robot
from edge_stack_core.ros.parameters import STAMP_TOLERANCE, Parameter, ParameterValues
from edge_stack_core.ros.robot_frames import FRAME_PREFIX

_REACTIONS = ("slow", "hold", "stop")


def _seconds(name: str, default: float, description: str, maximum: float = 60.0) -> Parameter:
    return Parameter(name, default, description, minimum=0.0, maximum=maximum, live=True)


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "priority_class",
        "critical",
        "Priority class of the node's work.",
        choices=("critical", "essential", "background"),
    ),
    Parameter(
        "standby_of",
        "",
        "Name of the fusion node in whose place this one commands if that fails; empty: this is no standby.",
    ),
    Parameter(
        "robot_file",
        "",
        "Robot description (YAML).",
        give="the robot's description, a .yaml file such as robots/so101_sim.yaml of edge_stack_core",
    ),
    Parameter(
        "simulated",
        False,
        "Whether the robot is simulated: the simulator then publishes where its cameras are, else this node does.",
    ),
    FRAME_PREFIX,
    Parameter(
        "stop_persists",
        False,
        "Whether a requested stop also outlives the orderly end of the whole stack.",
    ),
    Parameter("control_rate_hz", 24.0, "Rate of commands.", minimum=1.0, maximum=1000.0),
    Parameter(
        "command_format", "joint_state", "Message type of joint_command.", choices=tuple(COMMAND_FORMATS)
    ),
    Parameter(
        "detections_topics",
        ("detect/detections",),
        "Essential perception: topics of vision_msgs/Detection2DArray, label_info beside each; empty: none is watched.",
    ),
    Parameter(
        "camera_info_topics",
        ("camera_info",),
        "Topics of sensor_msgs/CameraInfo, by which a workspace that lies outside the images of its frame_id is found.",
    ),
    Parameter("person_classes", ("person",), "Class names that count as a person.", live=True),
    Parameter(
        "blind_rules",
        "hold",
        "What follows from a rule about persons that can never fire; warn: it is only shown.",
        choices=("hold", "warn"),
        live=True,
    ),
    Parameter(
        "object_classes",
        (),
        "Class names of objects near which the robot goes slower; empty: none.",
        element=str,
        live=True,
    ),
    Parameter(
        "person_min_score",
        0.5,
        "Score from which a person or an object counts.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    ),
    Parameter(
        "workspace_px",
        (),
        "Corners of the workspace in the image, x0, y0, x1, y1, ..., px; empty: the whole image. For every topic that has"
        " none of its own.",
        element=float,
        minimum=-1e5,
        maximum=1e5,
        live=True,
    ),
    Parameter(
        "workspaces_px",
        (),
        "The workspace of each of detections_topics in their order, as 'x0 y0 x1 y1 ...', px; '': the whole image. Empty:"
        " workspace_px for all.",
        element=str,
        live=True,
    ),
    Parameter(
        "slow_zone_px",
        0.0,
        "Width of the zone around the workspace in which a person or an object slows the robot, px; 0: none.",
        minimum=0.0,
        maximum=10000.0,
        live=True,
    ),
    Parameter("person_reaction", "stop", "Reaction to a person.", choices=_REACTIONS, live=True),
    Parameter("perception_reaction", "hold", "Reaction to stale perception.", choices=_REACTIONS, live=True),
    Parameter("supervisor_reaction", "slow", "Reaction to a lost supervisor.", choices=_REACTIONS, live=True),
    Parameter(
        "second_commander",
        "hold",
        "What to do while somebody else publishes joint_command too: hold, or go on and warn.",
        choices=("hold", "warn"),
        live=True,
    ),
    STAMP_TOLERANCE,
    _seconds("joint_state_timeout_s", 0.5, "Age from which joint states are stale, s; 0: never."),
    _seconds("max_action_age_s", 2.0, "Age of the observation from which actions are stale, s; 0: never."),
    _seconds("perception_timeout_s", 1.0, "Age from which detections are stale, s; 0: never."),
    _seconds("supervisor_timeout_s", 2.0, "Silence from which the supervisor is lost, s; 0: never."),
    _seconds("limit_persist_s", 0.25, "Time that actions may ask for more than the limits allow, s."),
    _seconds("clear_s", 0.2, "Time a reason must be gone before a hold ends, s."),
    _seconds("stop_clear_s", 2.0, "Time a reason must be gone before a stop ends, s."),
    _seconds("blend_s", 0.1, "Time in which a newer chunk takes over, s.", 5.0),
    _seconds("speed_rise_s", 0.5, "Time from standstill to full speed, s.", 10.0),
    Parameter("slow_scale", 0.3, "Share of full speed in slow.", minimum=0.01, maximum=1.0, live=True),
    Parameter("limit_scale", 0.5, "Speed of the actions at a limit.", minimum=0.01, maximum=1.0, live=True),
    Parameter(
        "velocity_scale",
        1.0,
        "Share of the robot's speed limits that is used.",
        minimum=0.01,
        maximum=1.0,
        live=True,
    ),
    Parameter(
        "position_tolerance",
        0.05,
        "How far actions may point beyond a position limit unremarked, and how far beyond one a joint may be measured when"
        " motion begins, rad or m.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    Parameter(
        "input",
        "chunks",
        "Which input is in force: chunks, action chunks of a policy on action_chunk; or targets, single joint positions on"
        " target_joints, each for 0.2 s, as teleoperation and recorders send them. The other one is refused.",
        choices=("chunks", "targets"),
        live=True,
    ),
    Parameter(
        "hold",
        "publish",
        "What HOLD and STOP command: publish repeats the last command, silent says nothing, so that another program can use"
        " the robot's controller; motion then begins where the robot is measured.",
        choices=("publish", "silent"),
        live=True,
    ),
    Parameter(
        "step_max",
        0.0,
        "Largest change of a joint from command to command, rad or m; 0: as its speed allows.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    Parameter("control_priority", 80, "SCHED_FIFO priority of the tick; 0: none.", minimum=0, maximum=99),
    Parameter(
        "companion_priority",
        40,
        "SCHED_FIFO priority of the process's other threads, which share locks with the tick; 0: none.",
        minimum=0,
        maximum=98,
    ),
    Parameter(
        "control_cpu_affinity", (), "Cores of the tick; empty: all.", element=int, minimum=0, maximum=4095
    ),
    Parameter("lock_memory", True, "Keep the process's pages in memory."),
)


def joint_limits(robot: Robot, p: ParameterValues) -> JointLimits:
    """Return the robot's limits with the parameters' step limit."""
    return JointLimits.of(
        robot.joint_names,
        robot.position_min,
        robot.position_max,
        robot.velocity_max,
        p.step_max or math.inf,
        robot.following_error_max,
        robot.following_error_s,
    )


def controller_settings(p: ParameterValues) -> ControllerSettings:
    """Return the controller's settings."""
    same: Any = {
        name: p[name]
        for name in (
            "joint_state_timeout_s",
            "max_action_age_s",
            "perception_timeout_s",
            "supervisor_timeout_s",
            "limit_persist_s",
            "slow_scale",
            "limit_scale",
            "clear_s",
            "stop_clear_s",
        )
    }
    reactions = {
        Reason.PERSON_IN_WORKSPACE: ControlState[p.person_reaction.upper()],
        Reason.STALE_PERCEPTION: ControlState[p.perception_reaction.upper()],
        Reason.SUPERVISOR_LOST: ControlState[p.supervisor_reaction.upper()],
    }
    return ControllerSettings(
        blend_s=p.blend_s,
        speed_rise_s=p.speed_rise_s,
        velocity_scale=p.velocity_scale,
        position_tolerance=p.position_tolerance,
        silent_hold=p.hold == "silent",
        rules=RuleSettings(**same, reactions=reactions),
    )


def watch_settings(p: ParameterValues) -> WatchSettings:
    """Return what is watched; ConfigurationError for a workspace that is no polygon, and for a list of the wrong length."""
    topics = tuple(p.detections_topics)
    twice = sorted({topic for topic in topics if topics.count(topic) > 1})
    if twice or not all(topics):
        raise ConfigurationError(
            f"detections_topics: {f'{twice[0]} is there twice' if twice else 'an entry is empty'}; write each topic once, or"
            " an empty list where none is watched"
        )
    own = tuple(p.workspaces_px)
    if own and len(own) != len(topics):
        raise ConfigurationError(
            f"workspaces_px: {len(own)} for {len(topics)} of detections_topics; write one for each in their order"
            f" ({', '.join(topics) or 'none'}): 'x0 y0 x1 y1 x2 y2 ...', or '' for the whole image"
        )
    names = tuple(f"workspaces_px[{index}]" if own else "workspace_px" for index in range(len(topics)))
    corners = tuple(map(_corners, names, own)) if own else (tuple(p.workspace_px),) * len(topics)
    try:
        return WatchSettings(
            topics=topics,
            person_classes=tuple(p.person_classes),
            object_classes=tuple(p.object_classes),
            min_score=p.person_min_score,
            workspaces_px=corners,
            workspace_names=names,
            slow_zone_px=p.slow_zone_px,
            hold=p.blind_rules == "hold",
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _corners(name: str, text: str) -> tuple[float, ...]:
    """Return the numbers of one of workspaces_px, px."""
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ConfigurationError(
            f"{name}: {text!r} is no list of corners; write 'x0 y0 x1 y1 x2 y2 ...', px, or '' for the whole image"
        ) from None
