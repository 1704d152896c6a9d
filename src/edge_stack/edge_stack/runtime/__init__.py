# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Real-time parts: the control thread, its histogram, and what a process sets about itself."""
