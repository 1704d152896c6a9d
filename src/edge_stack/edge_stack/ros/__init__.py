# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What needs ROS 2's own launch system; everything else of the bring-up starts nodes without it."""
