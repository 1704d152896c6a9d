# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""From action chunks and what is known of the surroundings to one command a tick; knows no ROS."""
