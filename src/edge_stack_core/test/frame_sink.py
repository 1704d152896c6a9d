# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A node of the stack that answers each frame with its header."""

from __future__ import annotations

from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from edge_stack_core.ros.base import StackNode
from edge_stack_core.ros.frames import Frame, FrameSubscription
from edge_stack_core.ros.main import run


class FrameSink(StackNode):
    def __init__(self, name: str = "sink") -> None:
        super().__init__(name)
        self.frames: FrameSubscription | None = None

    def configure_node(self) -> None:
        self.out = self.publisher(Header, "got", QoSProfile(depth=100))
        self.frames = FrameSubscription(self, "driver/image_raw", self.take)

    def take(self, frame: Frame) -> None:
        self.out.publish(frame.header)

    def cleanup_node(self) -> None:
        if self.frames is not None:
            self.frames.close()


if __name__ == "__main__":
    run(FrameSink)
