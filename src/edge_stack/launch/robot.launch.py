# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The whole stack of a robot.yaml: robot or simulated robot, models, policy, fusion and supervisor.

    ros2 launch edge_stack robot.launch.py [sim:=true] [robot:=NAME] [config:=FILE] [namespace:=NS] [<node>:=false]
"""

from edge_stack.ros import launching


def generate_launch_description():
    """Describe the stack to launch."""
    return launching.robot()
