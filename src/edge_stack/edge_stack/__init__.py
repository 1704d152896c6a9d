# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
edge_stack: a robot's control policy on time beside perception models on one small computer.

Two floors: everything outside ``nodes``, ``tools`` and ``bench`` is logic over numpy and never imports ROS;
``nodes`` are thin lifecycle nodes on top of it.
"""

__version__ = "0.1.0"
