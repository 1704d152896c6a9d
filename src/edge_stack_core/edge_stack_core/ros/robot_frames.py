# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The fixed frames of a robot's file on /tf_static: where each camera is, so that images, detections and markers have a place.

Its unit is one message with every fixed camera of one robot. The links of the arm are robot_state_publisher's business.
"""

from __future__ import annotations

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from edge_stack_core.robot import FixedCamera, Robot
from edge_stack_core.ros.parameters import Parameter

FRAME_PREFIX = Parameter(
    "frame_prefix",
    "",
    "What is put before the names of the robot's frames, for several robots in one TF tree, such as left/.",
)
TOPIC = "/tf_static"  # absolute, as every TF listener has it


def camera_frames(robot: Robot, prefix: str, stamp: Time) -> TFMessage:
    """Return the pose of every fixed camera's optical frame in the robot's base frame; one on a link has none here."""
    transforms = []
    for camera in robot.cameras.values():
        if not isinstance(camera, FixedCamera):
            continue
        transform = TransformStamped(child_frame_id=prefix + camera.frame_id)
        transform.header.frame_id, transform.header.stamp = prefix + robot.base_frame, stamp
        place, turn = transform.transform.translation, transform.transform.rotation
        place.x, place.y, place.z = (float(value) for value in camera.position_m)
        turn.x, turn.y, turn.z, turn.w = camera.quaternion()
        transforms.append(transform)
    return TFMessage(transforms=transforms)
