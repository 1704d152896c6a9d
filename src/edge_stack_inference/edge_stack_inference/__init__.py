# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Engines that execute models, models split into slices, and models on a Triton server."""
