# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Base of every node of edge_stack: control thread, admission, shared frames, board, description of robot and stack."""
