# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The vision models of a robot.yaml with a supervisor of their own, beside a robot of somebody else.

    ros2 launch edge_stack perception.launch.py image:=/camera/color/image_raw [camera:=true] [<node>:=false]
"""

from edge_stack.ros import launching


def generate_launch_description():
    """Describe the models to launch."""
    return launching.perception()
