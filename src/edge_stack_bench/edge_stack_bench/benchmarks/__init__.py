# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: each measures one promise of the stack on this machine and says what it could not measure."""
