# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS nodes of the simulation."""

import edge_stack_core.early_end  # noqa: F401 (before all that takes long: Ctrl-C ends the process meanwhile)
