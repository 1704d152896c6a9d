# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Engines: what executes a vision model.

See :mod:`edge_stack_inference.engines.base` for the Protocol and :mod:`edge_stack_inference.engines.registry` for how
to add one.
"""

from edge_stack_inference.engines.base import Engine, ModelError
from edge_stack_inference.engines.registry import create_engine, engine_names

__all__ = ["Engine", "ModelError", "engine_names", "create_engine"]
