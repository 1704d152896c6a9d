# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Helpers and fixtures of the tests that need several packages, and the hooks that all packages share."""

from pathlib import Path

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

use_test_folder(__file__)
# Helper modules of the packages' own tests have names of their own, so that these tests can use them all.
for _conftest in sorted(Path(__file__).parents[1].glob("src/*/test/conftest.py")):
    use_test_folder(str(_conftest))


@pytest.fixture(scope="session")
def robot_file() -> Path:
    """Return the description of the simulated robot."""
    return find_robot("so101_sim")
