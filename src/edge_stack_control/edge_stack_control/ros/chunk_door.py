# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fusion node's door for action chunks: takes them from their topic to the controller, and tells why one is refused.

A unit is one message, on the executor's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_stack_msgs.msg import ActionChunk

from edge_stack_control.chunk_intake import ChunkRefused, Refusal
from edge_stack_control.controller import Controller
from edge_stack_control.ros import fusion_bounds
from edge_stack_control.ros.fusion_messages import read_chunk
from edge_stack_core.ros import qos

if TYPE_CHECKING:
    from edge_stack_core.ros.base import StackNode

TOPIC = "action_chunk"


class ChunkDoor:
    """Takes chunks. refusal: why the last one was refused that was."""

    def __init__(self, node: StackNode, controller: Controller) -> None:
        """Subscribe."""
        self._node, self._controller = node, controller
        self._warned: set[Refusal] = set()
        self.refusal = ""
        bound = fusion_bounds.action_chunk_bytes(
            len(controller.joint_names), controller.intake.limits.max_horizon
        )
        node.subscription(
            ActionChunk, TOPIC, self._take, qos.chunk(), max_bytes=bound, too_large=self._take_large
        )

    def _take(self, message: ActionChunk) -> None:
        try:
            chunk = read_chunk(message)
        except ChunkRefused as refused:
            self._controller.refuse(refused)
            self._count(refused)
            return
        try:
            self._controller.offer(chunk, self._node.now_s())
        except ChunkRefused as refused:
            self._count(refused)

    def _take_large(self, text: str) -> None:
        self._controller.refuse(
            ChunkRefused(Refusal.TOO_LARGE, text)
        )  # counted and logged by its size already
        self.refusal = text

    def _count(self, refused: ChunkRefused) -> None:
        kind = refused.kind
        self._node.stats.event(TOPIC, kind.value)
        if kind not in self._warned:
            self._warned.add(kind)
            self._node.get_logger().warning(
                f"{TOPIC} refused: {refused} ({kind.value}: counted from now on, not logged again)"
            )
        self.refusal = str(refused)
