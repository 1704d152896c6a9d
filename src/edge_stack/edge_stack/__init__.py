# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
edge_stack: a robot's control policy on time beside perception models on one small computer.

This package starts the others: launch files, a process runner, the shipped configuration, and the doctor of a robot.
"""

__version__ = "0.1.0"
