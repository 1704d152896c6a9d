# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reports what a machine has and lacks for the stack: `ros2 run edge_stack doctor` on a robot, `./edge doctor` in a checkout.

`./edge doctor` runs it before anything is installed or built, so it needs the standard library alone.
"""
