# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from devices, videos and folders, and the optics of the camera that took them. Plain Python, no ROS."""
