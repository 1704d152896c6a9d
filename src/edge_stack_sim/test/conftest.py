# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the simulated robot and a world for tests of the simulation; the hooks and fixtures that all packages share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_stack_core.robot import find_robot
from edge_stack_core.ros.fixtures import domain, peer  # noqa: F401
from edge_stack_core.testing import (  # noqa: F401
    pytest_configure,
    pytest_runtest_protocol,
    pytest_sessionfinish,
    pytest_terminal_summary,
    use_test_folder,
)
from edge_stack_sim.scene import ROBOT

use_test_folder(__file__)


@pytest.fixture(scope="session")
def robot_file() -> Path:
    """Return the description of the simulated robot."""
    return find_robot(ROBOT)


@pytest.fixture
def world() -> Iterator[Any]:
    """Return a world of nominal looks."""
    from edge_stack_sim.world import World

    one = World(seed=3)
    yield one
    one.close()
