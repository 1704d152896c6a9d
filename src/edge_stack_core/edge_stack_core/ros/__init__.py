# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle nodes: parameters, transitions, and conversion between messages and logic; nothing is computed here."""
