# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Backends: what executes a vision model.

See :mod:`edge_stack_inference.engines.base` for the Protocol and :mod:`edge_stack_inference.engines.registry` for how
to add one.
"""

from edge_stack_inference.engines.base import Backend, ModelError
from edge_stack_inference.engines.registry import backend_names, create_backend

__all__ = ["Backend", "ModelError", "backend_names", "create_backend"]
