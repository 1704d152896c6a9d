# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a world for tests of the simulation, a domain and a peer for tests of its node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def robot_file() -> Path:
    """Return the description of the simulated robot."""
    return Path(__file__).parents[2] / "edge_stack" / "config" / "robots" / "so101_sim.yaml"


@pytest.fixture
def world() -> Iterator[Any]:
    """Return a world of nominal looks."""
    from edge_stack_sim.world import World

    one = World(seed=3)
    yield one
    one.close()


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
