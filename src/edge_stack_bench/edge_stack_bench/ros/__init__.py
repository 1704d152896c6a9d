# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""The demo, its recorder, and the benchmarks that run a whole stack or talk over DDS."""
