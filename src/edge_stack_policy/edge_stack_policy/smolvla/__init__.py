# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLA without torch: exported to ONNX graphs, run by ONNX Runtime and numpy. Only `export` and `graphs` need torch."""
