# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks, faults on demand, and the views of the demo of edge_stack. Never needed on a robot."""
