# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's door for actions: chunks of a policy or single targets, whichever input is in force, to the controller.

A unit is one message, on the executor's thread. What is refused is counted, and named the first time of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_stack_msgs.msg import ActionChunk as ActionChunkMessage
from sensor_msgs.msg import JointState

from edge_stack_control.chunk_intake import ActionChunk, ChunkRefused, Outcomes, Refusal
from edge_stack_control.controller import Controller
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_messages import read_chunk, read_target
from edge_stack_core.ros import qos

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

CHUNKS, TARGETS = "action_chunk", "target_joints"
_NAME_MAX = 100  # of a stranger's text, which goes into every status
_INPUTS = {CHUNKS: "chunks", TARGETS: "targets"}  # by the value of the parameter `input`


class ActionDoor:
    """Takes actions. outcomes: what became of them."""

    def __init__(self, node: StackNode, controller: Controller) -> None:
        """Subscribe."""
        self._node, self._controller = node, controller
        self._named: set[tuple[str, Refusal]] = set()
        self.outcomes = Outcomes()
        joints = len(controller.joint_names)
        node.subscription(
            ActionChunkMessage,
            CHUNKS,
            partial(self._take, CHUNKS, read_chunk),
            qos.chunk(),
            max_bytes=fusion_bounds.action_chunk_bytes(joints, controller.intake.limits.max_horizon),
            too_large=partial(self._take_large, CHUNKS),
        )
        node.subscription(
            JointState,
            TARGETS,
            partial(self._take, TARGETS, read_target),
            qos.sensor(offered=False),
            max_bytes=fusion_bounds.joint_states_bytes(joints),
            too_large=partial(self._take_large, TARGETS),
        )

    def _take(self, topic: str, read: Callable[[Any], ActionChunk], message: Any) -> None:
        in_force = self._node.params.input
        try:
            if in_force != _INPUTS[topic]:
                raise ChunkRefused(Refusal.NOT_IN_FORCE, f"input is {in_force}: {topic} is not in force")
            chunk = read(message)
        except ChunkRefused as refused:
            self._controller.refuse(refused)
            self._count(topic, refused, message)
            return
        try:
            self._controller.offer(chunk, self._node.now_s())
        except ChunkRefused as refused:
            self._count(topic, refused, message)
        else:
            self.outcomes = replace(self.outcomes, accepted_sequence=chunk.sequence)

    def _take_large(self, topic: str, text: str) -> None:
        # Counted and logged by its size already.
        if self._node.params.input != _INPUTS[topic]:
            return  # nothing of a topic that is not in force holds the robot
        self._controller.refuse(ChunkRefused(Refusal.TOO_LARGE, text))
        self._tell(topic, text)

    def _count(self, topic: str, refused: ChunkRefused, message: Any) -> None:
        kind = refused.kind
        self._node.stats.event(topic, kind.value)
        if (topic, kind) not in self._named:
            self._named.add((topic, kind))
            self._node.get_logger().warning(
                f"{topic} refused: {refused} ({kind.value}: counted from now on, not logged again)"
            )
        if isinstance(message, ActionChunkMessage):
            self._tell(topic, str(refused), message.policy[:_NAME_MAX], message.sequence)
        else:
            self._tell(topic, str(refused))

    def _tell(self, topic: str, text: str, policy: str = "", sequence: int = 0) -> None:
        self.outcomes = Outcomes(self.outcomes.accepted_sequence, policy, sequence, topic, text)
