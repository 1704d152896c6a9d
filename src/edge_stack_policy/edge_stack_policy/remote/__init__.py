# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies off board: servers and clients, and the choice of where each chunk is computed. No ROS."""
