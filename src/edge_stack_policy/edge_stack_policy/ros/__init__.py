# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The policy node: its parameters, its inputs, its messages."""
