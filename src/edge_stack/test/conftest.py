# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of nodes; tests of logic use none of them and import no ROS."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# Tests start nodes of their own folder as modules (python -m toy_node).
_HERE = os.path.dirname(__file__)
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (_HERE, os.environ.get("PYTHONPATH", "")) if p)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)


@pytest.fixture
def domain() -> Iterator[int]:
    """Reserve a ROS_DOMAIN_ID for one test."""
    from edge_stack_core.ros.testing import ros_domain

    with ros_domain() as number:
        yield number


@pytest.fixture
def peer(domain: int) -> Iterator[Any]:
    """Return the test's own node, in a domain of its own."""
    from edge_stack_core.ros.testing import Peer

    with Peer() as one:
        yield one
