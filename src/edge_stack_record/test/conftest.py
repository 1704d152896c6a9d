# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Helpers of this package's tests, and the hooks that all packages share."""

from edge_stack_core.ros.fixtures import domain  # noqa: F401
from edge_stack_core.testing import (  # noqa: F401
    pytest_configure,
    pytest_runtest_protocol,
    pytest_sessionfinish,
    pytest_terminal_summary,
    use_test_folder,
)

use_test_folder(__file__)
