# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Policy `triton`, and the model repository that a Triton server loads, written from a robot.yaml."""
