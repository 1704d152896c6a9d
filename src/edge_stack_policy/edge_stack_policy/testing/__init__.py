# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of policies: an exported SmolVLA of 33,000 random weights."""
