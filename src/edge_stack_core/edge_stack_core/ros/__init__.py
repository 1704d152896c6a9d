# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""What every node stands on: base class, parameters, QoS, frames, messages, and what tests of nodes need."""
