# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated robot with its camera alone, which brings itself up: a robot for somebody else's nodes.

    ros2 launch edge_stack sim.launch.py [task:=external]
"""

from edge_stack.ros.launching import Argument, part


def generate_launch_description():
    """Describe the node to launch."""
    return part(
        "sim",
        [
            Argument("robot_file", "", "Robot description; empty: so101_sim."),
            Argument("seed", 0, "Seed of places, instructions and noise."),
            Argument("camera_rate_hz", 15.0, "Rate of camera frames."),
            Argument("task", "random", "Who gives instructions.", ("random", "external", "none")),
        ],
        package="edge_stack_sim",
    )
