# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Failover: one policy at several endpoints, and each chunk from the best endpoint that is in time. No ROS."""
