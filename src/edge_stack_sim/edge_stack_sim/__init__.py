# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Simulated robot of edge_stack: scene, world, task, and the node over them. Never needed on a robot."""
