# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts the stack's processes where there is no launch system; see stack.py. Needs no ROS itself."""
