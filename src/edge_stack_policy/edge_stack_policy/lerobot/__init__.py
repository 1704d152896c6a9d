# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot's policies and datasets. Importing this package imports neither lerobot nor torch."""
