# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tells the name of a model that another computer serves from that of a file.

Nodes load such a model through edge_stack_inference.triton; the supervisor only has to know that it is not on this device.
"""

from __future__ import annotations

SCHEMES = ("triton://", "tritons://")
"""Without TLS, and with it."""


def is_served(name: str) -> bool:
    """Return whether a model's name is the address of a served one, rather than a file."""
    return name.startswith(SCHEMES)
