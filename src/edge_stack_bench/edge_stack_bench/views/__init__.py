# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What people run and look at: the demo, its live table, report and recordings."""
