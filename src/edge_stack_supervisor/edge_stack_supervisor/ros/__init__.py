# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor node and its parts: modes, board and governor."""
