# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Time and scheduling below the nodes: the control thread, its histograms, and what a process is allowed and uses."""
