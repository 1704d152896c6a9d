# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""A camera driver as a stranger writes it: plain rclpy, 640x480 rgb8 at 30 Hz, reliable, depth 10; numbered in frame_id."""

from __future__ import annotations

import array

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image


def main() -> None:
    rclpy.init()
    node = Node("driver")
    publisher = node.create_publisher(Image, "driver/image_raw", 10)
    picture = np.random.default_rng(0).integers(0, 256, 480 * 640 * 3, dtype=np.uint8)
    image = Image(height=480, width=640, step=1920, encoding="rgb8", data=array.array("B", picture.tobytes()))
    number = 0

    def publish() -> None:
        nonlocal number
        image.header.stamp = node.get_clock().now().to_msg()
        image.header.frame_id = str(number)
        number += 1
        publisher.publish(image)

    node.create_timer(1 / 30, publish)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
