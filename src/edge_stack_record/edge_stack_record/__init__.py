# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations of a running robot as LeRobot datasets."""
