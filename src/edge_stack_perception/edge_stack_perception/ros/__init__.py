# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera and yolo nodes: their parameters, their messages, and frames relayed from a topic."""
