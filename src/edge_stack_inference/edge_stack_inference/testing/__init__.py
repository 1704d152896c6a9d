# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of models: tiny ONNX files, certificates, a Triton server, a CUDA device in ordinary memory."""
