# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""How the demo's policy is learned and judged: demonstrations, training, evaluation. Only training needs lerobot."""
