# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Node of edge_stack that brings nodes up, keeps them up, switches modes and governs rates."""
