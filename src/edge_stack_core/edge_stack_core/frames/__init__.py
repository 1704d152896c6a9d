# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera frames between processes of one machine through shared memory, at about the cost of two memory copies."""
