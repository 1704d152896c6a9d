# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Models on a Triton Inference Server: the client, and the model repository that a robot.yaml asks for (docs/triton.md)."""
