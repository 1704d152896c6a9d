# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Fixtures for tests of nodes: a DDS domain of their own, and the test's own node in it.

Each package's conftest.py takes them from here. ROS is imported by the tests that use them alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["domain", "peer"]


@pytest.fixture
def domain() -> Iterator[int]:
    """Reserve a ROS_DOMAIN_ID for one test."""
    from edge_stack_core.ros.testing import ros_domain

    with ros_domain() as number:
        yield number


@pytest.fixture
def peer(domain: int) -> Iterator[Any]:  # noqa: ARG001 (reserved before the node joins it)
    """Return the test's own node, in a domain of its own."""
    from edge_stack_core.ros.testing import Peer

    with Peer() as one:
        yield one
