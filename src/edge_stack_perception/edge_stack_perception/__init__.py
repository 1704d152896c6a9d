# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes of edge_stack that see: camera and yolo, with capture sources and decoding of vision models."""
