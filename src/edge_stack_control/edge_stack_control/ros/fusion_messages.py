# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of fusion: action chunks, joint states and detections in; the robot's command, fusion_status and markers out.

Its unit is one message. A command message is made once and filled in place at every tick, through a view of the memory
that its own array holds. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Duration, Time
from edge_stack_msgs.msg import ActionChunk as ActionChunkMessage
from edge_stack_msgs.msg import FusionStatus
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA, Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import Marker, MarkerArray

from edge_stack_control.chunk_intake import (
    ActionChunk,
    ChunkRefused,
    FloatArray,
    Outcomes,
    Refusal,
    actions_from_flat,
)
from edge_stack_control.controller import Command
from edge_stack_control.rules import ControlState
from edge_stack_control.workspace import Box
from edge_stack_core.ros.stamps import to_duration, to_seconds
from edge_stack_core.runtime.control_thread import ControlThreadFigures

_NS = 1_000_000_000
TARGET_S = 0.2
"""A single target is followed for so long; then the robot holds, unless another one comes."""
_COLOURS = {
    ControlState.RUN: (0.2, 0.8, 0.3),
    ControlState.SLOW: (1.0, 0.8, 0.1),
    ControlState.HOLD: (1.0, 0.5, 0.1),
    ControlState.STOP: (0.9, 0.1, 0.1),
}


class CommandWriter(Protocol):
    """Fills one kind of command message in place. message: what to publish; message_type: its type."""

    message_type: type
    message: Any

    def write(self, positions: FloatArray, now_ns: int) -> None:
        """Take positions [A], rad or m, and the time of the command, ns."""


class JointStateWriter:
    """sensor_msgs/JointState: names and positions."""

    message_type = JointState

    def __init__(self, joint_names: tuple[str, ...], period_s: float) -> None:
        """period_s: not used."""
        self.message = JointState(name=list(joint_names), position=[0.0] * len(joint_names))
        self._positions = np.frombuffer(self.message.position, dtype=np.float64)
        self._stamp = self.message.header.stamp

    def write(self, positions: FloatArray, now_ns: int) -> None:
        """Fill stamp and positions."""
        self._positions[:] = positions
        self._stamp.sec, self._stamp.nanosec = divmod(now_ns, _NS)


class JointTrajectoryWriter:
    """trajectory_msgs/JointTrajectory: one point to be reached one control period from its arrival."""

    message_type = JointTrajectory

    def __init__(self, joint_names: tuple[str, ...], period_s: float) -> None:
        """period_s: time given to reach the point."""
        point = JointTrajectoryPoint(
            positions=[0.0] * len(joint_names), time_from_start=to_duration(period_s)
        )
        self.message = JointTrajectory(joint_names=list(joint_names), points=[point])
        self._positions = np.frombuffer(point.positions, dtype=np.float64)

    def write(self, positions: FloatArray, now_ns: int) -> None:
        """Fill positions. The stamp stays 0: to a trajectory controller that means "begin at once", at any latency."""
        self._positions[:] = positions


class Float64MultiArrayWriter:
    """std_msgs/Float64MultiArray: positions in the robot's joint order, as forward command controllers take them."""

    message_type = Float64MultiArray

    def __init__(self, joint_names: tuple[str, ...], period_s: float) -> None:
        """period_s: not used."""
        size = len(joint_names)
        layout = MultiArrayLayout(dim=[MultiArrayDimension(label="joints", size=size, stride=size)])
        self.message = Float64MultiArray(layout=layout, data=[0.0] * size)
        self._positions = np.frombuffer(self.message.data, dtype=np.float64)

    def write(self, positions: FloatArray, now_ns: int) -> None:
        """Fill positions."""
        self._positions[:] = positions


COMMAND_FORMATS: dict[
    str, type[JointStateWriter] | type[JointTrajectoryWriter] | type[Float64MultiArrayWriter]
] = {
    "joint_state": JointStateWriter,
    "joint_trajectory": JointTrajectoryWriter,
    "float64_multi_array": Float64MultiArrayWriter,
}


def read_chunk(message: ActionChunkMessage) -> ActionChunk:
    """Return the chunk of a message; ChunkRefused if its positions do not divide into actions."""
    names = tuple(message.joint_names)
    return ActionChunk(
        stamp_s=to_seconds(message.header.stamp),
        start_s=to_seconds(message.start),
        step_s=to_seconds(message.step),
        joint_names=names,
        positions=actions_from_flat(message.positions, len(names)),
        sequence=message.sequence,
        policy=message.policy,
    )


def read_target(message: JointState) -> ActionChunk:
    """Return a single target as a chunk of one action that is in force for TARGET_S; ChunkRefused as in read_chunk."""
    names = tuple(message.name)
    if len(message.position) != len(names):
        raise ChunkRefused(Refusal.WRONG_SHAPE, f"{len(message.position)} positions for {len(names)} joints")
    stamp_s = to_seconds(message.header.stamp)
    return ActionChunk(
        stamp_s=stamp_s,
        start_s=stamp_s,
        step_s=TARGET_S,
        joint_names=names,
        positions=actions_from_flat(message.position, len(names)),
        policy="target_joints",
    )


def read_boxes(message: Detection2DArray) -> list[Box]:
    """Return every hypothesis of every detection as a box."""
    boxes = []
    for detection in message.detections:
        box = detection.bbox
        centre = box.center.position
        for result in detection.results:
            hypothesis = result.hypothesis
            boxes.append(
                Box(
                    hypothesis.class_id,
                    hypothesis.score,
                    centre.x,
                    centre.y,
                    box.size_x,
                    box.size_y,
                    box.center.theta,
                )
            )
    return boxes


def fusion_status(
    command: Command,
    figures: ControlThreadFigures,
    *,
    stamp: Time,
    frame_id: str,
    detail: str,
    commands: int,
    rejected_chunks: int,
    outcomes: Outcomes,
    limited_commands: int,
    rate_hz: float,
    max_gap_ms: float,
    commander: str,
    standby_ready: bool,
    takeovers: int,
    stop_sources: Sequence[str] = (),
) -> FusionStatus:
    """Return the message about the newest command and the run so far."""
    lateness = figures.lateness.summary()
    status = FusionStatus(
        state=int(command.state),
        reason=command.reason.value,
        detail=detail,
        speed_scale=command.speed,
        action_age_s=command.action_age_s,
        queue_s=command.queue_s,
        commands=commands,
        deadline_misses=figures.misses,
        skipped_ticks=figures.skipped,
        rejected_chunks=rejected_chunks,
        accepted_sequence=outcomes.accepted_sequence,
        refused_policy=outcomes.refused_policy,
        refused_sequence=outcomes.refused_sequence,
        refused_topic=outcomes.refused_topic,
        refusal=outcomes.refusal,
        limited_commands=limited_commands,
        underruns=command.underruns,
        rate_hz=rate_hz,
        lateness_p50_ms=lateness.p50_ms,
        lateness_p99_ms=lateness.p99_ms,
        lateness_p999_ms=lateness.p999_ms,
        lateness_max_ms=lateness.max_ms,
        max_gap_ms=max_gap_ms,
        commander=commander,
        standby_ready=standby_ready,
        takeovers=takeovers,
        stop_sources=list(stop_sources),
        following_error=command.following_error,
    )
    status.header.stamp = stamp
    status.header.frame_id = frame_id
    return status


def state_markers(command: Command, *, stamp: Time, frame_id: str) -> MarkerArray:
    """Return a text above the robot's base: state and reason, in the state's colour."""
    red, green, blue = _COLOURS[command.state]
    text = (
        command.state.name
        if command.state is ControlState.RUN
        else f"{command.state.name}: {command.reason.value}"
    )
    marker = Marker(
        ns="fusion",
        id=0,
        type=Marker.TEXT_VIEW_FACING,
        action=Marker.ADD,
        pose=Pose(position=Point(z=0.45), orientation=Quaternion(w=1.0)),
        scale=Vector3(z=0.04),
        color=ColorRGBA(r=red, g=green, b=blue, a=1.0),
        text=text,
        lifetime=Duration(sec=1),
    )
    marker.header.stamp = stamp
    marker.header.frame_id = frame_id
    return MarkerArray(markers=[marker])
