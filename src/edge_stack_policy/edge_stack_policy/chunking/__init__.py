# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Chunk timing: when the next chunk is requested, what the policy is told, and how chunks join. No ROS."""
